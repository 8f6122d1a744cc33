"""Figure D: the samples that settle last, which the batch waits for."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from energy.plots.chart import Chart, Panel, Series
from energy.study.charts.lines import present, spread_text
from energy.study.points import ARM, CELL, StudyPoint, arm_names, cell_names, grouped, points_of, seeds_text, summarized

BLOCK: Final = "tolerance"


def straggler_charts(record: Mapping[str, Any]) -> Iterator[Chart]:
    """Yield one chart, whose selector chooses the network: samples left over sweeps, and the most over the mean."""
    points = [point for point in points_of(record, BLOCK) if any(point["samples"].get("sweeps", {}).values())]
    if not points:
        return
    phases = tuple(
        dict.fromkeys(phase for point in points for phase, found in point["samples"]["sweeps"].items() if found)
    )
    names, places = arm_names(points), cell_names(points)
    cells = {places[key]: cell for key, cell in grouped(points, CELL).items()}
    panels = []
    for phase in phases:
        series = present(
            _left(arm, phase, names[key], place)
            for place, cell in cells.items()
            for key, arm in grouped(cell, ARM).items()
        )
        panels.append(Panel(f"{phase} phase", "sweeps (log)", "samples still settling, percent", series, x_log=True))
    ratios = present(
        _ratios(arm, phases, names[key], place)
        for place, cell in cells.items()
        for key, arm in grouped(cell, ARM).items()
    )
    panels.append(Panel("waiting", "phase", "sweeps of the batch over the mean sample's", ratios, levels=((1.0, ""),)))
    yield Chart(
        name="d-stragglers",
        title="Stragglers: the samples that a batch waits for",
        caption=f"Block {BLOCK}, {seeds_text(points)}. Left: the samples of all seeds together that still settle after "
        "so many sweeps. Right: the sweeps of the last sample over the mean of its batch, median over seeds, with the "
        "range from the least to the greatest; 1 would be no waiting.",
        panels=tuple(panel for panel in panels if panel.series),
        choices=tuple(cells),
        choice="network",
    )


def waiting(point: StudyPoint, phase: str) -> float | None:
    """Return the most sweeps of a sample over their mean, in one phase; None without sweeps."""
    sweeps = point["samples"]["sweeps"].get(phase) or ()
    return max(sweeps) / fmean(sweeps) if sweeps and max(sweeps) > 0 else None


def _left(points: Sequence[StudyPoint], phase: str, label: str, group: str) -> Series | None:
    """The share of samples that take more sweeps, as a staircase."""
    sweeps = sorted(one for point in points for one in point["samples"]["sweeps"].get(phase) or ())
    if not sweeps:
        return None
    values = sorted(set(sweeps))
    left = [100.0 * sum(one > value for one in sweeps) / len(sweeps) for value in values]
    start = max(values[0] * 0.7, 0.7)  # where all of them still settle
    return Series(
        label=label,
        x=(start, *(float(value) for value in values)),
        y=(100.0, *left),
        style="steps",
        hover=(
            "",
            *(f"{label}: {share:.1f} % after {value} sweeps" for value, share in zip(values, left, strict=True)),
        ),
        group=group,
    )


def _ratios(points: Sequence[StudyPoint], phases: Sequence[str], label: str, group: str) -> Series | None:
    found = {phase: summarized(waiting(point, phase) for point in points) for phase in phases}
    known = {phase: spread for phase, spread in found.items() if spread is not None}
    if not known:
        return None
    return Series(
        label=label,
        x=tuple(known),
        y=tuple(spread.middle for spread in known.values()),
        low=tuple(spread.low for spread in known.values()),
        high=tuple(spread.high for spread in known.values()),
        style="points",
        hover=tuple(f"{label}, {phase}: {spread_text(spread)}" for phase, spread in known.items()),
        group=group,
    )
