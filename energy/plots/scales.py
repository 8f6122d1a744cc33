"""Scales of a drawn figure: ticks of logarithmic axes, places of categories, edges of cells."""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

from energy.plots.chart import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DECADES: Final = 2.2  # of an axis below which 2 and 5 get a tick too
PLAIN: Final = (1e-3, 1e5)  # between these a tick is written out, not as a power of ten


def scale_axis(axes: "Axes", name: Literal["x", "y"]) -> None:
    """Make the axis of that name logarithmic, with a few ticks that are written as plain numbers where those are short.

    Its limits must be set by what is drawn; an axis without a positive number stays linear.
    """
    from matplotlib.ticker import FuncFormatter, LogFormatterMathtext, LogLocator, NullFormatter

    axis = axes.xaxis if name == "x" else axes.yaxis
    bounds = axis.get_data_interval()
    if bounds[1] <= 0 or not math.isfinite(bounds[1]):
        return
    (axes.set_xscale if name == "x" else axes.set_yscale)("log")
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < DECADES else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs))
    plain = PLAIN[0] <= low and high <= PLAIN[1]
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}") if plain else LogFormatterMathtext())
    axis.set_minor_formatter(NullFormatter())


def place_categories(series: Iterable[Series]) -> dict[str, int]:
    """Return the places of names on a horizontal axis, in the order in which they come; empty for numbers."""
    return {
        name: index
        for index, name in enumerate(dict.fromkeys(x for one in series for x in one.x if isinstance(x, str)))
    }


def cell_edges(values: Iterable[float], *, log: bool) -> dict[float, tuple[float, float]]:
    """Return the lower and upper edge of a cell around each value: the middle between neighbors.

    Args:
        values: the centers.
        log: whether the middle is that of the logarithms.

    Example:
        >>> cell_edges([1.0, 2.0, 4.0], log=False)
        {1.0: (0.5, 1.5), 2.0: (1.5, 3.0), 4.0: (3.0, 5.0)}
    """
    centers = sorted(values)
    places = [math.log(center) if log else center for center in centers]
    gaps = [second - first for first, second in pairwise(places)] or [1.0]
    inner = [(first + second) / 2 for first, second in pairwise(places)]
    ends = [places[0] - gaps[0] / 2, *inner, places[-1] + gaps[-1] / 2]
    edges = [math.exp(end) if log else end for end in ends]
    return {center: (edges[index], edges[index + 1]) for index, center in enumerate(centers)}
