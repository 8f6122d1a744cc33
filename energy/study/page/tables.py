"""Tables of a report: heads and cells as words, from prices and points."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

from energy.study.page.answers import Answer, budget_text, interval_text, plain_label
from energy.study.page.words import listed, number_text, seconds_text
from energy.study.points import RUNG, StudyPoint, axis_text, grouped, points_of, rung_text, summarized
from energy.study.prices import CosinePrice
from energy.study.scaling import Exponent, exponents

SIZES: Final = {
    "scaling-depth": "depth",
    "scaling-width": "units",
    "scaling-batch": "batch",
    "scaling-gamma": "gamma",
    "scaling-gain": "gain",
    "scaling-age": "age",
}


TRAINED: Final = ("settler", "gamma", "gain", "model", "data")


class Cell(NamedTuple):
    """A cell: its text, and its class for the style of the page (`number`, `name`, `said` or empty)."""

    text: str
    look: str = "number"


class Table(NamedTuple):
    """A table of a page.

    Attributes:
        head: titles of the columns.
        rows: cells, one for each title.
        begins: indices of rows above which a line is drawn.
    """

    head: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    begins: tuple[int, ...] = ()


def answer_table(found: Sequence[Answer]) -> Table | None:
    """Return the table of the cheapest settlers of one cell: a row for each that is tied for a level and a gain."""
    head = [*map(_name, ("cosine, worst layer", "γ", "settler"))]
    head += [*map(Cell, ("price, BP steps (95 %)", "seconds a step here", "× BP, eager", "× BP, compiled"))]
    head += [*map(_name, ("standing", "relaxation", "budget"))]
    rows: list[tuple[Cell, ...]] = []
    begins = []
    for one in sorted(found, key=lambda answer: (answer.level, -answer.gamma)):
        begins += [len(rows)] if rows and one.level != found[0].level and f"≥ {one.level:g}" != rows[-1][0].text else []
        standing = "least" if len(one.best) == 1 else "tied"
        rows += [_answer_row(one, price, standing) for price in one.best]
        if not one.best:
            tried = max((price.dearest for price in one.short), default=None)
            said = Cell(f"not within {number_text(tried)}")
            rows.append((_level(one), _gain(one.gamma), _name("none"), said, *[Cell("–")] * 3, *[Cell("–", "")] * 3))
    return Table(tuple(head), tuple(rows), tuple(begins)) if rows else None


def price_table(prices: Sequence[CosinePrice]) -> Table | None:
    """Return the table of every price: settlers and cells down, what each level costs across."""
    if not prices:
        return None
    levels = list(dict.fromkeys(price.level for price in prices))
    head = [_name("settler"), _name("γ"), _name("weights"), *(Cell(f"cosine {level:g}, BP steps") for level in levels)]
    head += [Cell(f"seconds a step at {level:g}") for level in levels]
    groups: dict[tuple[Any, ...], dict[float, CosinePrice]] = {}
    for price in prices:
        groups.setdefault((price.label, price.cell, price.axes["gamma"]), {})[price.level] = price
    rows = [
        (
            _name(plain_label(next(iter(one.values())))),
            _gain(gamma),
            _name(cell),
            *(Cell(said_price(one[level])) for level in levels),
            *(Cell(seconds_text(one[level].seconds)) for level in levels),
        )
        for (_, cell, gamma), one in groups.items()
    ]
    return Table(tuple(head), tuple(rows))


def said_price(price: CosinePrice) -> str:
    """Return the price of a cosine with its interval, or within what it was not reached."""
    if price.mean is None:
        seeds = f", {price.reached} of {len(price.by_seed)} seeds" if price.reached else ""
        return f"not within {number_text(price.dearest)}{seeds}"
    interval = interval_text(price)
    return f"{number_text(price.mean)} ({interval})" if interval else number_text(price.mean)


def recipe_table(record: Mapping[str, Any]) -> Table | None:
    """Return the table of published recipes: what each reaches here, and at what price; median over seeds."""
    found = grouped(points_of(record, "recipes"), ("settler", "gamma", "gain", "age", *RUNG))
    names = ("cosine_worst", "cosine_whole", "backprop_steps", "seconds", "seconds_over_backprop")
    head = [_name("recipe"), _name("γ"), _name("weights"), _name("budget, free + nudged")]
    titles = ("cosine, worst layer", "cosine, whole", "price, BP steps", "seconds a step here", "× BP, eager")
    head += [*map(Cell, titles), _name("outcome")]
    rows = []
    for group in found.values():
        axes = group[0]["axes"]
        middle = [_middle(group, name) for name in names]
        weights = f"{axis_text('gain', axes['gain'])}, {axis_text('age', axes['age'])}"
        cosines = [Cell(number_text(value, 4)) for value in middle[:2]]
        costs = [Cell(number_text(middle[2])), Cell(seconds_text(middle[3])), Cell(number_text(middle[4]))]
        outcomes = listed(sorted({str(point["measures"]["outcome"]) for point in group}))
        start = (_name(axes["settler"]), _gain(axes["gamma"]), _name(weights), _name(rung_text(axes)))
        rows.append((*start, *cosines, *costs, _name(outcomes)))
    return Table(tuple(head), tuple(rows)) if rows else None


def training_table(record: Mapping[str, Any]) -> Table | None:
    """Return the table of trainings: one row for each settler, gain of feedback and gain of weights, over seeds."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for one in record["trainings"]:
        groups.setdefault(tuple(one[name] for name in TRAINED), []).append(one)
    titles = ("seeds × epochs", "test accuracy, %", "validation accuracy, last epoch, %", "cosine, worst layer")
    head = [_name("settler"), _name("γ"), _name("gain"), *map(Cell, titles), Cell("BP steps a step")]
    head += [Cell("seconds, total"), _name("state")]
    rows = []
    for (settler, gamma, gain, *_), group in sorted(groups.items(), key=lambda pair: (-pair[0][1], str(pair[0]))):
        last = [one["epochs"][-1] for one in group if one["epochs"]]
        cells = [
            f"{len(group)} × {listed(sorted({str(len(one['epochs'])) for one in group}), 'or')}",
            _spread([one["test_accuracy"] for one in group]),
            _spread([epoch["validation_accuracy"] for epoch in last]),
            _spread([epoch["cosine_worst"] for epoch in last], 4),
            _spread([epoch["backprop_steps"] for epoch in last]),
            seconds_text(median([sum(epoch["seconds"] for epoch in one["epochs"]) for one in group])),
        ]
        states = listed(sorted({one["state"] for one in group}))
        rows.append((_name(settler), _gain(gamma), _gain(gain), *map(Cell, cells), Cell(states, "name")))
    return Table(tuple(head), tuple(rows)) if rows else None


def scaling_table(record: Mapping[str, Any]) -> Table | None:
    """Return the table of fitted powers of sweeps, with their intervals."""
    rows = [
        (_name(one.label), _name(one.axis), Cell(one.said()), Cell(str(one.n)), Cell(str(one.left_out)))
        for one in fitted_powers(record)
    ]
    titles = ("power p of sweeps ∝ axis^p (95 %)", "points", "not converged, left out")
    return Table((_name("settler"), _name("axis"), *map(Cell, titles)), tuple(rows)) if rows else None


def fitted_powers(record: Mapping[str, Any]) -> list[Exponent]:
    """Return the fitted powers of sweeps along every axis of a record."""
    return [one for block, axis in SIZES.items() for one in exponents(points_of(record, block), axis)]


def _answer_row(one: Answer, price: CosinePrice, standing: str) -> tuple[Cell, ...]:
    costs = (said_price(price), seconds_text(price.seconds))
    ratios = (number_text(price.over_backprop), number_text(price.over_compiled))
    words = (standing, price.axes.get("relaxation", "–"), budget_text(price))
    return (_level(one), _gain(one.gamma), _name(plain_label(price)), *map(Cell, (*costs, *ratios)), *map(_name, words))


def _middle(points: Sequence[StudyPoint], name: str) -> float | None:
    found = summarized(point["measures"][name] for point in points)
    return None if found is None else found.middle


def _spread(numbers: Sequence[float | None], digits: int = 3) -> str:
    """Median and range."""
    found = summarized(numbers)
    if found is None:
        return "–"
    ends = [number_text(value, digits) for value in (found.low, found.high)]
    middle = number_text(found.middle, digits)
    return middle if ends[0] == ends[1] else f"{middle} ({' to '.join(ends)})"


def _name(text: Any) -> Cell:
    return Cell(str(text), "name" if len(str(text)) > 12 else "")


def _level(one: Answer) -> Cell:
    return Cell(f"≥ {one.level:g}", "")


def _gain(value: float | None) -> Cell:
    return Cell("–" if value is None else f"{value:g}", "")
