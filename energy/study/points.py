"""The points of a study: chosen by block, grouped by axes, named, and summarized over seeds."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

StudyPoint = Mapping[str, Any]
Key = tuple[Any, ...]
ARM: Final = ("settler", "relaxation", "gamma", "beta", "precision")
CELL: Final = ("model", "data", "gain", "age", "depth", "units", "batch")
RUNG: Final = ("budget", "tolerance")
DASHES: Final = ("-", "–", "—")
FLOOR: Final = 1e-8  # of 1 − cosine on a logarithmic axis, as captions say


class Summary(NamedTuple):
    """Median and range of one number over the seeds.

    Attributes:
        middle: the median.
        low: the least.
        high: the greatest.
        n: how many there are.
    """

    middle: float
    low: float
    high: float
    n: int


def points_of(record: Mapping[str, Any], *blocks: str) -> list[StudyPoint]:
    """Return the points of the blocks, whose titles may carry a suffix after a dash, each point once."""
    return [point for point in record["points"] if any(_named(title, blocks) for title in point["blocks"])]


def grouped(points: Iterable[StudyPoint], axes: Sequence[str]) -> dict[Key, list[StudyPoint]]:
    """Group points by the values of axes, in the order in which those first come."""
    groups: dict[Key, list[StudyPoint]] = {}
    for point in points:
        groups.setdefault(tuple(point["axes"][axis] for axis in axes), []).append(point)
    return groups


def arm_names(points: Iterable[StudyPoint], axes: Sequence[str] = ARM) -> dict[Key, str]:
    """Return a name for each arm: its settler, and what tells it from the other arms among the points.

    Args:
        points: those that are shown together.
        axes: of an arm, beginning with its settler.
    """
    keys = list(grouped(points, axes))
    names = {}
    for key in keys:
        alike = [other for other in keys if other[0] == key[0]]
        parts = [str(key[0])]
        for index, axis in enumerate(axes[1:], 1):
            among = keys if axis in ("gamma", "precision") else alike
            if len({other[index] for other in among}) > 1:
                parts.append(axis_text(axis, key[index]))
        names[key] = ", ".join(parts)
    return names


def cell_names(points: Iterable[StudyPoint], axes: Sequence[str] = CELL) -> dict[Key, str]:
    """Return a name for each cell: gain of the weights and age always, the other axes where cells differ in them."""
    keys = list(grouped(points, axes))
    shown = [
        index for index, axis in enumerate(axes) if axis in ("gain", "age") or len({key[index] for key in keys}) > 1
    ]
    return {key: ", ".join(axis_text(axes[index], key[index]) for index in shown) for key in keys}


def axis_text(axis: str, value: Any) -> str:
    """Return a value of an axis as words.

    Example:
        >>> axis_text("gamma", 0.5), axis_text("age", 0), axis_text("tolerance", None)
        ('γ = 0.5', 'untrained', 'no tolerance')
    """
    if value is None:
        return f"no {axis}"
    if axis == "age":
        return "untrained" if value == 0 else f"{value} epoch{'s' if value != 1 else ''}"
    words = {"gamma": "γ = ", "beta": "β = ", "tolerance": "tolerance ", "gain": "gain ", "batch": "batch "}
    said = f"{value:g}" if isinstance(value, float) else str(value)
    return {"depth": f"{said} layers", "units": f"{said} units"}.get(axis, f"{words.get(axis, '')}{said}")


def rung_text(axes: Mapping[str, Any]) -> str:
    """Return the budget of a point, or else its tolerance, as words."""
    return str(axes["budget"]) if axes["budget"] is not None else axis_text("tolerance", axes["tolerance"])


def measure(name: str) -> Callable[[StudyPoint], float | None]:
    """Return the function that reads one measure of a point."""
    return lambda point: point["measures"][name]


def total_sweeps(point: StudyPoint) -> float | None:
    """Return the sweeps of the batch, summed over the phases; None if the point has no phase."""
    return sum(point["measures"]["steps"].values()) or None


def shortfall(cosine: float | None) -> float | None:
    """Return 1 − cosine, at least `FLOOR`, below which rounding decides."""
    return None if cosine is None else max(1.0 - cosine, FLOOR)


def summarized(numbers: Iterable[float | None]) -> Summary | None:
    """Return median and range of the numbers that are there and finite; None if none is."""
    found = [number for number in numbers if number is not None and math.isfinite(number)]
    return Summary(median(found), min(found), max(found), len(found)) if found else None


def seeds_text(points: Sequence[StudyPoint]) -> str:
    """Return how many seeds the points have, as words."""
    count = len({point["axes"]["seed"] for point in points})
    return f"{count} seed{'s' if count != 1 else ''}"


def _named(title: str, blocks: Sequence[str]) -> bool:
    """True for the title of a block, with or without a suffix."""
    rests = [title.removeprefix(block).strip() for block in blocks if title.startswith(block)]
    return any(not rest or rest.startswith(DASHES) for rest in rests)
