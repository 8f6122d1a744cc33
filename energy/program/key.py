"""The identity of a recorded step: whatever its operations depend on, besides the numbers in its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from weakref import ref

import torch
from torch import Tensor, nn

from energy.component import Component
from energy.kernels import active
from energy.network import Network
from energy.pooling import Pool
from energy.program.record import tensors_of

Key = tuple[Any, ...]


class Same(NamedTuple):
    """An object that equals itself alone; held, so that no other can take its place in memory."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def key_of(network: Network, x: Tensor, target: Tensor) -> Key:
    """Return the identity of a step on a batch (x, target), but for its components, which never change."""
    layers = tuple((layer.shape, layer.name, _mark(layer.potential)) for layer in network.layers)
    edges = tuple((edge.source, edge.target, edge.feedback, ref(edge.coupling)) for edge in network.edges)
    tensors = tuple(map(_form, (x, target, *tensors_of(network))))
    return layers, edges, _modes(), tensors, tuple(_modules(network))


def _modes() -> Key:
    """The settings that operations depend on."""
    matmul = torch.get_float32_matmul_precision()
    return active(), torch.are_deterministic_algorithms_enabled(), matmul, torch.is_inference_mode_enabled()


def _form(tensor: Any) -> Key:
    if not isinstance(tensor, Tensor):
        return (type(tensor),)
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad


def _modules(network: Network) -> Iterator[Key]:
    """The couplings and what else is attached, with their attributes, such as stride and pooling."""
    for name, module in network.named_modules():
        if module is not network:
            yield name, ref(module), *_settings(module)


def _settings(owner: nn.Module) -> Iterator[Any]:
    for hooks in (owner._forward_hooks, owner._forward_pre_hooks, owner._backward_hooks, owner._backward_pre_hooks):
        if hooks:
            yield from map(Same, hooks.values())
    for name, value in vars(owner).items():
        if not (name.startswith("_") or isinstance(value, (nn.Module, Tensor))):
            yield name, _mark(value)


def _mark(value: Any) -> Any:
    """The part of an attribute that two steps must have in common."""
    if isinstance(value, (int, float, str, bool, type(None), Component, torch.dtype, torch.device)):
        return type(value), value
    if isinstance(value, Pool):
        return type(value), *vars(value).items()
    if isinstance(value, (tuple, list)):
        return type(value), *map(_mark, value)
    return ref(value) if isinstance(value, nn.Module) else Same(value)
