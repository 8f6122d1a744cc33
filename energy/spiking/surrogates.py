"""What stands for the derivative of a spike: a smooth firing probability Φ of v = u − θ, and its slope Φ′.

A dyad needs the pair: its two compartments fire with Φ(v ± βh/2), and their normalised difference

    δ = [Φ(v + βh/2) − Φ(v − βh/2)]/β = Φ′(v) h + O(β²)

is here in forms that do not cancel. Whoever has only a slope, such as one borrowed from another library, has the limit
β = 0. Each Φ′ peaks at v = 0, and Φ rises from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from energy.component import Component, require
from energy.potentials import Sigmoid


class Surrogate(Component):
    """A pair (Φ, Φ′); a subclass must give `slope`, and `value` where β > 0 is to be possible."""

    group: ClassVar[str] = "surrogate"

    def slope(self, v: Tensor) -> Tensor:
        """Φ′(v), the shape of v = u − θ."""
        raise NotImplementedError(f"{type(self).__name__} must define slope(v)")

    def value(self, v: Tensor) -> Tensor:
        """Φ(v), the probability to fire."""
        raise NotImplementedError(f"{type(self).__name__} has a slope and no value: only beta = 0 is possible")

    @property
    def paired(self) -> bool:
        """Whether Φ is known, and not only its slope."""
        return type(self).value is not Surrogate.value

    def secant(self, v: Tensor, h: Tensor, beta: float) -> Tensor:
        """δ = [Φ(v + βh/2) − Φ(v − βh/2)]/β; Φ′(v) h at β = 0."""
        if beta == 0:
            return self.slope(v) * h
        return self.difference(v, h * beta) / beta

    def difference(self, v: Tensor, width: Tensor) -> Tensor:
        """Φ(v + width/2) − Φ(v − width/2). Override it with a form that keeps its digits where the width is small."""
        return self.value(v + width / 2) - self.value(v - width / 2)


class Logistic(Surrogate, name="logistic"):
    """Φ(v) = 1/(1 + e^{−v/a}), a = `width`; the peak of Φ′ is 1/(4a)."""

    width: float = 0.2

    def __post_init__(self) -> None:
        require(0 < self.width < math.inf, self, "width", "above 0")

    def value(self, v: Tensor) -> Tensor:
        return (v / self.width).sigmoid()

    def slope(self, v: Tensor) -> Tensor:
        fires = (v / self.width).sigmoid()
        return fires * (1 - fires) / self.width

    def difference(self, v: Tensor, width: Tensor) -> Tensor:
        scaled = width / self.width
        return Sigmoid().gate(v / self.width, scaled, 0.5) * scaled


class Arctangent(Surrogate, name="arctangent"):
    """Φ(v) = ½ + arctan(πv)/π, Φ′(v) = 1/(1 + (πv)²)."""

    def value(self, v: Tensor) -> Tensor:
        return 0.5 + (math.pi * v).atan() / math.pi

    def slope(self, v: Tensor) -> Tensor:
        return 1 / (1 + (math.pi * v).square())

    def difference(self, v: Tensor, width: Tensor) -> Tensor:
        """arctan a − arctan b = atan2(a − b, 1 + ab) for a ≥ b."""
        ends = (v + width / 2) * (v - width / 2)
        return torch.atan2(math.pi * width.abs(), 1 + math.pi**2 * ends) / math.pi * width.sign()


class FastSigmoid(Surrogate, name="fast_sigmoid"):
    """Φ(v) = ½ + kv/(2(1 + k|v|)), Φ′(v) = k/(2(1 + k|v|)²), k = `steepness` (Zenke & Ganguli 2018)."""

    steepness: float = 5.0

    def __post_init__(self) -> None:
        require(0 < self.steepness < math.inf, self, "steepness", "above 0")

    def value(self, v: Tensor) -> Tensor:
        scaled = self.steepness * v
        return 0.5 + scaled / (2 * (1 + scaled.abs()))

    def slope(self, v: Tensor) -> Tensor:
        return self.steepness / 2 / (1 + self.steepness * v.abs()).square()

    def difference(self, v: Tensor, width: Tensor) -> Tensor:
        """The second term is exactly zero where both ends lie on one side."""
        high, low = v + width / 2, v - width / 2
        above, below, k = high.abs(), low.abs(), self.steepness
        rise = width + k * (high * below - low * above)
        return k / 2 * rise / ((1 + k * above) * (1 + k * below))


def borrowed(slope: Callable[[Tensor], Tensor]) -> Surrogate:
    """A surrogate from any callable Φ′, v ↦ Φ′(v); for β = 0 only, and for Python only: it has no name to be stored
    by."""

    class Borrowed(Surrogate):
        """A slope from elsewhere."""

        def slope(self, v: Tensor) -> Tensor:
            return slope(v)

    return Borrowed()
