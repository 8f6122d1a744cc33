"""Training curves of one or several runs in one figure; runs that differ in the seed alone are one line with a band."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from energy.errors import UsageError
from energy.io.record import READOUT, RECORD, read_lines
from energy.plots.curve_panels import Curve, CurvePanel, curve_panels
from energy.plots.run_group import RunGroup, run_groups
from energy.plots.style import APART, Look, apart, canvas, looks, save, with_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS: Final = 4  # panels side by side
PANEL: Final = 3.67  # inches
LETTERS: Final = 17  # of the legend, per inch
MARK: Final = 8  # letters that a mark of the legend takes
LINE: Final = 0.17  # inches of a line of the legend
MARKED: Final = 8  # markers on a curve, about
OTHERS: Final = "#BBBBBB"  # the lines without a name
PALE: Final = 0.4  # opacity of what not all seeds have reached


def draw_curves(runs: Mapping[str, Path], path: Path) -> Path:
    """Draw objective, accuracy and gradient cosine over the epochs of each run, and return `path`.

    Layers that learned without feedback add their norms and winners, and a fitted read-out its accuracy. Runs of one
    configuration but for the seed are one line: their mean, in a band from the least to the greatest. The first
    `APART` lines have a color and a marker of their own; further ones are gray, and the legend counts them.

    Args:
        runs: run folders by label.
        path: the figure, whose suffix decides the kind of file.

    Raises:
        ValueError: when a folder has no record yet.
        PlotsMissing: when matplotlib is not installed.
    """
    records = {label: read_lines(folder / RECORD) for label, folder in runs.items()}
    for label, lines in records.items():
        if not lines:
            raise UsageError(f"{runs[label]}: has no {RECORD} with a line in it; train first")
    groups = run_groups(runs)
    readouts = {label: read_lines(folder / READOUT) for label, folder in runs.items()}
    panels = curve_panels(_by_group(groups, records), _by_group(groups, readouts))
    keys = list(dict.fromkeys(curve.name for panel in panels for curve in panel.curves))
    look = looks(keys[:APART])
    columns = min(ACROSS, len(panels))
    rows, width = -(-len(panels) // columns), PANEL * max(columns, 2)
    shown, notes = _legend(groups, keys, panels, width)
    across = max(1, min(len(shown), 4, int(LETTERS * width / (MARK + max(map(len, shown), default=1)))))
    height = 3.2 * rows + LINE * (-(-len(shown) // across) + len(notes))
    with canvas(columns, width, height, rows=rows) as (figure, axes):
        for panel, wanted in zip(axes, panels, strict=False):
            for curve in wanted.curves:
                _draw(panel, curve, look.get(curve.name))
            _finish(panel, wanted.title, wanted.caption)
        for panel in axes[len(panels) :]:
            panel.set_visible(False)
        _explain(figure, axes[0], look, shown, notes, across)
        return save(figure, path)


def _by_group(groups: Sequence[RunGroup], lines: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The lines of the runs of each group, by the label of its first run."""
    return {group.labels[0]: [lines[label] for label in group.labels] for group in groups}


def _legend(
    groups: Sequence[RunGroup], keys: Sequence[str], panels: Sequence[CurvePanel], width: float
) -> tuple[list[str], list[str]]:
    """The entries of the legend, and the lines that explain it."""
    told = {group.labels[0]: group.told for group in groups}
    named = list(keys[:APART])
    most = int(LETTERS * width / (1 if len(named) == 1 else 2)) - MARK
    known = any(group.values for group in groups)
    labels = [told.get(key, key) for key in named]  # or a layer
    shown = (with_numbers if known else apart)(labels, most)
    notes = [f"{len(groups)} lines: {len(keys) - len(named)} of them gray, without a name"] * (len(keys) > len(named))
    if any(len(group.labels) > 1 for group in groups):
        notes.append("line: mean over the seeds; band: from the least to the greatest of them")
    if any(curve.band.whole < len(curve.band.epochs) for panel in panels for curve in panel.curves):
        notes.append("pale: the mean of those seeds that came so far")
    return shown, textwrap.wrap("; ".join(notes), int(LETTERS * width))


def _draw(axes: "Axes", curve: Curve, look: Look | None) -> None:
    """One line, its band, and the pale part that not all seeds have reached."""
    band, end = curve.band, max(curve.band.whole, 1)
    color = OTHERS if look is None else look.color
    plain: dict[str, Any] = {
        "color": color,
        "linewidth": 0.8 if look is None else 1.2,
        "zorder": 1.5 + (look is not None),
    }
    marks = {"marker": "" if look is None else look.marker, "markersize": 4, "markevery": max(1, end // MARKED)}
    axes.plot(band.epochs[:end], band.mean[:end], curve.style, **plain, **marks)
    if end < len(band.epochs):
        axes.plot(band.epochs[end - 1 :], band.mean[end - 1 :], curve.style, **plain, alpha=PALE)
    if band.runs > 1 and look is not None:
        axes.fill_between(band.epochs, band.low, band.high, color=color, alpha=0.15, linewidth=0)


def _explain(
    figure: "Figure", axes: "Axes", look: Mapping[str, Look], shown: Sequence[str], notes: Sequence[str], across: int
) -> None:
    """The legend below the panels."""
    handles = [axes.plot([], [], **one._asdict(), markersize=4)[0] for one in look.values()]
    said = "\n".join(notes) or None
    figure.legend(handles, shown, loc="outside lower center", ncols=across, fontsize=7, title=said, title_fontsize=7)


def _finish(axes: "Axes", title: str, caption: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title)
    axes.set_xlabel(caption, fontsize=8)
    low, high = axes.get_xlim()
    if high - low < 1:  # one epoch
        axes.set_xlim(low - 0.5, high + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
