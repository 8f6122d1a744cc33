"""The memory of local rules from batch to batch: buffers of the network, hence in its `state_dict` and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from energy.component import ConfigurationError
from energy.network import Network


class Memory(nn.Module):
    """Numbers of every unit: one buffer (K,) per layer and name, `<name>_<layer>`."""

    def buffers_of(self, layer: int) -> dict[str, Tensor]:
        """Return the buffers of one layer, by name."""
        end = f"_{layer}"
        return {name.removesuffix(end): held for name, held in self.named_buffers() if name.endswith(end)}


def attach_memory(network: Network, layers: Mapping[int, Mapping[str, float]]) -> None:
    """Create the buffers of each layer's units in place of any there are.

    Args:
        network: holds them, under `memory`.
        layers: for each layer's number, the initial value of every buffer by name.
    """
    if has_memory(network):
        del network.memory
    like, memory = next(network.parameters()), Memory()
    for layer, begins in layers.items():
        for name, value in begins.items():
            start = torch.full(network.shape(layer)[:1], value, dtype=like.dtype, device=like.device)
            memory.register_buffer(f"{name}_{layer}", start)
    if any(layers.values()):
        network.add_module("memory", memory)


def has_memory(network: Network) -> bool:
    """Return True if a network holds buffers of local rules."""
    return isinstance(getattr(network, "memory", None), Memory)


def memory_of(network: Network, layer: int, label: str) -> dict[str, Tensor]:
    """Return the buffers of a layer, by name.

    Args:
        network: holds them.
        layer: its number.
        label: the rule's name, for the error message.

    Raises:
        ConfigurationError: if none were attached for it.
    """
    memory = getattr(network, "memory", None)
    found = memory.buffers_of(layer) if isinstance(memory, Memory) else {}
    if not found:
        raise ConfigurationError(f"rule={label}: this network has no memory of it; call attach(network) of it first")
    return found


def shaped(memory: Mapping[str, Tensor], logits: Tensor) -> dict[str, Tensor]:
    """Return buffers (K,) as views (groups, K/groups), the last axes of `logits`."""
    return {name: value.view(logits.shape[-2:]) for name, value in memory.items()}
