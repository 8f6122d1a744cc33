"""What local rules remember of each layer from batch to batch: buffers of the network, hence in its `state_dict` and in
every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from energy.component import ConfigurationError
from energy.network import Network


class Memory(nn.Module):
    """Numbers of every neuron: one buffer (K,) a layer and name, `<name>_<layer>`."""

    def of(self, layer: int) -> dict[str, Tensor]:
        """The buffers of one layer, by name."""
        end = f"_{layer}"
        return {name.removesuffix(end): held for name, held in self.named_buffers() if name.endswith(end)}


def lay(network: Network, layers: Mapping[int, Mapping[str, float]]) -> None:
    """Lay what each layer's neurons remember, at what they begin with, in place of what was remembered before."""
    if remembers(network):
        del network.memory
    like, memory = next(network.parameters()), Memory()
    for layer, begins in layers.items():
        for name, value in begins.items():
            start = torch.full(network.shape(layer)[:1], value, dtype=like.dtype, device=like.device)
            memory.register_buffer(f"{name}_{layer}", start)
    if any(layers.values()):
        network.add_module("memory", memory)


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
