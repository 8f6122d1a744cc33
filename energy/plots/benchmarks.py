"""The figure of the benchmarks: ratios of time with their intervals, angle against price, and how the price moves."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from energy.errors import UsageError
from energy.plots.style import canvas, colors, markers, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
Lines = Mapping[str, Sequence[tuple[float, float]]]
ABREAST: Final = 4  # panels in a row
FEW: Final = 8  # places on an axis that get a tick of their own
BARS: Final = ("dual_propagation", "gpu", "overhead")
ALONG: Final = {"batch": "batch", "width": "width", "depth": "hidden layers"}
NAMES: Final = {
    "dual_propagation": "time of a step",
    "gpu": "time of a step, GPU",
    "overhead": "time of a step, one sample",
}


def draw_benchmarks(records: Mapping[str, Mapping[str, Any]], path: Path) -> Path:
    """Draw the records of benchmarks, by name, and return `path`.

    Raises:
        ValueError: when none of them has anything that is drawn.
        PlotsMissing: when matplotlib is not installed.
    """
    panels = [*_ratios(records), *_angles(records), *_scaling(records), *_accuracy(records)]
    if not panels:
        raise UsageError(f"{path.parent}: its records hold nothing that is drawn; known are {', '.join(BARS)}, ...")
    tallest = max((len(panel.rows) for panel in panels if isinstance(panel, Bars)), default=0)
    columns, height = min(len(panels), ABREAST), max(3.6, 1.6 + 0.17 * tallest)
    rows = -(-len(panels) // columns)
    with canvas(columns, 4.2 * columns, height * rows, rows=rows) as (figure, axes):
        for panel, one in zip(panels, axes, strict=False):
            panel.draw(one)
        for unused in axes[len(panels) :]:
            unused.remove()
        machines = dict.fromkeys(str(record["device_name"]) for record in records.values())
        figure.suptitle("; ".join(machines), fontsize=9)
        return save(figure, path)


class Bars:
    """Ratios to a reference with their intervals, one bar per candidate."""

    def __init__(self, title: str, rows: Sequence[Row]) -> None:
        self.title, self.rows = title, rows

    def draw(self, axes: "Axes") -> None:
        names = list(dict.fromkeys(row["name"] for row in self.rows))
        tint = colors(names)
        for height, row in enumerate(self.rows):
            ends = [[max(row["ratio"] - row["ratio_low"], 0)], [max(row["ratio_high"] - row["ratio"], 0)]]
            axes.barh(height, row["ratio"], height=0.7, color=tint[row["name"]], alpha=0.85)
            axes.errorbar(row["ratio"], height, xerr=ends, fmt="none", color="black", capsize=2, linewidth=0.9)
        for name in names:
            axes.barh(0, 0, color=tint[name], label=name)
        axes.axvline(1.0, color="#999999", linewidth=0.8)
        axes.set_yticks(range(len(self.rows)), _once([_case(row) for row in self.rows]), fontsize=8)
        axes.tick_params(left=False)
        axes.grid(False, axis="y")
        axes.set_ylim(len(self.rows) - 0.4, -0.6)
        axes.set_title(self.title)
        axes.set_xlabel(f"over {self.rows[0]['reference']}; median, 95 %")
        _legend(axes)


class Curves:
    """Lines with markers over a logarithmic axis.

    Args:
        title: of the panel.
        label: of the horizontal axis.
        lines: points (x, y) by name.
        log: whether the vertical axis is logarithmic too.
        level: height of a thin horizontal line; None for none.
    """

    def __init__(self, title: str, label: str, lines: Lines, *, log: bool = False, level: float | None = None) -> None:
        self.title = title
        self.label = label
        self.lines = lines
        self.log = log
        self.level = level

    def draw(self, axes: "Axes") -> None:
        tint, shape = colors(list(self.lines)), markers(list(self.lines))
        for name, points in self.lines.items():
            across, up = zip(*sorted(points), strict=True)
            axes.plot(across, up, "-", color=tint[name], marker=shape[name], markersize=4, linewidth=1.1, label=name)
        if self.level is not None:
            axes.axhline(self.level, color="#999999", linewidth=0.8, zorder=0)
        axes.set_xscale("log")
        at = sorted({across for points in self.lines.values() for across, _ in points})
        ticks = at if len(at) <= FEW else _round(at[0], at[-1])
        axes.set_xticks(ticks, [f"{value:.0f}" if value >= 1000 else f"{value:.3g}" for value in ticks], fontsize=8)
        axes.set_xticks([], minor=True)
        if self.log:
            axes.set_yscale("log")
        axes.set_title(self.title)
        axes.set_xlabel(self.label)
        _legend(axes)


def _ratios(records: Mapping[str, Mapping[str, Any]]) -> Iterator[Bars]:
    for name in BARS:
        if name in records:
            rows = [row for row in records[name]["rows"] if row["name"] != row["reference"]]
            if rows:
                yield Bars(NAMES[name], rows)


def _angles(records: Mapping[str, Mapping[str, Any]]) -> Iterator[Curves]:
    """At γ = 1 one line for each scale of the weights, the price counted; the published recipe as points."""
    found = [row for row in records.get("equilibrium", {"rows": []})["rows"] if row["kind"] == "angle"]
    rows = [row for row in found if "γ = 1," in row["group"] and not row["name"].startswith("joint")]
    if rows:
        lines: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            cell = row["group"] if row["name"].startswith("held") else "two phases"
            lines.setdefault(cell, []).append((row["backprop_steps"], row["cosine"]))
        yield Cosines("worst layer's cosine, median of seeds", "back-propagation steps, counted", lines, level=1.0)


class Cosines(Curves):
    """Lines of cosines; those named two phases are drawn as points alone."""

    def draw(self, axes: "Axes") -> None:
        loose = self.lines.get("two phases", ())
        whole = self.lines
        self.lines = {name: points for name, points in whole.items() if name != "two phases"}
        super().draw(axes)
        self.lines = whole
        if loose:
            across, up = zip(*loose, strict=True)
            axes.plot(across, up, "x", color="#444444", markersize=6, label="two phases")
            _legend(axes)


def _scaling(records: Mapping[str, Mapping[str, Any]]) -> Iterator[Curves]:
    rows = records.get("scaling", {"rows": []})["rows"]
    for axis, label in ALONG.items():
        chosen = [row for row in rows if row["axis"] == axis]
        if chosen:
            lines = _lines(chosen, "ratio", ("group", "name"))
            yield Curves("time, over back-propagation", label, lines, level=1.0)
    feedback = [row for row in rows if row["axis"] == "gamma"]
    if feedback:
        lines = _lines(feedback, "backprop_steps", ("group",))
        yield Curves("multiply-adds to converge", "feedback gain γ", lines, log=True)
    nudge = [{**row, "angle": max(1 - row["cosine"], 1e-9)} for row in rows if row["axis"] == "beta"]
    if nudge:
        yield Curves("1 − worst layer's cosine, at least 1e-9", "nudge β", _lines(nudge, "angle", ("name",)), log=True)


def _accuracy(records: Mapping[str, Mapping[str, Any]]) -> Iterator[Curves]:
    rows = [row for row in records.get("accuracy", {"rows": []})["rows"] if row["accuracy"] is not None]
    if rows:
        timed = [{**row, "at": row["seconds_total"]} for row in rows]
        yield Curves("validation accuracy, percent", "seconds since the start", _lines(timed, "accuracy", ("name",)))


def _lines(rows: Sequence[Row], column: str, by: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        lines.setdefault(", ".join(row[key] for key in by), []).append((row["at"], row[column]))
    return lines


def _round(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between two numbers above 0."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [digit * 10.0**power for power in powers for digit in (1, 2, 5) if low <= digit * 10.0**power <= high]


def _case(row: Row) -> str:
    """Network and precision."""
    return " ".join(str(row[key]) for key in ("group", "dtype") if row.get(key))


def _once(labels: Sequence[str]) -> list[str]:
    """The labels, each blank if it repeats the one before it."""
    return [label if index == 0 or label != labels[index - 1] else "" for index, label in enumerate(labels)]


def _legend(axes: "Axes") -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=7, handlelength=1.6)
