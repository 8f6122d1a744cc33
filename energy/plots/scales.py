"""Scales of a drawn figure: ticks of logarithmic axes, places of categories, edges of cells."""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

from energy.plots.chart import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DECADES: Final = 2.2  # of an axis below which 2 and 5 get a tick too
FEW: Final = 8  # values that get a tick each
APART: Final = 0.06  # of the axis between such ticks, at least
PLAIN: Final = (1e-3, 1e5)  # between these a tick is written out, not as a power of ten


def scale_axis(axes: "Axes", name: Literal["x", "y"], values: Iterable[float] = ()) -> None:
    """Make the axis of that name logarithmic, with a few ticks that are written as plain numbers where those are short.

    Its limits must be set by what is drawn; an axis without a positive number stays linear.

    Args:
        axes: the panel.
        name: which of its axes.
        values: numbers that get the ticks if they are few and well apart.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogFormatterMathtext, LogLocator, NullLocator

    axis = axes.xaxis if name == "x" else axes.yaxis
    bounds = axis.get_data_interval()
    if bounds[1] <= 0 or not math.isfinite(bounds[1]):
        return
    (axes.set_xscale if name == "x" else axes.set_yscale)("log")
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < DECADES else (1.0,)
    few = sorted({value for value in values if value > 0})
    apart = min((math.log10(second / first) for first, second in pairwise(few)), default=0.0) > APART * decades
    axis.set_major_locator(FixedLocator(few) if apart and len(few) <= FEW else LogLocator(subs=subs))
    plain = PLAIN[0] <= low and high <= PLAIN[1]
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}") if plain else LogFormatterMathtext())
    axis.set_minor_locator(NullLocator())


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
