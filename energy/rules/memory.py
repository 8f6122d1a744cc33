"""What local rules remember of each layer from batch to batch: buffers of the network, hence in its `state_dict` and in
every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from energy.component import ConfigurationError
from energy.network import Network

if TYPE_CHECKING:
    from energy.rules.local import Plasticity


class Memory(nn.Module):
    """One buffer a layer and name, `<name><layer>`."""

    def __init__(self, layers: Mapping[int, Mapping[str, Tensor]]) -> None:
        super().__init__()
        self.names = {layer: tuple(named) for layer, named in layers.items()}
        for layer, named in layers.items():
            for name, value in named.items():
                self.register_buffer(f"{name}{layer}", value)

    def of(self, layer: int) -> dict[str, Tensor]:
        """The buffers of one layer, by name."""
        return {name: self.get_buffer(f"{name}{layer}") for name in self.names.get(layer, ())}


def attach(network: Network, rules: Mapping[int, Plasticity]) -> None:
    """Lay what the rules of the layers remember, as `start` gives it, in place of what was remembered before."""
    like = next(network.parameters())
    laid = {layer: rule.start(network.shape(layer)[0]) for layer, rule in rules.items()}
    if remembers(network):
        del network.memory
    if any(laid.values()):
        network.add_module("memory", Memory(laid).to(like.device, like.dtype))


def remembers(network: Network) -> bool:
    """Whether anything has been laid in a network."""
    return isinstance(getattr(network, "memory", None), Memory)


def recall(network: Network, layer: int, label: str) -> dict[str, Tensor]:
    """What is remembered of a layer, by name.

    Raises ConfigurationError where nothing has been laid for it.
    """
    memory = getattr(network, "memory", None)
    found = memory.of(layer) if isinstance(memory, Memory) else {}
    if not found:
        raise ConfigurationError(f"rule={label}: this network has no memory of it; call attach(network) of it first")
    return found
