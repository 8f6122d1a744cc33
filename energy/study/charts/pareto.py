"""Figure B: the settlers that no other beats, and the price of a cosine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from energy.plots.chart import INK, Chart, Panel, Series
from energy.study.charts.lines import BELOW_ONE, COSINES, CUT, present
from energy.study.front import Rung, front, rungs
from energy.study.points import (
    CELL,
    StudyPoint,
    arm_names,
    cell_names,
    grouped,
    points_of,
    seeds_text,
    shortfall,
)
from energy.study.prices import CosinePrice, cosine_prices

BLOCKS: Final = ("anytime", "tolerance")
RECIPES: Final = "recipes"
FRONT: Final = "not beaten"
PRICE: Final = "price in back-propagation steps (log)"


def pareto_charts(record: Mapping[str, Any]) -> Iterator[Chart]:
    """Yield one chart, whose selector chooses gain and age: all budgets and their front, and the price of a cosine."""
    points = [*points_of(record, *BLOCKS), *points_of(record, RECIPES)]
    points = list({point["id"]: point for point in points}.values())
    places = cell_names(points)
    cells = {places[key]: cell for key, cell in grouped(points, CELL).items()}
    prices = cosine_prices(points)
    clouds = [one for name, cell in cells.items() for one in _cloud(cell, name, arm_names(points))]
    bars = [one for name in cells for one in _prices([price for price in prices if price.cell == name], name)]
    choices = tuple(name for name in cells if any(one.group == name for one in clouds))
    if not choices:
        return
    panels = (
        Panel("every budget", PRICE, BELOW_ONE, tuple(clouds), x_log=True, y_log=True, levels=COSINES),
        Panel("price of a cosine", "cosine in the worst layer", PRICE, tuple(bars), y_log=True),
    )
    yield Chart(
        name="b-pareto",
        title="What no other settler beats, and the price of a cosine",
        caption=f"Blocks {', '.join(BLOCKS)} and {RECIPES}, {seeds_text(points)}. Left: each budget at its mean price "
        "and its least cosine in the worst layer over the seeds; the staircase joins those that none beats in both. "
        "Right: the least price at which a seed reaches a cosine, geometric mean over seeds with its 95 % interval by "
        "Student's t over logarithms, cut at half the least price; a settler is absent where one of the seeds does not "
        "reach the cosine. "
        f"{CUT}.",
        panels=tuple(panel for panel in panels if panel.series),
        choices=choices,
        choice="network",
    )


def _cloud(points: Sequence[StudyPoint], group: str, names: Mapping[Any, str]) -> Iterator[Series]:
    """The budgets of each settler as points, and the front of them all."""
    found = rungs(points, names)
    labels = tuple(dict.fromkeys(rung.label for rung in found))
    for label in labels:
        yield _marks(label, [rung for rung in found if rung.label == label], group)
    best = front(found)
    if best:
        line = _marks(FRONT, best, group)
        yield replace(line, style="steps", dash="dotted", color=INK, marks=())


def _marks(label: str, found: Sequence[Rung], group: str) -> Series:
    ranked = sorted(found, key=lambda rung: rung.price)
    return Series(
        label=label,
        x=tuple(rung.price for rung in ranked),
        y=tuple(shortfall(rung.cosine) for rung in ranked),
        style="points",
        hover=tuple(
            f"{rung.label}; {rung.budget}; {rung.price:.3g} BP steps; cosine at least {rung.cosine:.4f}, {rung.n} seeds"
            for rung in ranked
        ),
        group=group,
    )


def _prices(prices: Sequence[CosinePrice], group: str) -> tuple[Series, ...]:
    labels = dict.fromkeys(price.label for price in prices)
    least = min((price.mean for price in prices if price.mean is not None), default=0.0) / 2
    return present(_ladder([price for price in prices if price.label == label], group, least) for label in labels)


def _ladder(prices: Sequence[CosinePrice], group: str, least: float) -> Series | None:
    """The price of each level with one settler, a gap where it is not reached; intervals are cut at `least`."""
    ranked = sorted(prices, key=lambda price: price.level)
    if all(price.mean is None for price in ranked):
        return None
    lows = [price.mean if price.low is None else max(price.low, least) for price in ranked]
    highs = [price.mean if price.high is None else price.high for price in ranked]
    return Series(
        label=ranked[0].label,
        x=tuple(f"{price.level:g}" for price in ranked),
        y=tuple(price.mean for price in ranked),
        low=tuple(lows),
        high=tuple(highs),
        style="points",
        hover=tuple(f"{price.label}; cosine {price.level:g}: {price.said()} BP steps" for price in ranked),
        group=group,
    )
