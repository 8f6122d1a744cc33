"""Cells of a heat map: numbers at places that need not be evenly spaced, as a grid with borders between them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from energy.plots.chart import Numbers, Panel, Series
from energy.plots.scales import cell_edges, place_categories

Domain = tuple[tuple[float, float], tuple[float, float]]
SHADES: Final = "Viridis"
SMALL: Final = 14  # pixels of short texts at marks and in cells


def heat_trace(series: Series, panel: Panel, color: str, domain: Domain) -> dict[str, Any]:
    """Build plotly's heat map of a series: cells of one color, or colored by `value` with a bar beside the panel.

    Args:
        series: of style `heat`.
        panel: whose cells, of all series, make the grid.
        color: of cells without values.
        domain: the shares of the figure from left to right and from bottom to top that the panel takes.
    """
    cells = [other for other in panel.series if other.style == "heat"]
    names = place_categories(panel.series)
    across = _once([_place(one, names) for other in cells for one in other.x])
    up = _once([one for other in cells for one in other.y])
    at = [(_place(x, names), y) for x, y in zip(series.x, series.y, strict=True)]
    values: Numbers = series.value if series.value is not None else (1.0,) * len(at)
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": _borders(across, panel.x_log and not names),
        "y": _borders(up, panel.y_log),
        "z": _grid(across, up, dict(zip(at, values, strict=True)), None),
        "customdata": _grid(across, up, dict(zip(at, series.hover, strict=False)), ""),
        "text": _grid(across, up, dict(zip(at, series.marks, strict=False)), ""),
        "texttemplate": "%{text}",
        "textfont": {"size": SMALL},
        "hovertemplate": "%{customdata}<extra></extra>",
        "hoverongaps": False,
        "xgap": 2,
        "ygap": 2,
    }
    if series.value is None:
        return trace | {"colorscale": [[0, color], [1, color]], "showscale": False, "zmin": 0, "zmax": 1}
    (_, right), (bottom, top) = domain
    bar = {"x": right, "xpad": 8, "y": (bottom + top) / 2, "len": top - bottom, "thickness": 14}
    bar |= {"title": {"text": panel.value_label, "side": "right"}}
    return trace | {"colorscale": SHADES, "reversescale": True, "colorbar": bar}


def _place(x: float | str, names: Mapping[str, int]) -> float:
    return float(names[x] if isinstance(x, str) else x)


def _once(places: Sequence[Any]) -> list[float]:
    return sorted({place for place in places if place is not None})


def _borders(places: Sequence[float], log: bool) -> list[float]:
    """The borders of cells about rising places, one more than these."""
    edges = list(cell_edges(places, log=log).values())
    return [*(low for low, _ in edges), edges[-1][1]]


def _grid(across: Sequence[float], up: Sequence[float], found: Mapping[Any, Any], blank: Any) -> list[list[Any]]:
    """Rows from the lowest to the highest, with `blank` where nothing was found."""
    return [[found.get((x, y), blank) for x in across] for y in up]
