"""Cells of a heat map: numbers at places that need not be evenly spaced, as a grid with borders between them."""

import math
from collections.abc import Sequence
from typing import Any

from energy.plots.chart import Numbers, Panel, Series


def cell_borders(places: Sequence[float], log: bool) -> list[float]:
    """Return the borders of cells about rising `places`, one more than these.

    An inner border is the mean of its two neighbors, the geometric one on a logarithmic axis; the outer cells are as
    wide to the outside as to the inside. A single cell reaches half of its place to either side.

    Example:
        >>> cell_borders([1.0, 2.0, 4.0], log=False)
        [0.5, 1.5, 3.0, 5.0]
    """
    at = [math.log(place) for place in places] if log else list(places)
    if len(at) == 1:
        half = math.log(1.5) if log else abs(at[0]) / 2 or 0.5
        found = [at[0] - half, at[0] + half]
    else:
        inner = [(low + high) / 2 for low, high in zip(at, at[1:], strict=False)]
        found = [2 * at[0] - inner[0], *inner, 2 * at[-1] - inner[-1]]
    return [math.exp(one) for one in found] if log else found


def heat_trace(series: Series, panel: Panel, color: str) -> dict[str, Any]:
    """Build plotly's heat map of a series: cells of one color, or colored by `value`."""
    across = _ordered(panel, [one for other in _cells(panel) for one in other.x])
    up = _ordered(panel, [one for other in _cells(panel) for one in other.y if one is not None])
    places = {(x, y): index for index, (x, y) in enumerate(zip(series.x, series.y, strict=True))}
    values: Numbers = series.value if series.value is not None else (1.0,) * len(series.x)
    grid = [[_at(places, values, x, y) for x in across] for y in up]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": _axis(across, panel.x_log),
        "y": _axis(up, panel.y_log),
        "z": grid,
        "customdata": [[_at(places, series.hover, x, y) or "" for x in across] for y in up],
        "text": [[_at(places, series.marks, x, y) or "" for x in across] for y in up],
        "texttemplate": "%{text}",
        "hovertemplate": "%{customdata}<extra></extra>" if series.hover else None,
        "hoverongaps": False,
        "xgap": 2,
        "ygap": 2,
    }
    if series.value is None:
        return trace | {"colorscale": [[0, color], [1, color]], "showscale": False, "zmin": 0, "zmax": 1}
    return trace | {"colorscale": "Viridis", "colorbar": {"title": {"text": panel.value_label, "side": "right"}}}


def _cells(panel: Panel) -> list[Series]:
    return [series for series in panel.series if series.style == "heat"]


def _ordered(panel: Panel, places: Sequence[Any]) -> list[Any]:
    """The places, each once: numbers rising, names as they come."""
    once = list(dict.fromkeys(places))
    return once if any(isinstance(one, str) for one in once) else sorted(once)


def _axis(places: Sequence[Any], log: bool) -> list[Any]:
    return list(places) if any(isinstance(one, str) for one in places) else cell_borders(places, log)


def _at(places: dict[tuple[Any, Any], int], values: Sequence[Any], x: Any, y: Any) -> Any:
    """The value of the cell at a place, None where the series has none."""
    index = places.get((x, y))
    return None if index is None or not values else values[index]
