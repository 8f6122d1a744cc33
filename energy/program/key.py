"""The identity of a recorded step: whatever its operations depend on, besides the numbers in its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from energy.network import Network
from energy.program.record import tensors_of

Key = tuple[Any, ...]


def key_of(network: Network, x: Tensor, target: Tensor) -> Key:
    """Return the identity of a step on a batch (x, target), but for its components, which never change."""
    layers = tuple((layer.shape, id(layer.potential)) for layer in network.layers)
    edges = tuple((edge.source, edge.target, edge.feedback, id(edge.coupling)) for edge in network.edges)
    settings = (torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision())
    tensors = tuple(map(_form, (x, target, *tensors_of(network))))
    return layers, edges, settings, tensors, tuple(_plain(network))


def _form(tensor: Tensor) -> Key:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad


def _plain(network: Network) -> Iterator[Key]:
    """The attributes of couplings and of what else is attached, such as stride and pooling."""
    for name, module in network.named_modules():
        if module is not network:
            yield name, id(module), *_settings(module)


def _settings(owner: Any) -> Iterator[Any]:
    for name, value in vars(owner).items():
        if name.startswith("_") or isinstance(value, (nn.Module, Tensor)):
            continue
        if isinstance(value, (int, float, str, bool, type(None))):
            yield value
        elif type(value).__module__.startswith("energy.pooling"):
            yield type(value), *vars(value).values()
        else:
            yield id(value)
