"""Affine couplings: A(m) = P(Wm + b), everything in closed form."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from energy.couplings.coupling import Coupling
from energy.couplings.linearization import Gradients, Linearization
from energy.pooling import AdaptiveAveragePool, AveragePool


class AffineLinearization(Linearization):
    """An affine coupling linearized: no curvature, and the second product is the first one without a bias."""

    bias: nn.Parameter | None

    def second_gradient(self, direction: Tensor, post: Tensor) -> Gradients:
        """∂θ⟨post, W direction⟩: the product of (direction, post), zero for the bias."""
        gradients = self.weight_gradient(direction, post)
        return gradients if self.bias is None else (*gradients[:-1], torch.zeros_like(self.bias))

    def curvature(self, direction: Tensor, post: Tensor) -> None:
        return None


class Affine(Coupling):
    """A(m) = P(Wm + b), W linear and P a pooling or nothing: forward, adjoint, tangent and weight gradient in closed
    form, no autograd.
    """

    takes_feedback_weights: ClassVar[bool] = True
    weight: nn.Parameter
    bias: nn.Parameter | None

    def linearize_to_learn(self, pre: Tensor) -> tuple[Tensor, Linearization]:
        """Return `linearize(pre)` for a local rule, which takes the product of weights at `pre` next."""
        return self.linearize(pre)

    def filter(self, seen: Tensor, weight: Tensor) -> Tensor:
        """Return weight·seen, without bias and pooling."""
        raise NotImplementedError(f"{type(self).__name__} has no weights")

    def product(self, seen: Tensor, post: Tensor) -> Tensor:
        """Return ∂W⟨post, W·seen⟩ = Σ post·seenᵀ over batch and places, without pooling.

        Args:
            seen: the input of the filters, (B, *input shape).
            post: (B, *drive shape), in the dtype of `seen`.

        Returns:
            A tensor of that dtype and the shape of the weight.
        """
        raise NotImplementedError(f"{type(self).__name__} has no weights")


def without_switches(coupling: Coupling) -> bool:
    """Return True if the map is affine everywhere: an `Affine` coupling that pools by means, if at all."""
    pool = getattr(coupling, "pool", None)
    return isinstance(coupling, Affine) and isinstance(pool, AveragePool | AdaptiveAveragePool | None)
