"""What a layer costs alone: a convex potential G, the response f = ∇G* it gives to a drive, and the secant of that
response.

Write f for the response and let a dyad's two replicas sit at s⁺ = f(a + r₊e) and s⁻ = f(a − r₋e), with e = βh and r₊ +
r₋ = 1. Learning needs their normalised difference δ = (s⁺ − s⁻)/β. Subtracting the two loses every digit as β → 0, so
each potential here carries δ in closed form: δ = gate · h, the *secant gate* being the average of f′ over [a − r₋e, a +
r₊e]. At β = 0 it is f′(a).

Source: Høier, Staudt & Zach, ICML 2023; Høier & Zach, ICML 2024 (dyads). The gates are derived from the responses.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from energy.component import Component, require
from energy.kernels import Kernel
from energy.tape import leaf, taped


def per_sample(values: Tensor) -> Tensor:
    """Sum over everything but the batch: (B, …) → (B,)."""
    return values.flatten(1).sum(1)


class Potential(Component):
    """A convex G(s) and its response f(a) = argmin_s G(s) − ⟨s, a⟩.

    A subclass must give `response`; `value` is needed where the energy itself is asked for. The rest has defaults:
    `tangent` by autograd and `secant` as the difference of two responses (which cancels for small β; override it, or
    derive from `Gated`)."""

    group: ClassVar[str] = "potential"
    lower: ClassVar[float] = -math.inf  # the least and the greatest activity a unit can have
    upper: ClassVar[float] = math.inf

    @property
    def quadratic(self) -> float:
        """σ where G = s²/(2σ) on [lower, upper], so that squared error has a closed proximal step (True serves for 1);
        0 for any other shape.
        """
        return 0.0

    def value(self, state: Tensor) -> Tensor:
        """G(s) summed over a sample's units: (B, …) → (B,). Defined on the range of the response."""
        raise NotImplementedError(f"{type(self).__name__} has no value: its energy cannot be evaluated")

    def response(self, drive: Tensor) -> Tensor:
        """f(a), the activity that minimises G(s) − ⟨s, a⟩; same shape as `drive`."""
        raise NotImplementedError(f"{type(self).__name__} must define response(drive)")

    def tangent(self, drive: Tensor, direction: Tensor) -> Tensor:
        """f′(a) v, the derivative of the response at `drive` along `direction`."""
        with taped():  # f′ is symmetric, being the second derivative of G*: a reverse pass does
            start = leaf(drive)
            return torch.autograd.grad(self.response(start), start, direction)[0]

    def secant(self, drive: Tensor, h: Tensor, beta: float, plus: float = 0.5) -> Tensor:
        """δ = [f(a + r₊βh) − f(a − r₋βh)]/β, with r₊ = `plus`, r₋ = 1 − `plus`; f′(a)h at β = 0."""
        if beta == 0:
            return self.tangent(drive, h)
        high = self.response(drive.add(h, alpha=plus * beta))
        return (high - self.response(drive.add(h, alpha=(plus - 1) * beta))) / beta

    def mean(self, drive: Tensor, h: Tensor, delta: Tensor, beta: float, plus: float, alpha: float) -> Tensor:
        """m = α s⁺ + (1 − α) s⁻, reached from the nearer replica with δ: no difference is formed, and α ∈ {0, 1} costs
        nothing.
        """
        if alpha < 0.5:
            share, rest = plus - 1, alpha
        else:
            share, rest = plus, alpha - 1
        moved = drive if share * beta == 0 else drive.add(h, alpha=share * beta)
        near = self.response(moved)
        return near if rest * beta == 0 else near.add(delta, alpha=rest * beta)

    def pair(self, drive: Tensor, h: Tensor, beta: float, plus: float, alpha: float) -> tuple[Tensor, Tensor]:
        """(m, δ), the dyad that hears `drive` and `h`: `mean` and `secant` together."""
        delta = self.secant(drive, h, beta, plus)
        return self.mean(drive, h, delta, beta, plus, alpha), delta


class Gated(Potential):
    """An elementwise response whose secant gate has a cancellation-free closed form."""

    lipschitz: ClassVar[float] = 1.0  # the gate lies in [0, lipschitz]

    def gate(self, drive: Tensor, error: Tensor, plus: float) -> Tensor:
        """The average of f′ over [a − r₋e, a + r₊e]; f′(a) where e = 0."""
        raise NotImplementedError(f"{type(self).__name__} must define gate(drive, error, plus)")

    def secant(self, drive: Tensor, h: Tensor, beta: float, plus: float = 0.5) -> Tensor:
        return self.gate(drive, h * beta, plus) * h

    def tangent(self, drive: Tensor, direction: Tensor) -> Tensor:
        return self.gate(drive, torch.zeros_like(drive), 0.5) * direction

    def pair(self, drive: Tensor, h: Tensor, beta: float, plus: float, alpha: float) -> tuple[Tensor, Tensor]:
        mean, delta = _PAIR((drive, h), self, beta, plus, alpha)
        return mean, delta


def _elementwise_pair(
    drive: Tensor, h: Tensor, potential: Gated, beta: float, plus: float, alpha: float
) -> tuple[Tensor, Tensor]:
    return Potential.pair(potential, drive, h, beta, plus, alpha)


_PAIR = Kernel(_elementwise_pair, elementwise=True)


class Clamp(Gated):
    """G(s) = s²/(2·slope) on [lower, upper]: f(a) = clamp(slope·a, lower, upper). The family of the piecewise-linear
    units.

    The gate is the part of the dyad's interval on which the unit is not saturated:
    slope · |[a − r₋e, a + r₊e] ∩ [lower, upper]/slope| / |e|.
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

    def gate(self, drive: Tensor, error: Tensor, plus: float) -> Tensor:
        return self._gate(drive, error, 1.0, plus)

    def secant(self, drive: Tensor, h: Tensor, beta: float, plus: float = 0.5) -> Tensor:
        return self.tangent(drive, h) if beta == 0 else self._gate(drive, h, beta, plus).mul_(h)

    def tangent(self, drive: Tensor, direction: Tensor) -> Tensor:
        inside = (drive > self.lower / self.slope) & (drive < self.upper / self.slope)
        return direction * inside if self.slope == 1 else direction * inside * self.slope

    def _gate(self, drive: Tensor, h: Tensor, beta: float, plus: float) -> Tensor:
        """Each bounded side contributes clamp(distance to it/|βh| + share of the dyad beyond, 0, 1): divisions, never
        differences.
        """
        width = h.abs().add_(torch.finfo(h.dtype).tiny)
        distance = drive if self.lower == 0 else drive - self.lower / self.slope
        part = _fraction(distance, width, h, beta, plus)
        if self.upper < math.inf:
            part = part.add_(_fraction(self.upper / self.slope - drive, width, h, beta, 1 - plus)).sub_(1).clamp_(min=0)
        return part if self.slope == 1 else part.mul_(self.slope)


def _fraction(distance: Tensor, width: Tensor, h: Tensor, beta: float, plus: float) -> Tensor:
    """The fraction of the dyad on the inner side of a bound that lies `distance` beyond the drive; `width` = |h|."""
    share = h.new_full((), plus)
    if plus != 0.5:
        share = torch.where(h * beta > 0, share, 1 - share)
    return torch.addcdiv(share, distance, width, value=1 / abs(beta)).clamp_(0, 1)


class Identity(Clamp, name="identity"):
    """G = s²/2, f(a) = a: the linear unit, and the usual output layer."""

    def response(self, drive: Tensor) -> Tensor:
        return drive

    def gate(self, drive: Tensor, error: Tensor, plus: float) -> Tensor:
        return torch.ones_like(drive)

    def tangent(self, drive: Tensor, direction: Tensor) -> Tensor:
        return direction

    def secant(self, drive: Tensor, h: Tensor, beta: float, plus: float = 0.5) -> Tensor:
        return h


class ReLU(Clamp, name="relu"):
    """G = s²/2 on s ≥ 0, f(a) = max(a, 0). Unbounded: with feedback (γ > 0) an equilibrium exists only for small
    couplings.
    """

    lower: ClassVar[float] = 0.0


class RePU(Potential, name="repu"):
    """G = p/(p+1)·s^(1+1/p) on s ≥ 0, f(a) = max(a, 0)^p: the rectified power unit, ReLU at p = 1.

    Below a coupling that takes the mean over the channels away (`Block`), this is the Triangle activation of the
    feedback-free networks. For p < 1 the slope is infinite at 0⁺; `tangent` gives 0 at and below it.

    With b the greater end of the dyad's interval and w its length, the gate is −b^p·expm1(p·ln(1 − w/b))/w, where the
    lesser end 1 − w/b counts as 0 below the kink."""

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
        above = drive.clamp_min(0)
        return above if self.power == 1 else above.pow_(self.power)

    def tangent(self, drive: Tensor, direction: Tensor) -> Tensor:
        return self._slope(drive) * direction

    def _slope(self, drive: Tensor) -> Tensor:
        return torch.where(drive > 0, self.power * drive.clamp_min(0).pow(self.power - 1), 0)

    def secant(self, drive: Tensor, h: Tensor, beta: float, plus: float = 0.5) -> Tensor:
        if beta == 0:
            return self.tangent(drive, h)
        if self.power == 1:
            return ReLU().secant(drive, h, beta, plus)
        return self._gate(drive, h, beta, plus) * h

    def _gate(self, drive: Tensor, h: Tensor, beta: float, plus: float) -> Tensor:
        ends = drive.add(h, alpha=plus * beta), drive.add(h, alpha=(plus - 1) * beta)
        high, low, width = torch.maximum(*ends), torch.minimum(*ends), h.abs() * abs(beta)
        point = width <= high * torch.finfo(drive.dtype).eps
        top, width = torch.where(high > 0, high, 1), torch.where(point, 1, width)
        part = (width / top).clamp_max(1)
        logs = torch.where(part < 0.5, torch.log1p(-part), (low.clamp_min(0) / top).log())
        rise = top.pow(self.power) * torch.expm1(logs * self.power).neg()
        return torch.where(point, self._slope(drive), torch.where(high > 0, rise / width, 0))


class HardSigmoid(Clamp, name="hard_sigmoid"):
    """G = s²/2 on [0, 1], f(a) = clamp(a, 0, 1): the unit of the deep Hopfield networks."""

    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0


class HalfHardSigmoid(Clamp, name="half_hard_sigmoid"):
    """G = s² on [0, 1], f(a) = clamp(a/2, 0, 1): the shape used by Laborieux et al. (2021)."""

    slope: ClassVar[float] = 0.5
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    lipschitz: ClassVar[float] = 0.5


class ClippedReLU(Clamp, name="clipped_relu"):
    """G = s²/2 on [0, 6], f(a) = clamp(a, 0, 6): ReLU6."""

    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 6.0


class LeakyReLU(Gated, name="leaky_relu"):
    """f(a) = max(a, slope·a), 0 < slope ≤ 1; G = s²/2 above zero and s²/(2·slope) below."""

    slope: float = 0.01

    def __post_init__(self) -> None:
        require(0 < self.slope <= 1, self, "slope", "in (0, 1]")

    def value(self, state: Tensor) -> Tensor:
        square = state.square()
        return per_sample(torch.where(state < 0, square * (0.5 / self.slope), square * 0.5))

    def response(self, drive: Tensor) -> Tensor:
        return torch.nn.functional.leaky_relu(drive, self.slope)

    def gate(self, drive: Tensor, error: Tensor, plus: float) -> Tensor:
        return ReLU().gate(drive, error, plus).mul_(1 - self.slope).add_(self.slope)


def _tanhc(error: Tensor) -> Tensor:
    """tanh(e)/e, 1 at e = 0."""
    safe = torch.where(error.abs() < 1e-4, torch.ones_like(error), error)
    return torch.where(error.abs() < 1e-4, 1 - error.square() / 3, safe.tanh() / safe)


class Tanh(Gated, name="tanh"):
    """G = ½[(1+s)ln(1+s) + (1−s)ln(1−s)], f = tanh; the gate is (1 − s⁺s⁻)·tanh(e)/e."""

    lower: ClassVar[float] = -1.0
    upper: ClassVar[float] = 1.0

    def value(self, state: Tensor) -> Tensor:
        return per_sample(torch.xlogy(1 + state, 1 + state) + torch.xlogy(1 - state, 1 - state)) / 2

    def response(self, drive: Tensor) -> Tensor:
        return drive.tanh()

    def gate(self, drive: Tensor, error: Tensor, plus: float) -> Tensor:
        ends = (drive + plus * error).tanh() * (drive - (1 - plus) * error).tanh()
        return (1 - ends) * _tanhc(error)


class Sigmoid(Gated, name="sigmoid"):
    """G = s ln s + (1−s) ln(1−s), f = 1/(1 + e^{−a}); with t = 2s − 1 the gate is ¼(1 − t⁺t⁻)·tanh(e/2)/(e/2)."""

    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    lipschitz: ClassVar[float] = 0.25

    def value(self, state: Tensor) -> Tensor:
        return per_sample(torch.xlogy(state, state) + torch.xlogy(1 - state, 1 - state))

    def response(self, drive: Tensor) -> Tensor:
        return drive.sigmoid()

    def gate(self, drive: Tensor, error: Tensor, plus: float) -> Tensor:
        return Tanh().gate(drive / 2, error / 2, plus) / 4


def _dilogarithm_of_exp(state: Tensor, terms: int = 52) -> Tensor:
    """Li₂(e^{−s}) for s ≥ 0: its power series on e^{−s} ≤ ½, Euler's reflection elsewhere."""
    z, rest = (-state).exp(), -torch.expm1(-state)
    small = torch.where(z <= 0.5, z, rest)
    series = torch.zeros_like(state)
    for n in range(terms, 0, -1):
        series = small * (series + 1 / n**2)
    return torch.where(z <= 0.5, series, math.pi**2 / 6 + torch.xlogy(state, rest) - series)


class Softplus(Gated, name="softplus"):
    """f(a) = ln(1 + e^a); G(s) = s²/2 + Li₂(e^{−s}) on s ≥ 0, since G′ = ln(e^s − 1)."""

    lower: ClassVar[float] = 0.0

    def value(self, state: Tensor) -> Tensor:
        return per_sample(state.square() / 2 + _dilogarithm_of_exp(state))

    def response(self, drive: Tensor) -> Tensor:
        return drive.clamp(min=0) + torch.log1p((-drive.abs()).exp())

    def gate(self, drive: Tensor, error: Tensor, plus: float) -> Tensor:
        """−ln(1 + σ(upper end)·(e^{−|e|} − 1))/|e|; once |e| > 1 the ReLU's gate, f being max(a, 0) + ln(1 + e^{−|a|}),
        and the difference of the rest, which is bounded."""
        high, low = drive + plus * error, drive - (1 - plus) * error
        width = error.abs()
        tiny = width < torch.finfo(error.dtype).eps
        safe = torch.where(tiny, torch.ones_like(width), width)
        near = -torch.log1p(torch.maximum(high, low).sigmoid() * torch.expm1(-safe)) / safe
        rest = torch.log1p((-high.abs()).exp()) - torch.log1p((-low.abs()).exp())
        far = ReLU().gate(drive, error, plus) + rest * error.sign() / safe
        return torch.where(tiny, drive.sigmoid(), torch.where(width > 1, far, near))


class Softmax(Potential, name="softmax"):
    """G = T Σ s ln s on the simplex of axis 1, f(a) = softmax(a/T): one winner shared among a layer's units, or among
    the channels of each place."""

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

    def secant(self, drive: Tensor, h: Tensor, beta: float, plus: float = 0.5) -> Tensor:
        """p·expm1(e − c)/β with p = f(a − r₋βh), e = βh/T and c = ln Σ p e^e; two responses once max|e| > 1."""
        if beta == 0:
            return self.tangent(drive, h)
        error = (h - h.mean(1, keepdim=True)) * (beta / self.temperature)
        scaled = drive / self.temperature
        low = (scaled - (1 - plus) * error).softmax(1)
        shift = torch.log1p((low * torch.expm1(error)).sum(1, keepdim=True))
        far = (scaled + plus * error).softmax(1) - low
        near = low * torch.expm1(error - shift)
        return torch.where(error.abs().amax(1, keepdim=True) > 1, far, near) / beta
