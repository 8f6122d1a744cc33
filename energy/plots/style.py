"""One look for every figure: colours that survive colour blindness, few lines, no window ever opened."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444", "#A6761D")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
SETTINGS: Final[dict[str, Any]] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 160,
}


class PlotsMissing(RuntimeError):
    """matplotlib is not installed; the message says how to get it."""


@contextmanager
def canvas(
    columns: int, width: float, height: float, *, rows: int = 1, sharey: bool = False
) -> "Iterator[tuple[Figure, list[Axes]]]":
    """A figure and its axes, row by row, made without pyplot, so that no display and no lasting setting is touched.

    Raises:
        PlotsMissing: when matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise PlotsMissing("figures need matplotlib, which the extra `plots` installs") from None
    with rc_context(cast("Any", SETTINGS)):  # its keys are a literal type that differs between versions
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, list(figure.subplots(rows, columns, squeeze=False, sharey=sharey).flat)


def save(figure: "Figure", path: Path) -> Path:
    """Write the figure as the kind of file its suffix says, whole or not at all."""
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(temporary, dpi=SETTINGS["savefig.dpi"], format=path.suffix.lstrip(".") or "png")
    os.replace(temporary, path)
    return path


def colours(labels: Sequence[str]) -> dict[str, str]:
    """One colour per label, in order, from the Okabe-Ito palette."""
    return {label: PALETTE[index % len(PALETTE)] for index, label in enumerate(labels)}


def markers(labels: Sequence[str]) -> dict[str, str]:
    """One marker per label, so that colour never carries a meaning alone."""
    return {label: MARKERS[index % len(MARKERS)] for index, label in enumerate(labels)}
