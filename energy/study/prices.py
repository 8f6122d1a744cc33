"""The price of a cosine: what a settler pays, in back-propagation steps, for a gradient close to the exact one."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, geometric_mean
from typing import Any, Final

from energy.errors import UsageError
from energy.study.points import (
    ARM,
    CELL,
    RUNG,
    Key,
    StudyPoint,
    arm_names,
    axis_text,
    cell_names,
    grouped,
    rung_text,
)

LEVELS: Final = (0.9, 0.95, 0.99)
CONFIDENCE: Final = 0.95
UNSETTLED: Final = ("budget", "diverged")  # outcomes with which an exact gradient judges nothing


@dataclass(frozen=True)
class CosinePrice:
    """The price of one cosine with one settler in one cell, over seeds.

    The price of a seed is the least `backprop_steps` among its points whose worst layer's cosine is at least the level;
    what dearer points reach is not asked. A ladder of budgets overstates it by less than one rung.

    Attributes:
        label: name of the settler, with what tells it from the others.
        cell: name of the cell: gain, age and what else differs.
        axes: values of the axes that arm and cell have.
        level: the cosine in the worst layer that is paid for.
        by_seed: least price of each seed; None where no point reaches the level.
        rungs: budget (or tolerance) with that price, of each seed.
        low: lower end of the interval of the mean, by Student's t over logarithms; None with one seed, or no `mean`.
        high: its upper end.
        dearest: the greatest price that was tried.
        shared: the cheapest budget with which every seed reaches the level; None if there is none.
        shared_price: its price, the mean over seeds.
        seconds: of a step at the price of each seed, the mean over seeds that were timed, at a fixed budget also at the
            weights of another seed; None without any.
        over_backprop: those seconds over a step of back-propagation.
        over_compiled: the same over a compiled one.
    """

    label: str
    cell: str
    axes: Mapping[str, Any]
    level: float
    by_seed: Mapping[int, float | None]
    rungs: Mapping[int, str | None]
    low: float | None
    high: float | None
    dearest: float
    shared: str | None
    shared_price: float | None
    seconds: float | None
    over_backprop: float | None
    over_compiled: float | None

    @property
    def reached(self) -> int:
        """The seeds that reach the level."""
        return sum(price is not None for price in self.by_seed.values())

    @property
    def mean(self) -> float | None:
        """Geometric mean of the price over seeds; None unless all of them reach the level."""
        found = [price for price in self.by_seed.values() if price is not None]
        return geometric_mean(found) if found and len(found) == len(self.by_seed) else None

    def said(self) -> str:
        """Return the price as words: mean and interval, or within what it was not reached."""
        if self.mean is None:
            some = f" ({self.reached} of {len(self.by_seed)} seeds reach it)" if self.reached else ""
            return f"not within {self.dearest:.3g}{some}"
        return f"{self.mean:.3g}" if self.low is None else f"{self.mean:.3g} ({self.low:.3g} to {self.high:.3g})"

    def row(self) -> dict[str, Any]:
        """Return plain values for a table: those of the axes, then prices, with one column a seed."""
        columns = ("level", "mean", "low", "high", "reached", "dearest", "shared", "shared_price")
        rest = ("seconds", "over_backprop", "over_compiled")
        seeds = {f"seed {seed}": price for seed, price in self.by_seed.items()}
        rungs = {f"budget of seed {seed}": rung for seed, rung in self.rungs.items()}
        found = {name: getattr(self, name) for name in (*columns, *rest)}
        return {"label": self.label, "cell": self.cell, **self.axes, **found, "n": len(self.by_seed), **seeds, **rungs}


def cosine_prices(
    points: Sequence[StudyPoint], levels: Sequence[float] = LEVELS, chosen: Sequence[str] = ()
) -> list[CosinePrice]:
    """Return the prices of cosines, one for each level, settler and cell, in the order of the points.

    Args:
        points: those of ladders of budgets, or of tolerances.
        levels: cosines in the worst layer.
        chosen: axes of an arm that each seed chooses with its budget, such as `relaxation`, instead of telling arms
            apart.

    Raises:
        UsageError: when a chosen axis is not one of an arm, or is its settler.
    """
    for axis in chosen:
        if axis not in ARM[1:]:
            raise UsageError(f"chosen={axis!r}: known are {', '.join(ARM[1:])}")
    arms, cells = _without(ARM, chosen), CELL
    names = arm_names(points, arms)
    places = cell_names(points, cells)
    found = []
    for key, group in grouped(points, (*arms, *cells)).items():
        axes: dict[str, Any] = dict(zip((*arms, *cells), key, strict=True))
        label = names[key[: len(arms)]]
        found += [_priced(label, places[key[len(arms) :]], axes, level, group, chosen) for level in levels]
    return found


def cheapest(prices: Iterable[CosinePrice]) -> list[CosinePrice]:
    """Return the price with the least mean, and after it those that are tied with it, by mean.

    Tied are prices whose intervals overlap that of the first; one of a single seed has none, and is tied with all.
    Prices that are not reached by all seeds are left out.
    """
    ranked = sorted((price for price in prices if price.mean is not None), key=lambda price: price.mean or 0.0)
    return [price for price in ranked if _overlap(ranked[0], price)]


def judged_cosine(point: StudyPoint) -> float | None:
    """Return the worst layer's cosine; None if settling diverged, or the exact gradient did not settle itself."""
    measures = point["measures"]
    doubtful = any(outcome in UNSETTLED for outcome in (measures["reference"] or {}).values())
    return None if doubtful or measures["outcome"] == "diverged" else measures["cosine_worst"]


def mean_interval(numbers: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Return the interval of the geometric mean; None of a single number.

    By Student's t with n − 1 degrees of freedom over the logarithms, so that no price is below 0.

    Args:
        numbers: one of each seed, above 0, their logarithms taken as independent and normal.
        confidence: how often such an interval holds the true mean.
    """
    if len(numbers) < 2:
        return None
    from scipy.stats import t

    logs = [math.log(number) for number in numbers]
    middle = fmean(logs)
    spread = math.sqrt(math.fsum((one - middle) ** 2 for one in logs) / (len(logs) - 1))
    half = float(t.ppf(0.5 + confidence / 2, len(logs) - 1)) * spread / math.sqrt(len(logs))
    return math.exp(middle - half), math.exp(middle + half)


def _priced(
    label: str, cell: str, axes: dict[str, Any], level: float, points: Sequence[StudyPoint], chosen: Sequence[str]
) -> CosinePrice:
    """The price of one level with one settler in one cell."""
    best = {
        seed: min(_reaching(group, level), key=_steps, default=None)
        for (seed,), group in grouped(points, ("seed",)).items()
    }
    bought = [point for point in best.values() if point is not None]
    everyone = len(bought) == len(best)
    ends = (mean_interval([_steps(point) for point in bought]) if everyone else None) or (None, None)
    shared, shared_price = _shared(points, level, chosen, len(best))
    return CosinePrice(
        label=label,
        cell=cell,
        axes=axes,
        level=level,
        by_seed={seed: None if point is None else _steps(point) for seed, point in best.items()},
        rungs={seed: None if point is None else _rung_name(point, chosen) for seed, point in best.items()},
        low=ends[0],
        high=ends[1],
        dearest=max(map(_steps, points)),
        shared=shared,
        shared_price=shared_price,
        seconds=_mean_of(bought, points, "seconds") if everyone else None,
        over_backprop=_mean_of(bought, points, "seconds_over_backprop") if everyone else None,
        over_compiled=_mean_of(bought, points, "seconds_over_compiled") if everyone else None,
    )


def _shared(
    points: Sequence[StudyPoint], level: float, chosen: Sequence[str], seeds: int
) -> tuple[str | None, float | None]:
    """Name and mean price of the cheapest rung with which every seed reaches the level."""
    serving = []
    for group in grouped(points, (*RUNG, *chosen)).values():
        reaching = list(_reaching(group, level))
        if len(reaching) == len(group) and len({point["axes"]["seed"] for point in group}) == seeds:
            serving.append((fmean(map(_steps, group)), _rung_name(group[0], chosen)))
    if not serving:
        return None, None
    price, name = min(serving)
    return name, price


def _reaching(points: Iterable[StudyPoint], level: float) -> Iterator[StudyPoint]:
    for point in points:
        cosine = judged_cosine(point)
        if cosine is not None and cosine >= level:
            yield point


def _steps(point: StudyPoint) -> float:
    return point["measures"]["backprop_steps"]


def _rung_name(point: StudyPoint, chosen: Sequence[str]) -> str:
    return ", ".join([rung_text(point["axes"]), *(axis_text(axis, point["axes"][axis]) for axis in chosen)])


def _mean_of(bought: Sequence[StudyPoint], points: Sequence[StudyPoint], name: str) -> float | None:
    """The mean of a time over the bought points that have one; None if none has."""
    found = [_time(point, points, name) for point in bought]
    known = [time for time in found if time is not None]
    return fmean(known) if known else None


def _time(point: StudyPoint, points: Sequence[StudyPoint], name: str) -> float | None:
    """The time of a point, or else that of the same budget at other seeds, where as much is done."""
    own, budget = point["measures"][name], point["axes"]["budget"]
    if own is not None or budget is None:
        return own
    same = [one["measures"][name] for one in points if one["axes"]["budget"] == budget]
    known = [time for time in same if time is not None]
    return fmean(known) if known else None


def _overlap(one: CosinePrice, other: CosinePrice) -> bool:
    """True if two intervals share a number; an interval that is not there shares all."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return True
    return one.low <= other.high and other.low <= one.high


def _without(axes: Sequence[str], chosen: Sequence[str]) -> Key:
    return tuple(axis for axis in axes if axis not in chosen)
