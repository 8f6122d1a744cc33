"""Smooth elementwise units: tanh, sigmoid and softplus."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from energy.potentials.clamp import ReLU
from energy.potentials.gated import Gated
from energy.potentials.potential import per_sample


def _tanhc(error: Tensor) -> Tensor:
    """tanh(e)/e, 1 at e = 0."""
    safe = torch.where(error.abs() < 1e-4, torch.ones_like(error), error)
    return torch.where(error.abs() < 1e-4, 1 - error.square() / 3, safe.tanh() / safe)


class Tanh(Gated, name="tanh"):
    """G(s) = ½[(1+s)ln(1+s) + (1−s)ln(1−s)], f(a) = tanh(a); the gate is (1 − s⁺s⁻)·tanh(e)/e."""

    lower: ClassVar[float] = -1.0
    upper: ClassVar[float] = 1.0

    def value(self, state: Tensor) -> Tensor:
        return per_sample(torch.xlogy(1 + state, 1 + state) + torch.xlogy(1 - state, 1 - state)) / 2

    def response(self, drive: Tensor) -> Tensor:
        return drive.tanh()

    def gate(self, drive: Tensor, error: Tensor, r_plus: float) -> Tensor:
        ends = (drive + r_plus * error).tanh() * (drive - (1 - r_plus) * error).tanh()
        return (1 - ends) * _tanhc(error)


class Sigmoid(Gated, name="sigmoid"):
    """G(s) = s ln s + (1−s) ln(1−s), f(a) = 1/(1 + e^{−a}); the gate is ¼(1 − t⁺t⁻)·tanh(e/2)/(e/2), t = 2s − 1."""

    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    lipschitz: ClassVar[float] = 0.25

    def value(self, state: Tensor) -> Tensor:
        return per_sample(torch.xlogy(state, state) + torch.xlogy(1 - state, 1 - state))

    def response(self, drive: Tensor) -> Tensor:
        return drive.sigmoid()

    def gate(self, drive: Tensor, error: Tensor, r_plus: float) -> Tensor:
        return Tanh().gate(drive / 2, error / 2, r_plus) / 4


def _dilogarithm_of_exp(state: Tensor, terms: int = 52) -> Tensor:
    """Li₂(e^{−s}) for s ≥ 0: its power series on e^{−s} ≤ ½, Euler's reflection elsewhere."""
    z, rest = (-state).exp(), -torch.expm1(-state)
    small = torch.where(z <= 0.5, z, rest)
    series = torch.zeros_like(state)
    for n in range(terms, 0, -1):
        series = small * (series + 1 / n**2)
    return torch.where(z <= 0.5, series, math.pi**2 / 6 + torch.xlogy(state, rest) - series)


class Softplus(Gated, name="softplus"):
    """G(s) = s²/2 + Li₂(e^{−s}) on s ≥ 0, f(a) = ln(1 + e^a), since G′ = ln(e^s − 1)."""

    lower: ClassVar[float] = 0.0

    def value(self, state: Tensor) -> Tensor:
        return per_sample(state.square() / 2 + _dilogarithm_of_exp(state))

    def response(self, drive: Tensor) -> Tensor:
        return drive.clamp(min=0) + torch.log1p((-drive.abs()).exp())

    def gate(self, drive: Tensor, error: Tensor, r_plus: float) -> Tensor:
        """−ln(1 + σ(b)·(e^{−|e|} − 1))/|e| with b the greater end of the interval.

        That form loses digits at large |e|. For |e| > 1 the gate comes from f(a) = max(a, 0) + ln(1 + e^{−|a|}): the
        ReLU's gate, plus the difference of the second term, which is bounded, over e.
        """
        high, low = drive + r_plus * error, drive - (1 - r_plus) * error
        width = error.abs()
        tiny = width < torch.finfo(error.dtype).eps
        safe = torch.where(tiny, torch.ones_like(width), width)
        near = -torch.log1p(torch.maximum(high, low).sigmoid() * torch.expm1(-safe)) / safe
        rest = torch.log1p((-high.abs()).exp()) - torch.log1p((-low.abs()).exp())
        far = ReLU().gate(drive, error, r_plus) + rest * error.sign() / safe
        return torch.where(tiny, drive.sigmoid(), torch.where(width > 1, far, near))
