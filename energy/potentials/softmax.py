"""The softmax unit: competition along axis 1."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from energy.component import require
from energy.potentials.potential import Potential, per_sample


class Softmax(Potential, name="softmax"):
    """G(s) = T Σ s ln s on the simplex of axis 1, f(a) = softmax(a/T).

    The units of a layer compete, or the channels at each position.

    Attributes:
        temperature: T, above 0.

    Reference:
        Moraitis et al., Neuromorph. Comput. Eng. 2022 (soft winner-take-all).
    """

    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        require(0 < self.temperature < math.inf, self, "temperature", "above 0")

    def value(self, state: Tensor) -> Tensor:
        return per_sample(torch.xlogy(state, state)) * self.temperature

    def response(self, drive: Tensor) -> Tensor:
        return (drive if self.temperature == 1 else drive / self.temperature).softmax(1)

    def tangent(self, drive: Tensor, direction: Tensor) -> Tensor:
        share = self.response(drive)
        return share * (direction - (share * direction).sum(1, keepdim=True)) / self.temperature

    def secant(self, drive: Tensor, h: Tensor, beta: float, r_plus: float = 0.5) -> Tensor:
        # δ = p·expm1(e − c)/β with p = f(a − r₋βh), e = βh/T, c = ln Σ p e^e: no cancellation; for max|e| > 1, where
        # expm1 could overflow, the difference of two responses has all its digits
        if beta == 0:
            return self.tangent(drive, h)
        error = (h - h.mean(1, keepdim=True)) * (beta / self.temperature)
        scaled = drive / self.temperature
        low = (scaled - (1 - r_plus) * error).softmax(1)
        shift = torch.log1p((low * torch.expm1(error)).sum(1, keepdim=True))
        far = (scaled + r_plus * error).softmax(1) - low
        near = low * torch.expm1(error - shift)
        return torch.where(error.abs().amax(1, keepdim=True) > 1, far, near) / beta
