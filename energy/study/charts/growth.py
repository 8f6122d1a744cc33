"""Figure C: how sweeps to a tolerance grow with the size of the problem."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from energy.plots.chart import Chart, Panel, Series
from energy.study.charts.lines import OVER_SEEDS, seeds_line
from energy.study.points import StudyPoint, grouped, points_of, seeds_text, summarized, total_sweeps
from energy.study.scaling import along, exponents, lawful_sweeps

AXES: Final = {
    "scaling-depth": ("depth", "depth in layers"),
    "scaling-width": ("units", "units of the network"),
    "scaling-batch": ("batch", "samples in a batch"),
    "scaling-gamma": ("gamma", "feedback gain γ"),
    "scaling-gain": ("gain", "factor on the initial weights"),
    "scaling-age": ("age", "epochs trained"),
}
LAWFUL: Final = ("gamma", "gain", "age")  # axes that change ρ₀² or γ
SWEEPS: Final = "sweeps to the tolerance (log)"


def growth_charts(record: Mapping[str, Any]) -> Iterator[Chart]:
    """Yield one chart with a panel for each axis, the fitted power below it, and the law where the axis changes γρ₀²."""
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
        f"{', '.join(shown)}, {seeds_text(fitted)}. {OVER_SEEDS}; points that did not converge are left out. Below each "
        "panel: the power p of sweeps ∝ axis^p by least squares on logarithms, with its 95 % interval by Student's t "
        "over the points of all seeds. Dotted: the law ln ε / ln(γρ₀²) of each phase, times the phases, with the median "
        "γρ₀² of the seeds.",
        panels=panels,
    )


def _panel(block: str, points: Sequence[StudyPoint]) -> Panel:
    axis, label = AXES[block]
    settled = [point for point in points if point["measures"]["outcome"] == "converged"]
    series = []
    for name, arm in along(settled, axis).items():
        by_value = grouped(sorted(arm, key=lambda point: point["axes"][axis]), (axis,))
        line = seeds_line(by_value.values(), _place(axis), total_sweeps, label=name)
        if line is not None:
            series.append(line)
            series += _law(by_value, axis, name) if axis in LAWFUL else []
    zero = any(point["axes"][axis] == 0 for point in settled)
    scale = "" if zero else " (log)"
    said = "; ".join(f"{fit.label}: p = {fit.said()}, n = {fit.n}" for fit in exponents(points, axis))
    lost = len(points) - len(settled)
    note = "; ".join(
        part for part in (said, f"{lost} of {len(points)} points did not converge" if lost else "") if part
    )
    return Panel(f"{label}", f"{label}{scale}", SWEEPS, tuple(series), x_log=not zero, y_log=True, note=note)


def _place(axis: str) -> Callable[[StudyPoint], float | None]:
    return lambda point: point["axes"][axis]


def _law(by_value: Mapping[Any, Sequence[StudyPoint]], axis: str, name: str) -> list[Series]:
    """The law for one settler, under the name of its line; none where fewer than two values have it."""
    found = []
    for (value,), group in by_value.items():
        predicted = summarized(point["measures"]["rate_predicted"] for point in group)
        sweeps = lawful_sweeps(predicted and predicted.middle, group[0]["axes"]["tolerance"])
        if sweeps is not None:
            found.append((float(value), sweeps * len(group[0]["measures"]["steps"])))
    if len(found) < 2:
        return []
    across, up = zip(*found, strict=True)
    line = Series(label=f"law at {name}", x=across, y=up, look=name, dash="dotted", named=False)
    return [replace(line, hover=tuple(f"law: {number:.3g} sweeps" for number in up))]
