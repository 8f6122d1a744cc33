"""A connection without weights."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from energy.couplings.affine import Affine, AffineLinearization
from energy.couplings.linearization import Gradients, Shape, refuse


class SkipLinearization(AffineLinearization):
    """The identity."""

    bias = None

    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        refuse("Skip", weight)
        return post

    def tangent(self, direction: Tensor) -> Tensor:
        return direction

    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        return ()


class Skip(Affine):
    """A(m) = m, for residual graphs."""

    takes_feedback_weights: ClassVar[bool] = False
    bias = None

    def forward(self, pre: Tensor) -> Tensor:
        return pre

    def shape(self, pre: Shape) -> Shape:
        return pre

    def multiply_adds(self, pre: Shape) -> int:
        return 0

    def linearize(self, pre: Tensor) -> tuple[Tensor, SkipLinearization]:
        return pre, SkipLinearization()
