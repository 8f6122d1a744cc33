"""Elementwise potentials with a closed form of the secant gate."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from energy.kernels import Kernel
from energy.potentials.potential import Potential


class Gated(Potential):
    """An elementwise response with δ = gate(a, βh) · h, the gate in closed form and free of cancellation.

    A subclass must define `response` and `gate`; `secant` and `tangent` follow from the gate, and `pair` and
    `difference` are one compiled pass each inside `energy.kernels.fused`.
    """

    lipschitz: ClassVar[float] = 1.0  # the gate lies in [0, lipschitz]

    def gate(self, drive: Tensor, error: Tensor, r_plus: float) -> Tensor:
        """Return the average of f′ over [a − r₋e, a + r₊e]; f′(a) at e = 0.

        Args:
            drive: a, (B, …).
            error: e = βh, (B, …).
            r_plus: r₊; r₋ = 1 − r₊.
        """
        raise NotImplementedError(f"{type(self).__name__} must define gate(drive, error, r_plus)")

    def secant(self, drive: Tensor, h: Tensor, beta: float, r_plus: float = 0.5) -> Tensor:
        return self.gate(drive, h * beta, r_plus) * h

    def tangent(self, drive: Tensor, direction: Tensor) -> Tensor:
        return self.gate(drive, torch.zeros_like(drive), 0.5) * direction

    def difference(self, drive: Tensor, h: Tensor, beta: float, r_plus: float) -> Tensor:
        (delta,) = _DIFFERENCE((drive, h), self, beta, r_plus)
        return delta

    def pair(self, drive: Tensor, h: Tensor, beta: float, r_plus: float, alpha: float) -> tuple[Tensor, Tensor]:
        mean, delta = _PAIR((drive, h), self, beta, r_plus, alpha)
        return mean, delta


def _elementwise_pair(
    drive: Tensor, h: Tensor, potential: Gated, beta: float, r_plus: float, alpha: float
) -> tuple[Tensor, Tensor]:
    return Potential.pair(potential, drive, h, beta, r_plus, alpha)


def _elementwise_difference(drive: Tensor, h: Tensor, potential: Gated, beta: float, r_plus: float) -> tuple[Tensor]:
    return (potential.secant(drive, h, beta, r_plus),)


_DIFFERENCE = Kernel(_elementwise_difference, elementwise=True)
_PAIR = Kernel(_elementwise_pair, elementwise=True)
