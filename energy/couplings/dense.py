"""Fully connected layers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from energy.arguments import whole_number
from energy.couplings.affine import Affine, AffineLinearization
from energy.couplings.forms.matmul import MATMUL
from energy.couplings.linearization import Gradients, Linearization, Shape
from energy.couplings.units import UnitInputs
from energy.errors import UsageError
from energy.tracing import cast


class DenseLinearization(AffineLinearization):
    """`Dense` linearized, for presynaptic states of one shape: `weight` in the dtype of the states, cast once."""

    def __init__(self, coupling: Dense, weight: Tensor, pre: Shape) -> None:
        self.coupling, self.weight = coupling, weight
        self.pre, self.bias = pre, coupling.bias

    @torch.no_grad()
    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        weight = self.weight if weight is None else weight.to(self.weight.dtype)
        return MATMUL(post, weight.to(post.dtype), None).view(len(post), *self.pre[1:])

    @torch.no_grad()
    def tangent(self, direction: Tensor) -> Tensor:
        return MATMUL(direction.flatten(1), self.weight.to(direction.dtype).T, None)

    @torch.no_grad()
    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        product = self.coupling.product(pre, post).to(self.coupling.weight.dtype)
        return (product,) if self.bias is None else (product, post.sum(0, dtype=self.bias.dtype))


class Dense(Affine):
    """A(m) = W·flatten(m) + b, W of shape (size, fan-in).

    Args:
        fan_in: units of the layer below.
        size: units of the layer above.
        bias: one per unit if true.

    Raises:
        ValueError: for sizes that are no whole numbers, or below 1.

    Example:
        >>> Dense(784, 500).shape((1, 28, 28))
        (500,)
    """

    def __init__(self, fan_in: int, size: int, *, bias: bool = True) -> None:
        super().__init__()
        fan_in, size = whole_number("Dense", "fan_in", fan_in), whole_number("Dense", "size", size)
        self.weight = nn.Parameter(torch.zeros(size, fan_in))
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None

    def extra_repr(self) -> str:
        size, fan_in = self.weight.shape
        return f"{fan_in}, {size}" if self.bias is not None else f"{fan_in}, {size}, bias=False"

    def shape(self, pre: Shape) -> Shape:
        size, fan_in = self.weight.shape
        if math.prod(pre) != fan_in:
            raise UsageError(
                f"Dense({fan_in}, {size}) cannot read a layer of shape {pre}: it has {math.prod(pre)} units"
            )
        return (size,)

    def multiply_adds(self, pre: Shape) -> int:
        return self.weight.numel()

    def forward(self, pre: Tensor) -> Tensor:
        return self._apply_weight(pre, self.weight.to(pre.dtype))

    def _apply_weight(self, pre: Tensor, weight: Tensor) -> Tensor:
        return MATMUL(pre.flatten(1), weight.T, None if self.bias is None else self.bias.to(pre.dtype))

    def linearize(self, pre: Tensor) -> tuple[Tensor, DenseLinearization]:
        with torch.no_grad():
            weight = cast(self.weight, pre.dtype)
            return self._apply_weight(pre, weight), DenseLinearization(self, weight, tuple(pre.shape))

    def filter(self, seen: Tensor, weight: Tensor) -> Tensor:
        return MATMUL(seen.flatten(1), weight.to(seen.dtype).T, None)

    def product(self, seen: Tensor, post: Tensor) -> Tensor:
        return MATMUL(post.T, seen.flatten(1), None)

    def unit_inputs(self, pre: Tensor, drive: Tensor, linear: Linearization | None) -> UnitInputs:
        return UnitInputs(self, pre, drive)
