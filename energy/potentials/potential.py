"""Base class of potentials.

    f(a) = argmin_s G(s) − ⟨s, a⟩ = ∇G*(a)
    s⁺ = f(a + r₊e)     s⁻ = f(a − r₋e)     e = βh     r₊ + r₋ = 1
    δ = (s⁺ − s⁻)/β = gate(a, e) · h

G is the cost of a layer alone, a its drive, f its response, and s⁺, s⁻ are the replicas of a dyad. Subtracting two
stored replicas loses all digits as β → 0, so δ is computed in closed form: the *secant gate* is the average of f′ over
[a − r₋e, a + r₊e], and f′(a) at β = 0.

Reference:
    Høier, Staudt & Zach, ICML 2023, and Høier & Zach, ICML 2024 (dyads). The gates are derived here from the responses.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from energy.component import Component
from energy.tape import leaf, taped


def per_sample(values: Tensor) -> Tensor:
    """Sum over all axes but the batch: (B, …) → (B,)."""
    return values.flatten(1).sum(1)


class Potential(Component):
    """A convex G(s) and its response f(a) = argmin_s G(s) − ⟨s, a⟩.

    A subclass must define `response`, and `value` if its energy is to be evaluated. `tangent` defaults to autograd, and
    `secant` to the difference of two responses, which cancels for small β: override it, or derive from `Gated`.

    Example:
        >>> import torch
        >>> class Cubic(Potential):
        ...     def response(self, drive):
        ...         return drive + drive**3
        >>> Cubic().secant(torch.zeros(1, 1), torch.ones(1, 1), beta=2.0)  # ((1 + 1) − (−1 − 1))/2
        tensor([[2.]])
    """

    group: ClassVar[str] = "potential"
    lower: ClassVar[float] = -math.inf  # the least activity that a unit can have
    upper: ClassVar[float] = math.inf  # the greatest

    @property
    def quadratic(self) -> float:
        """The slope σ if G = s²/(2σ) on [lower, upper], so that squared error has a closed proximal step; else 0.

        True counts as 1.
        """
        return 0.0

    def value(self, state: Tensor) -> Tensor:
        """Return G(s) summed over the units of a sample: (B, …) → (B,). Defined on the range of the response."""
        raise NotImplementedError(f"{type(self).__name__} has no value: its energy cannot be evaluated")

    @property
    def has_value(self) -> bool:
        """True if G itself is defined, and not its response alone."""
        return type(self).value is not Potential.value

    def response(self, drive: Tensor) -> Tensor:
        """Return f(a), the activity that minimizes G(s) − ⟨s, a⟩, of the shape of `drive` (B, …)."""
        raise NotImplementedError(f"{type(self).__name__} must define response(drive)")

    def tangent(self, drive: Tensor, direction: Tensor) -> Tensor:
        """Return f′(a) v, the derivative of the response at `drive` along `direction`; same shape as both."""
        with taped():  # f′ = ∇²G* is symmetric, so a reverse pass gives the forward product
            start = leaf(drive)
            return torch.autograd.grad(self.response(start), start, direction)[0]

    def secant(self, drive: Tensor, h: Tensor, beta: float, r_plus: float = 0.5) -> Tensor:
        """Return δ = [f(a + r₊βh) − f(a − r₋βh)]/β; f′(a)h at β = 0.

        Args:
            drive: a, (B, …).
            h: the drive of the difference, (B, …).
            beta: β, the nudge per sample.
            r_plus: r₊, the share of the nudge of s⁺; r₋ = 1 − r₊.
        """
        if beta == 0:
            return self.tangent(drive, h)
        high = self.response(drive.add(h, alpha=r_plus * beta))
        return (high - self.response(drive.add(h, alpha=(r_plus - 1) * beta))) / beta

    def mean(self, drive: Tensor, h: Tensor, delta: Tensor, beta: float, r_plus: float, alpha: float) -> Tensor:
        """Return m = α s⁺ + (1 − α) s⁻, as the nearer replica plus a share of βδ.

        No difference of replicas is formed, and α ∈ {0, 1} needs one response alone.

        Args:
            drive: a, (B, …).
            h: the drive of the difference, (B, …).
            delta: δ from `secant` of the same arguments, (B, …).
            beta: β, the nudge per sample.
            r_plus: r₊, the share of the nudge of s⁺.
            alpha: α, the weight of s⁺ in the mean.
        """
        if alpha < 0.5:
            share, rest = r_plus - 1, alpha
        else:
            share, rest = r_plus, alpha - 1
        moved = drive if share * beta == 0 else drive.add(h, alpha=share * beta)
        near = self.response(moved)
        return near if rest * beta == 0 else near.add(delta, alpha=rest * beta)

    def difference(self, drive: Tensor, h: Tensor, beta: float, r_plus: float) -> Tensor:
        """Return δ of a dyad whose mean is held: `secant`.

        Args:
            drive, h, beta, r_plus: as for `secant`.
        """
        return self.secant(drive, h, beta, r_plus)

    def pair(self, drive: Tensor, h: Tensor, beta: float, r_plus: float, alpha: float) -> tuple[Tensor, Tensor]:
        """Return (m, δ) of the dyad: `mean` and `secant` in one call.

        Args:
            drive: a, (B, …).
            h: the drive of the difference, (B, …).
            beta: β, the nudge per sample.
            r_plus: r₊, the share of the nudge of s⁺.
            alpha: α, the weight of s⁺ in the mean.
        """
        delta = self.secant(drive, h, beta, r_plus)
        return self.mean(drive, h, delta, beta, r_plus, alpha), delta
