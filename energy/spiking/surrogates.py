"""Surrogates for the derivative of a spike: a smooth firing probability Φ of v = u − θ, and its slope Φ′.

A dyad needs the pair: its two compartments fire with Φ(v ± βh/2), and their normalized difference

    δ = [Φ(v + βh/2) − Φ(v − βh/2)]/β = Φ′(v) h + O(β²)

is here in forms that do not cancel. A slope alone, such as one borrowed from another library, has the limit β = 0. Each
Φ′ peaks at v = 0, and Φ rises from 0 to 1.
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
    """A pair (Φ, Φ′); a subclass defines `slope`, and `value` to admit β > 0."""

    group: ClassVar[str] = "surrogate"

    def slope(self, v: Tensor) -> Tensor:
        """Return Φ′(v), of the shape of v = u − θ."""
        raise NotImplementedError(f"{type(self).__name__} must define slope(v)")

    def value(self, v: Tensor) -> Tensor:
        """Return Φ(v), the probability to fire."""
        raise NotImplementedError(f"{type(self).__name__} has a slope and no value: only beta = 0 is possible")

    @property
    def paired(self) -> bool:
        """True if Φ is known, and not only its slope."""
        return type(self).value is not Surrogate.value

    def secant(self, v: Tensor, h: Tensor, beta: float) -> Tensor:
        """Return δ = [Φ(v + βh/2) − Φ(v − βh/2)]/β; Φ′(v) h at β = 0."""
        if beta == 0:
            return self.slope(v) * h
        return self.difference(v, h * beta) / beta

    def difference(self, v: Tensor, width: Tensor) -> Tensor:
        """Return Φ(v + width/2) − Φ(v − width/2).

        Override it with a form that loses no digits at small widths.
        """
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
        """Use arctan a − arctan b = atan2(a − b, 1 + ab) for a ≥ b."""
        ends = (v + width / 2) * (v - width / 2)
        return torch.atan2(math.pi * width.abs(), 1 + math.pi**2 * ends) / math.pi * width.sign()


class FastSigmoid(Surrogate, name="fast_sigmoid"):
    """Φ(v) = ½ + kv/(2(1 + k|v|)), Φ′(v) = k/(2(1 + k|v|)²), k = `steepness`.

    Reference:
        Zenke & Ganguli, "SuperSpike: Supervised learning in multilayer spiking neural networks", Neural Computation 30
        (2018) 1514.
    """

    steepness: float = 5.0

    def __post_init__(self) -> None:
        require(0 < self.steepness < math.inf, self, "steepness", "above 0")

    def value(self, v: Tensor) -> Tensor:
        scaled = self.steepness * v
        return 0.5 + scaled / (2 * (1 + scaled.abs()))

    def slope(self, v: Tensor) -> Tensor:
        return self.steepness / 2 / (1 + self.steepness * v.abs()).square()

    def difference(self, v: Tensor, width: Tensor) -> Tensor:
        """Combine the two values over one denominator; its second term is exactly zero if both ends lie on one side."""
        high, low = v + width / 2, v - width / 2
        above, below = high.abs(), low.abs()
        k = self.steepness
        rise = width + k * (high * below - low * above)
        return k / 2 * rise / ((1 + k * above) * (1 + k * below))


def borrowed(slope: Callable[[Tensor], Tensor]) -> Surrogate:
    """Make a surrogate from any callable Φ′, v ↦ Φ′(v).

    It admits β = 0 only, and has no name by which a configuration could store it.
    """

    class Borrowed(Surrogate):
        """A slope from elsewhere."""

        def slope(self, v: Tensor) -> Tensor:
            return slope(v)

    return Borrowed()
