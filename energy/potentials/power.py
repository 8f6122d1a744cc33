"""The rectified power unit."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from energy.component import require
from energy.kernels import Kernel
from energy.potentials.clamp import ReLU
from energy.potentials.potential import Potential, per_sample


class RePU(Potential, name="repu"):
    """G(s) = p/(p+1)·s^(1+1/p) on s ≥ 0, f(a) = max(a, 0)^p: the rectified power unit, ReLU at p = 1.

        gate = −b^p · expm1(p·ln(1 − w/b))/w          b = max(a + r₊e, a − r₋e),  w = |e|

    with 1 − w/b, the lesser end over b, taken as 0 below the kink. For p < 1 the slope is infinite at 0⁺; `tangent`
    gives 0 at and below 0. Below a coupling that subtracts the mean over the channels (`Block`), this is the Triangle
    activation.

    Attributes:
        power: p, above 0.

    Reference:
        Krotov & Hopfield, PNAS 2019 (power); Journé et al., ICLR 2023 (Triangle).
    """

    lower: ClassVar[float] = 0.0
    power: float = 1.0

    def __post_init__(self) -> None:
        require(0 < self.power < math.inf, self, "power", "above 0")

    @property
    def quadratic(self) -> float:
        return float(self.power == 1)

    def value(self, state: Tensor) -> Tensor:
        return per_sample(state.pow(1 + 1 / self.power)) * (self.power / (self.power + 1))

    def response(self, drive: Tensor) -> Tensor:
        if self.power != 1 and drive.requires_grad:  # keeps autograd from 0·∞ at and below 0
            return torch.where(drive > 0, drive, 1).pow(self.power) * (drive > 0)
        if self.power != 1 and _RESPONSE.ready(drive):
            return _RESPONSE((drive,), self.power)[0]
        above = drive.clamp_min(0)
        return above if self.power == 1 else above.pow_(self.power)

    def tangent(self, drive: Tensor, direction: Tensor) -> Tensor:
        return self._slope(drive) * direction

    def _slope(self, drive: Tensor) -> Tensor:
        return torch.where(drive > 0, self.power * drive.clamp_min(0).pow(self.power - 1), 0)

    def secant(self, drive: Tensor, h: Tensor, beta: float, r_plus: float = 0.5) -> Tensor:
        if beta == 0:
            return self.tangent(drive, h)
        if self.power == 1:
            return ReLU().secant(drive, h, beta, r_plus)
        return self._gate(drive, h, beta, r_plus) * h

    def _gate(self, drive: Tensor, h: Tensor, beta: float, r_plus: float) -> Tensor:
        ends = drive.add(h, alpha=r_plus * beta), drive.add(h, alpha=(r_plus - 1) * beta)
        high, low = torch.maximum(*ends), torch.minimum(*ends)
        width = h.abs() * abs(beta)
        point = width <= high * torch.finfo(drive.dtype).eps
        top, width = torch.where(high > 0, high, 1), torch.where(point, 1, width)
        part = (width / top).clamp_max(1)
        logs = torch.where(part < 0.5, torch.log1p(-part), (low.clamp_min(0) / top).log())
        rise = top.pow(self.power) * torch.expm1(logs * self.power).neg()
        return torch.where(point, self._slope(drive), torch.where(high > 0, rise / width, 0))


def _response(drive: Tensor, power: float) -> tuple[Tensor]:
    """max(a, 0)^p as exp(p ln a): torch's compiled power takes three times as long."""
    wide = drive.clamp_min(0).to(torch.promote_types(drive.dtype, torch.float32))
    return (torch.exp(power * torch.log(wide)).to(drive.dtype),)


_RESPONSE = Kernel(_response, elementwise=True)
