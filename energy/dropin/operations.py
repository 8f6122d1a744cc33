"""Functions and methods that a traced `forward` calls, each as the module that does the same."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import fx, nn
from torch.nn import functional as F

ADDITIONS: Final = (operator.add, operator.iadd, torch.add)
FUNCTIONS: Final[dict[Any, Callable[..., nn.Module]]] = {
    F.relu: lambda inplace=False: nn.ReLU(inplace),
    torch.relu: lambda: nn.ReLU(),
    F.relu_: lambda: nn.ReLU(inplace=True),
    torch.relu_: lambda: nn.ReLU(inplace=True),
    F.relu6: lambda inplace=False: nn.ReLU6(inplace),
    F.leaky_relu: lambda negative_slope=0.01, inplace=False: nn.LeakyReLU(negative_slope, inplace),
    F.hardtanh: lambda min_val=-1.0, max_val=1.0, inplace=False: nn.Hardtanh(min_val, max_val, inplace),
    F.softplus: lambda beta=1, threshold=20: nn.Softplus(beta, threshold),
    F.sigmoid: lambda: nn.Sigmoid(),
    torch.sigmoid: lambda: nn.Sigmoid(),
    F.tanh: lambda: nn.Tanh(),
    torch.tanh: lambda: nn.Tanh(),
    F.softmax: lambda dim=None: nn.Softmax(dim),
    torch.softmax: lambda dim: nn.Softmax(dim),
    torch.flatten: lambda start_dim=0, end_dim=-1: nn.Flatten(start_dim, end_dim),
    F.max_pool2d: lambda kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False: (
        nn.MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode)
    ),
    F.avg_pool2d: lambda kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True: nn.AvgPool2d(
        kernel_size, stride, padding, ceil_mode, count_include_pad
    ),
    F.adaptive_avg_pool2d: lambda output_size: nn.AdaptiveAvgPool2d(output_size),
    F.adaptive_max_pool2d: lambda output_size, return_indices=False: nn.AdaptiveMaxPool2d(output_size, return_indices),
}
FUNCTIONS[torch.max_pool2d] = FUNCTIONS[F.max_pool2d]
METHODS: Final[dict[str, Callable[..., nn.Module]]] = {
    "relu": lambda: nn.ReLU(),
    "relu_": lambda: nn.ReLU(inplace=True),
    "sigmoid": lambda: nn.Sigmoid(),
    "tanh": lambda: nn.Tanh(),
    "softmax": lambda dim: nn.Softmax(dim),
    "flatten": lambda start_dim=0, end_dim=-1: nn.Flatten(start_dim, end_dim),
}
IN_PLACE: Final = frozenset({"relu_", "add_", "sigmoid_", "tanh_", "clamp_"})


def is_addition(node: fx.Node) -> bool:
    """Return True if a node adds two values of the graph."""
    added: bool = node.target in ADDITIONS if node.op == "call_function" else node.target in ("add", "add_")
    plain = not {*node.kwargs} - {"input", "other"}
    return node.op in ("call_function", "call_method") and added and plain and all(_values(node))


def _values(node: fx.Node) -> list[bool]:
    given = [*node.args, *node.kwargs.values()]
    return [isinstance(one, fx.Node) for one in given] if len(given) == 2 else [False]


def as_module(node: fx.Node) -> nn.Module | None:
    """Return the module that does what a function or method of one value does; None if none is known."""
    make = FUNCTIONS.get(node.target) if node.op == "call_function" else METHODS.get(str(node.target))
    if make is not None:
        kwargs = {name: value for name, value in node.kwargs.items() if name != "input"}
        try:
            return make(*(node.args[1:] if node.args else ()), **kwargs)
        except TypeError:
            return None
    if node.op == "call_method" and node.target in ("view", "reshape") and _flattens(node):
        return nn.Flatten()
    if node.target in ("mean", torch.mean) and _over_places(node):
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return None


def _flattens(node: fx.Node) -> bool:
    """True for `x.view(x.size(0), -1)` and `x.view(len(x), -1)` in their forms."""
    sizes = node.args[1:]
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    return len(sizes) == 2 and isinstance(sizes[0], fx.Node) and isinstance(sizes[1], int) and sizes[1] == -1


def _over_places(node: fx.Node) -> bool:
    """True for a mean over height and width, which leaves (B, channels)."""
    axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    kept = node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False)
    if not isinstance(axes, tuple | list) or kept:
        return False
    return sorted(int(axis) % 4 for axis in axes if isinstance(axis, int)) == [2, 3]


def value_of(node: fx.Node) -> fx.Node | None:
    """Return the value that a node reads first."""
    given = node.args[0] if node.args else node.kwargs.get("input")
    return given if isinstance(given, fx.Node) else None


def is_size(node: fx.Node) -> bool:
    """Return True for a node that reads a size, such as that of the batch."""
    if node.op == "call_method":
        return node.target in ("size", "dim")
    if node.op != "call_function":
        return False
    reads = node.target is getattr and len(node.args) > 1 and node.args[1] in ("shape", "ndim")
    first = value_of(node)
    return reads or (
        node.target in (operator.getitem, len) and first is not None and (node.target is len or is_size(first))
    )
