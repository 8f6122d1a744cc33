"""Drawing a described figure as a picture: SVG for print, PNG for anything else."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from energy.io.atomic import write_text
from energy.plots.chart import INK, Chart, Panel, Series
from energy.plots.scales import cell_edges, place_categories, scale_axis
from energy.plots.style import Look, canvas, looks, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST: Final = 6  # choices that get a row of panels each; of more, only the first is drawn
ABREAST: Final = 3  # panels in a row where no choice makes rows
WIDE: Final = 4.3  # inches of a panel
TALL: Final = 3.2
LETTERS: Final = 15  # of small print per inch
SMALL: Final = 8
LINE: Final = 0.17  # inches of a line of small print
HANDLE: Final = 8  # letters that the mark of a legend takes
FORMATS: Final = ("svg", "png")
PATHS: Final = re.compile(r'(?<= d=")[^"]*')
DIGITS: Final = re.compile(r"(\.\d{2})\d+")
DASHED: Final = {"solid": "-", "dashed": "--", "dotted": ":"}
SHADES: Final = "viridis"
Tint = Mapping[str, Look]


def draw_chart(chart: Chart, folder: Path) -> list[Path]:
    """Draw a figure into `folder` as SVG, whose text stays text, and as PNG, and return their paths.

    Each choice of its selector gets a row of panels; of more than `MOST`, only the first is drawn, and the title says
    so.

    Raises:
        PlotsMissing: when matplotlib is not installed.
    """
    rows = _rows(chart)
    columns = max(map(len, rows))
    tint = looks(chart.keys)
    width = WIDE * columns
    named = {one.label: one for row in rows for panel, choice in row for one in panel.shown(choice) if one.named}
    across = _abreast(list(named), width)
    lines = -(-len(named) // across) + len(textwrap.wrap(chart.caption, int(LETTERS * width)))
    height = TALL * len(rows) + 0.7 + LINE * lines
    with canvas(columns, width + 0.6, height, rows=len(rows)) as (figure, axes):
        from matplotlib import rc_context

        for number, row in enumerate(rows):
            for place, axis in enumerate(axes[number * columns : (number + 1) * columns]):
                if place < len(row):
                    _draw(figure, axis, row[place], tint, chart)
                else:
                    axis.remove()
        _frame(figure, chart, named, tint, across)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # the layout is found once, not for each file
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": chart.name}):
            drawn = [save(figure, folder / f"{chart.name}.{form}") for form in FORMATS]
    lighten(drawn[FORMATS.index("svg")])
    return drawn


def lighten(path: Path) -> None:
    """Cut the coordinates of an SVG's paths to hundredths of a point, which halves the file."""
    text = path.read_text(encoding="utf-8")
    write_text(path, PATHS.sub(lambda found: DIGITS.sub(r"\1", found.group()), text))


def _rows(chart: Chart) -> list[list[tuple[Panel, str]]]:
    """The panels of each row, with the choice that each shows; panels that a choice leaves empty are left out."""
    shown = chart.choices[: 1 if len(chart.choices) > MOST else MOST] or ("",)
    rows = [[(panel, choice) for panel in chart.panels if panel.shown(choice)] for choice in shown]
    if len(rows) > 1 or len(rows[0]) <= ABREAST:
        return [row for row in rows if row]
    columns = 2 if len(rows[0]) == 4 else ABREAST
    return [rows[0][start : start + columns] for start in range(0, len(rows[0]), columns)]


def _draw(figure: "Figure", axes: "Axes", shown: tuple[Panel, str], tint: Tint, chart: Chart) -> None:
    """One panel with one choice."""
    panel, choice = shown
    series = panel.shown(choice)
    for index, (height, text) in enumerate(panel.levels):
        axes.axhline(height, color="#999999", linewidth=0.8, zorder=0)
        place = {"xy": (1.0, height), "xycoords": ("axes fraction", "data"), "xytext": (3, 0)}
        side = "top" if index else "bottom"  # two that are close stay apart
        axes.annotate(text, **place, textcoords="offset points", va=side, fontsize=7, color="#666666")
    names = list(dict.fromkeys(one.key for one in series))
    places = place_categories(series)
    for one in series:
        color = one.color or tint[one.key].color
        marker = "" if one.color else tint[one.key].marker
        shift = 0.0 if not places else 0.6 * ((names.index(one.key) + 0.5) / len(names) - 0.5)
        _STYLES[one.style](axes, one, [places[x] + shift if isinstance(x, str) else x for x in one.x], color, marker)
    _finish(axes, panel, choice, places)
    if any(one.style == "heat" for one in series):
        _cells(figure, axes, panel, series, chart)
    if choice and len(chart.choices) > 1:
        axes.set_title(f"{choice}: {panel.title}", fontsize=9)


def _finish(axes: "Axes", panel: Panel, choice: str, places: Mapping[str, int]) -> None:
    """Titles, labels and scales."""
    axes.set_title(panel.title, fontsize=9)
    notes = [line for part in panel.note.split("\n") for line in textwrap.wrap(part, int(LETTERS * WIDE))]
    axes.set_xlabel("\n".join([panel.across(choice), *notes]), fontsize=SMALL)
    axes.set_ylabel(panel.y_label, fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)
    if places:
        axes.set_xticks(list(places.values()), list(places))
        axes.set_xlim(-0.5, len(places) - 0.5)
        axes.grid(False, axis="x")
    elif panel.x_log:
        scale_axis(axes, "x", [float(x) for one in panel.shown(choice) for x in one.x])
    if panel.y_log:
        scale_axis(axes, "y")


def _abreast(labels: Sequence[str], width: float) -> int:
    """The most columns of a legend, filled one after the other, that fit in a width in inches."""
    for count in range(min(len(labels), 6), 1, -1):
        tall = -(-len(labels) // count)
        columns = [labels[start : start + tall] for start in range(0, len(labels), tall)]
        if sum(max(map(len, column)) + HANDLE for column in columns) <= LETTERS * width:
            return count
    return 1


def _frame(figure: "Figure", chart: Chart, named: Mapping[str, Series], tint: Tint, across: int) -> None:
    """Title and legend above; caption below."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for one in named.values():
        color = one.color or tint[one.key].color
        marker = "" if one.color or one.dash != "solid" else tint[one.key].marker
        dash: Any = "" if one.style == "points" else DASHED[one.dash]
        line = Line2D([], [], color=color, marker=marker, linestyle=dash, markersize=4, linewidth=1.2)
        handles.append(Patch(color=color) if one.style == "heat" else line)
    single = f", {chart.choices[0]}" if len(chart.choices) == 1 else ""
    more = f" ({chart.choices[0]}, one of {len(chart.choices)})" if len(chart.choices) > MOST else ""
    caption = textwrap.fill(chart.caption, int(LETTERS * (figure.get_figwidth() - 0.6)))
    figure.supxlabel(caption, fontsize=SMALL, x=0.01, ha="left", color="#333333")
    title = f"{chart.title}{single}{more}"
    legend = figure.legend(handles, named, loc="outside upper left", ncols=across, fontsize=SMALL, title=title)
    legend.set_alignment("left")
    legend.get_title().set(fontsize=11, fontweight="bold")


def _line(axes: "Axes", series: Series, across: list[Any], color: Any, marker: str) -> None:
    up, mark = _numbers(series.y), marker if series.dash == "solid" else ""
    axes.plot(across, up, DASHED[series.dash], color=color, marker=mark, markersize=4, linewidth=1.2)
    if series.low is not None and series.high is not None:
        axes.fill_between(across, _numbers(series.low), _numbers(series.high), color=color, alpha=0.15, linewidth=0)
    _say(axes, series, across)


def _points(axes: "Axes", series: Series, across: list[Any], color: Any, marker: str) -> None:
    axes.plot(across, _numbers(series.y), linestyle="", color=color, marker=marker or "o", markersize=4.5, alpha=0.85)
    if series.low is not None and series.high is not None:
        axes.vlines(across, _numbers(series.low), _numbers(series.high), color=color, linewidth=1.2)
    _say(axes, series, across)


def _bars(axes: "Axes", series: Series, across: list[Any], color: Any, marker: str) -> None:
    del marker
    gaps = [second - first for first, second in pairwise(sorted(across))]
    axes.bar(across, _numbers(series.y), width=0.2 * min(gaps, default=1.0), color=color, alpha=0.85)
    if series.low is not None and series.high is not None:
        axes.vlines(across, _numbers(series.low), _numbers(series.high), color="black", linewidth=0.9)
    _say(axes, series, across)


def _steps(axes: "Axes", series: Series, across: list[Any], color: Any, marker: str) -> None:
    mark = {"marker": marker if series.dash == "solid" else "", "markevery": max(1, len(across) // 5)}
    axes.step(across, _numbers(series.y), DASHED[series.dash], where="post", color=color, markersize=4, **mark)
    _say(axes, series, across)


def _patches(axes: "Axes", series: Series, across: list[Any], color: Any, marker: str) -> None:
    """Nothing yet: cells are drawn when the scales of the panel are known."""


def _cells(figure: "Figure", axes: "Axes", panel: Panel, series: Sequence[Series], chart: Chart) -> None:
    """The cells of a panel, each to the middle between it and the next."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    heats = [one for one in series if one.style == "heat"]
    across = cell_edges({float(x) for one in heats for x in one.x}, log=panel.x_log)
    up = cell_edges({y for one in heats for y in one.y if y is not None}, log=panel.y_log)
    numbers = [value for one in chart.series for value in one.value or () if value is not None]
    shade: Any = ScalarMappable(Normalize(min(numbers, default=0), max(numbers, default=1)), colormaps[SHADES])
    for one in heats:
        for index, (x, y) in enumerate(zip(one.x, one.y, strict=True)):
            value = None if one.value is None else one.value[index]
            color = one.color or INK if value is None else shade.to_rgba(value)
            (left, right), (low, high) = across[float(x)], up[y or 0.0]
            axes.add_patch(Rectangle((left, low), right - left, high - low, facecolor=color, edgecolor="white"))
            if one.marks:
                axes.text(float(x), y or 0.0, one.marks[index], ha="center", va="center", fontsize=7, color="white")
    axes.set_xlim(min(left for left, _ in across.values()), max(right for _, right in across.values()))
    axes.set_ylim(min(low for low, _ in up.values()), max(high for _, high in up.values()))
    axes.grid(False)
    if any(one.value is not None for one in heats):
        figure.colorbar(shade, ax=axes, label=panel.value_label)


def _say(axes: "Axes", series: Series, across: Sequence[Any]) -> None:
    """The short texts at the points."""
    for x, y, text in zip(across, series.y, series.marks, strict=False):
        if text and y is not None:
            axes.annotate(text, (x, y), (3, 3), textcoords="offset points", fontsize=6.5, color="#444444")


def _numbers(found: Sequence[float | None]) -> list[float]:
    return [float("nan") if number is None else number for number in found]


_STYLES: Final = {"line": _line, "points": _points, "bars": _bars, "steps": _steps, "heat": _patches}
