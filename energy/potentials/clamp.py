"""Piecewise-linear units: quadratic potentials on an interval, and the leaky unit."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from energy.component import require
from energy.potentials.gated import Gated
from energy.potentials.potential import per_sample


class Clamp(Gated):
    """G(s) = s²/(2·slope) on [lower, upper], f(a) = clamp(slope·a, lower, upper); base of the piecewise-linear units.

        gate = slope · |[a − r₋e, a + r₊e] ∩ [lower, upper]/slope| / |e|

    the share of the dyad's interval on which the unit is not saturated. A subclass sets `slope`, `lower` and `upper`.
    """

    slope: ClassVar[float] = 1.0

    @property
    def quadratic(self) -> float:
        return self.slope

    def value(self, state: Tensor) -> Tensor:
        return per_sample(state.square()) / (2 * self.slope)

    def response(self, drive: Tensor) -> Tensor:
        scaled = drive if self.slope == 1 else drive * self.slope
        if self.lower == 0 and self.upper == math.inf:
            return scaled.relu()
        return scaled.clamp(self.lower, self.upper)

    def gate(self, drive: Tensor, error: Tensor, r_plus: float) -> Tensor:
        return self._gate(drive, error, 1.0, r_plus)

    def secant(self, drive: Tensor, h: Tensor, beta: float, r_plus: float = 0.5) -> Tensor:
        return self.tangent(drive, h) if beta == 0 else self._gate(drive, h, beta, r_plus).mul_(h)

    def tangent(self, drive: Tensor, direction: Tensor) -> Tensor:
        inside = (drive > self.lower / self.slope) & (drive < self.upper / self.slope)
        return direction * inside if self.slope == 1 else direction * inside * self.slope

    def _gate(self, drive: Tensor, h: Tensor, beta: float, r_plus: float) -> Tensor:
        """The gate as a sum over the bounded sides of clamp(distance/|βh| + share beyond, 0, 1): no difference of ends.

        `tiny` keeps the division from 0/0 where h = 0.
        """
        width = h.abs().add_(torch.finfo(h.dtype).tiny)
        distance = drive if self.lower == 0 else drive - self.lower / self.slope
        part = _fraction(distance, width, h, beta, r_plus)
        if self.upper < math.inf:
            above = _fraction(self.upper / self.slope - drive, width, h, beta, 1 - r_plus)
            part = part.add_(above).sub_(1).clamp_(min=0)
        return part if self.slope == 1 else part.mul_(self.slope)


def _fraction(distance: Tensor, width: Tensor, h: Tensor, beta: float, r_plus: float) -> Tensor:
    """Share of the dyad's interval on the inner side of a bound at `distance` from the drive; `width` = |h|."""
    share = h.new_full((), r_plus)
    if r_plus != 0.5:
        share = torch.where(h * beta > 0, share, 1 - share)
    return torch.addcdiv(share, distance, width, value=1 / abs(beta)).clamp_(0, 1)


class Identity(Clamp, name="identity"):
    """G(s) = s²/2, f(a) = a: the linear unit, and the usual output layer."""

    def response(self, drive: Tensor) -> Tensor:
        return drive

    def gate(self, drive: Tensor, error: Tensor, r_plus: float) -> Tensor:
        return torch.ones_like(drive)

    def tangent(self, drive: Tensor, direction: Tensor) -> Tensor:
        return direction

    def secant(self, drive: Tensor, h: Tensor, beta: float, r_plus: float = 0.5) -> Tensor:
        return h


class ReLU(Clamp, name="relu"):
    """G(s) = s²/2 on s ≥ 0, f(a) = max(a, 0).

    Unbounded: with feedback (γ > 0) an equilibrium exists for small couplings only.
    """

    lower: ClassVar[float] = 0.0


class HardSigmoid(Clamp, name="hard_sigmoid"):
    """G(s) = s²/2 on [0, 1], f(a) = clamp(a, 0, 1): the unit of deep Hopfield networks.

    Reference:
        Scellier & Bengio, Front. Comput. Neurosci. 2017.
    """

    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0


class HalfHardSigmoid(Clamp, name="half_hard_sigmoid"):
    """G(s) = s² on [0, 1], f(a) = clamp(a/2, 0, 1).

    Reference:
        Laborieux et al., Front. Neurosci. 2021.
    """

    slope: ClassVar[float] = 0.5
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    lipschitz: ClassVar[float] = 0.5


class ClippedReLU(Clamp, name="clipped_relu"):
    """G(s) = s²/2 on [0, 6], f(a) = clamp(a, 0, 6): `torch.nn.ReLU6`."""

    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 6.0


class LeakyReLU(Gated, name="leaky_relu"):
    """G(s) = s²/2 above zero and s²/(2·slope) below, f(a) = max(a, slope·a); the gate is slope + (1 − slope)·gate_ReLU.

    Attributes:
        slope: f′ below zero, in (0, 1].
    """

    slope: float = 0.01

    def __post_init__(self) -> None:
        require(0 < self.slope <= 1, self, "slope", "in (0, 1]")

    def value(self, state: Tensor) -> Tensor:
        square = state.square()
        return per_sample(torch.where(state < 0, square * (0.5 / self.slope), square * 0.5))

    def response(self, drive: Tensor) -> Tensor:
        return torch.nn.functional.leaky_relu(drive, self.slope)

    def gate(self, drive: Tensor, error: Tensor, r_plus: float) -> Tensor:
        return ReLU().gate(drive, error, r_plus).mul_(1 - self.slope).add_(self.slope)
