"""The course of a settling: energy, residual and cosine against the step of the relaxation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from energy.plots.style import MARKERS, PALETTE, canvas, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PHASES: Final = {"free": "free", "nudged": "nudged", "nudged_down": "nudged down", "clamped": "clamped"}
PANELS: Final = {
    "energy": ("energy per sample", "step of the relaxation"),
    "residual_median": ("relative residual", "step (solid: median of the samples, dashed: largest)"),
    "cosine": ("cosine with the exact gradient", "step at which the phase stops (worst layer)"),
}
Points = list[tuple[int, float]]


def draw_settling(trace: Mapping[str, Any], path: Path, title: str = "") -> Path:
    """Draw a record of `energy.analysis.settling_trace` and return `path`: a curve per phase.

    Args:
        trace: the record.
        path: the figure, whose suffix decides the kind of file.
        title: above the panels.

    Raises:
        PlotsMissing: when matplotlib is not installed.
    """
    phases = trace["phases"]
    shown = [name for name in PANELS if any(_points(phase[name]) for phase in phases.values())] or ["residual_median"]
    with canvas(len(shown), max(3.67 * len(shown), 5.0), 3.4) as (figure, axes):
        for panel, name in zip(axes, shown, strict=True):
            for phase, columns in phases.items():
                _curve(panel, phase, list(phases).index(phase), columns, name)
            _finish(panel, name)
        handles, labels = axes[shown.index("residual_median")].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels) or 1, fontsize=8)
        figure.suptitle(title, fontsize=10)
        return save(figure, path)


def last_trace(lines: Sequence[Mapping[str, Any]]) -> tuple[int, Mapping[str, Any]] | None:
    """Return the epoch and the trace of the last line of a record that has one with a phase in it."""
    found = [(line["epoch"], line["settling_trace"]) for line in lines if line.get("settling_trace", {}).get("phases")]
    return found[-1] if found else None


def _curve(axes: "Axes", phase: str, index: int, columns: Mapping[str, Any], name: str) -> None:
    look: dict[str, Any] = {"color": PALETTE[index % len(PALETTE)], "linewidth": 1.2}
    marker = MARKERS[index % len(MARKERS)]
    label = f"{PHASES.get(phase, phase)} ({columns['outcome']})"
    if points := _points(columns[name]):
        axes.plot(*zip(*points, strict=True), marker=marker, markersize=3.5, label=label, **look)
    if name == "residual_median" and (largest := _points(columns["residual_max"])):
        axes.plot(*zip(*largest, strict=True), "--", **look)


def _points(column: Sequence[float | None]) -> Points:
    return [(step, number) for step, number in enumerate(column, 1) if number is not None]


def _finish(axes: "Axes", name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    title, caption = PANELS[name]
    axes.set_title(title)
    axes.set_xlabel(caption, fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if name == "residual_median" and axes.dataLim.y1 > 0:
        axes.set_yscale("log")
    if name == "energy":
        axes.ticklabel_format(axis="y", useOffset=False)
