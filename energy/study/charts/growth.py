"""Figure C: how sweeps to a tolerance grow with the size of the problem."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from energy.plots.chart import INK, Chart, Panel, Series
from energy.study.charts.lines import OVER_SEEDS, seeds_line
from energy.study.points import (
    CELL,
    Key,
    StudyPoint,
    cell_names,
    grouped,
    points_of,
    seeds_text,
    summarized,
    total_sweeps,
)
from energy.study.scaling import exponents, grown, lawful_sweeps

AXES: Final = {
    "scaling-depth": ("depth", "depth in layers"),
    "scaling-width": ("units", "units of the network"),
    "scaling-batch": ("batch", "samples in a batch"),
    "scaling-gamma": ("gamma", "feedback gain γ"),
    "scaling-gain": ("gain", "factor on the initial weights"),
    "scaling-age": ("age", "epochs trained"),
}
LAWFUL: Final = ("gamma", "gain", "age")  # axes that change ρ₀² or γ
LAW: Final = "law, in each phase"
SWEEPS: Final = "sweeps to the tolerance (log)"


def growth_charts(record: Mapping[str, Any]) -> Iterator[Chart]:
    """Yield one chart with a panel for each axis, the fitted power below it, and the law where γρ₀² changes."""
    blocks = {block: points_of(record, block) for block in AXES}
    panels = tuple(panel for block, points in blocks.items() if (panel := _panel(block, points)).series)
    if not panels:
        return
    shown = [block for block, points in blocks.items() if points]
    fitted = [point for points in blocks.values() for point in points]
    yield Chart(
        name="c-scaling",
        title="How the sweeps to a tolerance grow",
        caption=f"Sweeps of the batch, summed over the phases, that settling to a tolerance takes, in blocks "
        f"{', '.join(shown)}, {seeds_text(fitted)}. {OVER_SEEDS}; points that did not converge are left out. Below "
        "each panel: the power p of sweeps ∝ axis^p by least squares on logarithms, with its 95 % interval by "
        "Student's t over the points of all seeds. Dotted: the law ln ε / ln(γρ₀²) in each phase, summed over the "
        "phases, with the median γρ₀² of settlers and seeds.",
        panels=panels,
    )


def _panel(block: str, points: Sequence[StudyPoint]) -> Panel:
    axis, label = AXES[block]
    settled = [point for point in points if point["measures"]["outcome"] == "converged"]
    series = []
    for name, arm in grown(settled, axis).items():
        by_value = grouped(sorted(arm, key=lambda point: point["axes"][axis]), (axis,))
        line = seeds_line(by_value.values(), _place(axis), total_sweeps, label=name)
        if line is not None:
            series.append(line)
    series += _laws(settled, axis) if axis in LAWFUL else []
    zero = any(point["axes"][axis] == 0 for point in settled)
    scale = "" if zero else " (log)"
    said = [f"{fit.label}: p = {fit.said()}, n = {fit.n}" for fit in exponents(points, axis)]
    lost = len(points) - len(settled)
    note = "\n".join([*said, *([f"{lost} of {len(points)} points did not converge"] if lost else [])])
    return Panel(f"{label}", f"{label}{scale}", SWEEPS, tuple(series), x_log=not zero, y_log=True, note=note)


def _place(axis: str) -> Callable[[StudyPoint], float | None]:
    return lambda point: point["axes"][axis]


def _laws(points: Sequence[StudyPoint], axis: str) -> list[Series]:
    """The law for each network, with the median rate over settlers and seeds."""
    cells = tuple(one for one in CELL if one != axis)
    places = cell_names(points, cells)
    found = []
    for key, group in grouped(points, cells).items():
        label = f"{LAW}; {places[key]}" if len(places) > 1 else LAW
        line = _law(grouped(sorted(group, key=lambda point: point["axes"][axis]), (axis,)), label)
        found += [] if line is None else [line]
    return found


def _law(by_value: Mapping[Key, Sequence[StudyPoint]], label: str) -> Series | None:
    """The law over the values of an axis; None where fewer than two of them have a rate below 1."""
    found = []
    for (value,), group in by_value.items():
        predicted = summarized(point["measures"]["rate_predicted"] for point in group)
        sweeps = lawful_sweeps(predicted and predicted.middle, group[0]["axes"]["tolerance"])
        if sweeps is not None:
            found.append((float(value), sweeps * len(group[0]["measures"]["steps"])))
    if len(found) < 2:
        return None
    across, up = zip(*found, strict=True)
    hover = tuple(f"{label}: {number:.3g} sweeps" for number in up)
    return Series(label=label, x=across, y=up, color=INK, dash="dotted", hover=hover)
