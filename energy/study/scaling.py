"""The growth of sweeps with the size of a problem: a fitted power, and the law of the contraction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from energy.study.points import ARM, CELL, StudyPoint, arm_names, cell_names, grouped, total_sweeps

CONFIDENCE: Final = 0.95
FEWEST: Final = 3  # values of an axis that a power is fitted to
SIZES: Final = ("depth", "units")  # which change together, so that neither tells cells of the other apart


@dataclass(frozen=True)
class Exponent:
    """The power p of sweeps ∝ axis^p with one settler, by least squares on logarithms.

    Attributes:
        label: name of the settler, and of the cell where there are several.
        axis: the size that grows.
        power: p.
        low: lower end of its interval, by Student's t over the points of all seeds.
        high: its upper end.
        scale: sweeps at axis 1.
        n: points, one of each seed and value.
        values: of the axis that the fit has.
        left_out: points that did not converge.
    """

    label: str
    axis: str
    power: float
    low: float
    high: float
    scale: float
    n: int
    values: int
    left_out: int

    def at(self, value: float) -> float:
        """Return the fitted sweeps at a value of the axis."""
        return self.scale * value**self.power

    def said(self) -> str:
        """Return power and interval as words."""
        power, low, high = (f"{number:z.2f}" for number in (self.power, self.low, self.high))
        return f"{power} ({low} to {high})"


def exponents(points: Sequence[StudyPoint], axis: str) -> list[Exponent]:
    """Fit the power with which the sweeps of both phases grow along an axis, for each settler and cell.

    Only points that converged count, and only positive values; settlers with less than three values are left out.

    Args:
        points: one of each settler, value and seed, at a tolerance.
        axis: their name for the size, such as `depth`.
    """
    found = []
    for label, group in grown(points, axis).items():
        settled = [point for point in group if point["measures"]["outcome"] == "converged"]
        pairs = [(point["axes"][axis], total_sweeps(point)) for point in settled]
        usable = [(float(value), sweeps) for value, sweeps in pairs if value > 0 and sweeps]
        if len({value for value, _ in usable}) >= FEWEST:
            found.append(_fitted(label, axis, usable, len(group) - len(settled)))
    return found


def grown(points: Sequence[StudyPoint], axis: str) -> dict[str, list[StudyPoint]]:
    """Group points by settler and by all axes of a cell except the one that varies, under a name for each group."""
    moving = SIZES if axis in SIZES else (axis,)
    arms, cells = (tuple(one for one in axes if one not in moving) for axes in (ARM, CELL))
    names = arm_names(points, arms)
    places = cell_names(points, cells)
    found = {}
    for key, group in grouped(points, (*arms, *cells)).items():
        label = names[key[: len(arms)]]
        found[f"{label}; {places[key[len(arms) :]]}" if len(places) > 1 else label] = group
    return found


def lawful_sweeps(rate: float | None, tolerance: float | None) -> float | None:
    """Return the sweeps of one phase until a residual that shrinks by γρ₀² a sweep is the tolerance.

    n = ln ε / ln(γρ₀²), from a residual of 1.

    Args:
        rate: γρ₀².
        tolerance: ε.

    Returns:
        n; None where nothing contracts, or where one of them is not known.
    """
    if rate is None or tolerance is None or not 0 < rate < 1 or not 0 < tolerance < 1:
        return None
    return math.log(tolerance) / math.log(rate)


def _fitted(label: str, axis: str, pairs: Sequence[tuple[float, float]], left_out: int) -> Exponent:
    from scipy.stats import linregress, t

    across, up = ([math.log(pair[index]) for pair in pairs] for index in (0, 1))
    line: Any = linregress(across, up)  # typed as a plain tuple
    half = float(t.ppf(0.5 + CONFIDENCE / 2, len(pairs) - 2)) * float(line.stderr)
    power = float(line.slope)
    return Exponent(
        label=label,
        axis=axis,
        power=power,
        low=power - half,
        high=power + half,
        scale=math.exp(float(line.intercept)),
        n=len(pairs),
        values=len({value for value, _ in pairs}),
        left_out=left_out,
    )
