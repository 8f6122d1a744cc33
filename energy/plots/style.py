"""One style for every figure: colors that survive color blindness, few lines, no window ever opened."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from energy.columns import short
from energy.errors import MissingDependencyError
from energy.io.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444", "#A6761D")
DARKER: Final = ("#00395A", "#7A3600", "#00553E", "#7E3F66", "#8A5F00", "#1F6C9C", "#9A9A9A", "#55390B")  # the next
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
APART: Final = 16  # runs that are told apart by color and marker
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


class PlotsMissing(MissingDependencyError, RuntimeError):
    """The error of a figure without matplotlib; its message names the extra that installs it."""


@contextmanager
def canvas(
    columns: int, width: float, height: float, *, rows: int = 1, sharey: bool = False
) -> "Iterator[tuple[Figure, list[Axes]]]":
    """Make a figure and its axes, row by row, without pyplot, so that no display and no lasting setting is touched.

    Args:
        columns: panels side by side.
        width: of the figure, in inches.
        height: of the figure, in inches.
        rows: panels one above the other.
        sharey: whether panels share the vertical axis.

    Raises:
        PlotsMissing: when matplotlib is not installed.
    """
    matplotlib = _matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(cast("Any", SETTINGS)):  # its keys are a literal type that differs between versions
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, list(figure.subplots(rows, columns, squeeze=False, sharey=sharey).flat)


def save(figure: "Figure", path: Path) -> Path:
    """Write the figure, whole or not at all, as the kind of file that its suffix names, and return `path`."""
    with replacing(path) as file:
        figure.savefig(file, dpi=SETTINGS["savefig.dpi"], format=path.suffix.lstrip(".") or "png")
    return path


def _matplotlib() -> Any:
    """Import matplotlib, whichever backend the environment asks for.

    The figures here are drawn by Agg and shown by none, and a backend that is not there, which ends its import, is no
    reason to be without them.

    Raises:
        PlotsMissing: when matplotlib is not installed.
    """
    asked = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    except ImportError as error:
        raise PlotsMissing(f"figures need matplotlib, which the extra `plots` installs ({error})") from None
    finally:
        if asked is not None:
            os.environ["MPLBACKEND"] = asked
    if asked is not None:
        with suppress(ValueError):  # who draws in this process later has the backend that was asked for
            matplotlib.rcParams["backend"] = asked
    return matplotlib


class Look(NamedTuple):
    """Color and marker of the curves of one run."""

    color: Any
    marker: str


def colors(labels: Sequence[str]) -> dict[str, str]:
    """Assign one color to each label, in order, from the Okabe-Ito palette."""
    return {label: PALETTE[index % len(PALETTE)] for index, label in enumerate(labels)}


def markers(labels: Sequence[str]) -> dict[str, str]:
    """Assign one marker to each label, so that color never carries a meaning alone."""
    return {label: MARKERS[index % len(MARKERS)] for index, label in enumerate(labels)}


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """Assign a color and a marker to each label, so that color never carries a meaning alone; no two have one color.

    More than `APART` labels, which nobody tells apart, get colors from dark to light in their order.
    """
    count = len(PALETTE)
    if len(labels) > APART:
        shade = _matplotlib().colormaps["viridis"]
        return {label: Look(shade(0.95 * index / (len(labels) - 1)), "") for index, label in enumerate(labels)}
    marks = {label: MARKERS[(index + index // count) % len(MARKERS)] for index, label in enumerate(labels)}
    tints = (*PALETTE, *DARKER)
    return {label: Look(tints[index], mark) for index, (label, mark) in enumerate(marks.items())}


def apart(labels: Sequence[str], width: int) -> list[str]:
    """Shorten labels to at most `width` letters, no two alike, without the parts between commas that all share."""
    parts = [label.split(",") for label in labels]
    shared = set(parts[0]).intersection(*parts) if len(parts) > 1 else set()
    said = [
        ",".join(part for part in one if part not in shared) or label for one, label in zip(parts, labels, strict=True)
    ]
    return with_numbers(said, width)


def with_numbers(labels: Sequence[str], width: int) -> list[str]:
    """Shorten labels to at most `width` letters; with their numbers before them if two would be alike."""
    cut = [short(label, width) for label in labels]
    if len(set(cut)) == len(cut):
        return cut
    return [short(f"{number}: {label}", width) for number, label in enumerate(labels, start=1)]
