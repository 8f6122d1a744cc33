"""A coupling at one presynaptic state m: the linear map A′(m), its transpose, and the gradients of both.

`Coupling.linearize(pre)` returns the drive A(m) and a linearization, as `torch.func.linearize` does. They are separate
since their lifetimes differ: a drive is read once, the linearization until its edge's gradients have been computed.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from energy import foreach
from energy.component import ConfigurationError
from energy.potentials import per_sample
from energy.tape import leaf, plain, pushed, taped

Gradients = tuple[Tensor, ...]
Shape = tuple[int, ...]


class Linearization(abc.ABC):
    """The maps of a coupling A at a presynaptic state m.

    All are linear in every argument but `pre`; with pooling and rectifiers the switches are those of m.

    Shapes: `pre` and `direction` are (B, *pre shape), `post` is (B, *post shape); gradients are tuples with one tensor
    per parameter of the coupling, in the order of `parameters()`, summed over the batch.
    """

    def prepare(self, post: Tensor) -> None:  # noqa: B027 (nothing is in common unless a subclass says so)
        """Do once the work that `adjoint` and `weight_gradient` of this very tensor share, such as un-pooling."""

    @abc.abstractmethod
    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """Return A′(m)ᵀ post, the vector–Jacobian product: (B, *pre shape).

        Args:
            post: (B, *post shape).
            weight: feedback weights that stand in for the coupling's own, of the same shape.

        Raises:
            ConfigurationError: for a `weight`, if the coupling has none that it could replace.
        """

    @abc.abstractmethod
    def tangent(self, direction: Tensor) -> Tensor:
        """Return A′(m) direction, the Jacobian–vector product: (B, *post shape). A bias takes no part."""

    @abc.abstractmethod
    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        """Return ∂θ⟨post, A(pre)⟩, the Hebbian product of the two activities."""

    def products_cost(self, pre: Tensor, both: bool) -> int:
        """Return the applications of the coupling, each as dear as A(m), that its products at `pre` take.

        Args:
            pre: as for `weight_gradient`.
            both: the second product too.
        """
        return 2 if both else 1

    @abc.abstractmethod
    def second_gradient(self, direction: Tensor, post: Tensor) -> Gradients:
        """Return ∂θ⟨post, A′(m) direction⟩, the second Hebbian product of a network with feedback."""

    def products(self, pre: Tensor, post: Tensor, direction: Tensor, above: Tensor, gain: float | Tensor) -> Gradients:
        """Return ∂θ[⟨post, A(pre)⟩ + gain·⟨above, A′(m) direction⟩], both Hebbian products together.

        Args:
            pre, direction: (B, *pre shape).
            post, above: (B, *post shape).
            gain: of the second product, a tensor () where the host would wait for it.
        """
        found = self.weight_gradient(pre, post)
        foreach.add_(found, self.second_gradient(direction, above), gain)
        return found

    @abc.abstractmethod
    def curvature(self, direction: Tensor, post: Tensor) -> Tensor | None:
        """Return ∂m⟨post, A′(m) direction⟩: (B, *pre shape), or None if A is piecewise affine."""


class AutogradLinearization(Linearization):
    """The maps of any differentiable `forward`, by autograd at the state `pre`.

    Args:
        coupling: holds the parameters.
        forward: the map.
        pre: the state m, (B, *pre shape).
    """

    def __init__(self, coupling: nn.Module, forward: Callable[[Tensor], Tensor], pre: Tensor) -> None:
        self.coupling, self.forward = coupling, forward
        self.pre = pre

    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        refuse(type(self.coupling).__name__, weight)
        with taped():
            pre = leaf(self.pre)
            return torch.autograd.grad(self.forward(pre), pre, post)[0]

    def tangent(self, direction: Tensor) -> Tensor:
        return pushed(self.forward, self.pre, direction)

    def products_cost(self, pre: Tensor, both: bool) -> int:
        return 3 if both else 1  # the second one with a tangent

    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        with taped():
            return self._gradients(per_sample(plain(post) * self.forward(plain(pre))).sum())

    def second_gradient(self, direction: Tensor, post: Tensor) -> Gradients:
        return self._gradients(self._slope(direction, post)[0])

    def curvature(self, direction: Tensor, post: Tensor) -> Tensor | None:
        total, pre = self._slope(direction, post)
        if not total.requires_grad:
            return None
        return torch.autograd.grad(total, pre, allow_unused=True)[0]

    def _slope(self, direction: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        """⟨A′(m)ᵀ post, direction⟩ as a differentiable number, and the m it is differentiable in."""
        with taped():
            pre = leaf(self.pre)
            (pulled,) = torch.autograd.grad(self.forward(pre), pre, plain(post), create_graph=True)
            return (pulled * plain(direction)).sum(), pre

    def _gradients(self, total: Tensor) -> Gradients:
        return gradients_of(total, tuple(self.coupling.parameters()))


def refuse(coupling: str, weight: Tensor | None) -> None:
    """Refuse feedback weights for a coupling that cannot use them.

    Raises:
        ConfigurationError: if `weight` is not None.
    """
    if weight is not None:
        raise ConfigurationError(
            f"{coupling}: has no weight that feedback weights could stand in for; a coupling that has returns a "
            "linearization of its own, whose adjoint(post, weight=...) takes them"
        )


def gradients_of(total: Tensor, parameters: Sequence[Tensor]) -> Gradients:
    """Return ∂total/∂p of every parameter; zero for a frozen one, and for one that `total` does not depend on."""
    found = gradients_or_none(total, parameters)
    return tuple(torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True))


def gradients_or_none(total: Tensor, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """Return ∂total/∂t of every tensor; None for a frozen one, and for one that `total` does not depend on."""
    learned = [t for t in tensors if t.requires_grad]
    if not learned or not total.requires_grad:
        return [None] * len(tensors)
    found = iter(torch.autograd.grad(total, learned, allow_unused=True))
    return [next(found) if t.requires_grad else None for t in tensors]
