"""The cheapest settler for each cosine: what a reader of a report asks first."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from energy.study.page.words import number_text
from energy.study.points import axis_text, points_of
from energy.study.prices import CosinePrice, cheapest, cosine_prices

BLOCKS: Final = ("anytime", "tolerance")  # in which settlers are paid for by budgets, or by tolerances of their own
UNIT: Final = "backprop"  # the kind of settler whose step is the unit of price


class Answer(NamedTuple):
    """The settlers with which a cosine costs least, among those of one feedback gain in one cell.

    Attributes:
        cell: name of the cell.
        gamma: the feedback gain whose exact gradient is approximated.
        level: the cosine in the worst layer.
        best: the cheapest price, then those tied with it; empty if no settler reaches the level with all seeds.
        others: prices of the other settlers that reach it.
        short: prices of the settlers that do not.
    """

    cell: str
    gamma: float
    level: float
    best: tuple[CosinePrice, ...]
    others: tuple[CosinePrice, ...]
    short: tuple[CosinePrice, ...]


def settler_prices(record: Mapping[str, Any]) -> list[CosinePrice]:
    """Return the prices of cosines in a record, back-propagation itself, which is their unit, left out."""
    points = [point for point in points_of(record, *BLOCKS) if point["axes"]["kind"] != UNIT]
    return cosine_prices(points)


def answers(prices: Sequence[CosinePrice]) -> list[Answer]:
    """Return the answer for every cell, feedback gain and level, the greatest gain first."""
    keys = dict.fromkeys((price.cell, price.axes["gamma"], price.level) for price in prices)
    cells = list(dict.fromkeys(price.cell for price in prices))
    ordered = sorted(keys, key=lambda key: (cells.index(key[0]), -key[1], key[2]))
    return [_answer(key, prices) for key in ordered]


def main_cell(prices: Sequence[CosinePrice]) -> str:
    """Return the name of the cell that the abstract speaks of: the gain nearest to 1, then the oldest weights.

    Of cells that agree in both, the first.
    """
    nearest = min(prices, key=lambda price: (abs(price.axes["gain"] - 1), -price.axes["age"]))
    return nearest.cell


def budget_text(price: CosinePrice) -> str:
    """Return the budget, or tolerance, that a price buys; of each seed where they differ."""
    chosen = list(dict.fromkeys(rung for rung in price.rungs.values() if rung is not None))
    return " or ".join(chosen)


def plain_label(price: CosinePrice) -> str:
    """Return the name of a settler without its feedback gain, for a place that names the gain."""
    return price.label.replace(f", {axis_text('gamma', price.axes['gamma'])}", "")


def interval_text(price: CosinePrice) -> str:
    """Return the interval of a price over seeds, or that there is none, or that all seeds have the same."""
    if len(price.by_seed) == 1:
        return "1 seed"
    if price.low is None or price.high is None:
        return ""
    if number_text(price.low) == number_text(price.high):
        return f"all {len(price.by_seed)} seeds"
    return f"{number_text(price.low)} to {number_text(price.high)}"


def _answer(key: tuple[str, float, float], prices: Sequence[CosinePrice]) -> Answer:
    asked = [price for price in prices if (price.cell, price.axes["gamma"], price.level) == key]
    best = cheapest(asked)
    reached = sorted(
        (one for one in asked if one.mean is not None and one not in best), key=lambda one: one.mean or 0.0
    )
    short = tuple(price for price in asked if price.mean is None)
    return Answer(*key, tuple(best), tuple(reached), short)
