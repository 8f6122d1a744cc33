"""Figure A: what a budget of sweeps buys, whenever settling is stopped."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from energy.plots.chart import Chart, Panel, Series
from energy.study.charts.lines import (
    ACROSS,
    ACROSS_LABELS,
    BELOW_ONE,
    COSINES,
    CUT,
    OVER_SEEDS,
    Reading,
    file_name,
    present,
    seeds_line,
    whole_gap,
    worst_gap,
)
from energy.study.points import (
    ARM,
    CELL,
    RUNG,
    StudyPoint,
    arm_names,
    cell_names,
    grouped,
    points_of,
    seeds_text,
    shortfall,
)

BLOCK: Final = "anytime"


def anytime_charts(record: Mapping[str, Any]) -> Iterator[Chart]:
    """Yield one chart for each gain and age, and one of the layers' cosines."""
    points = points_of(record, BLOCK)
    places = cell_names(points)
    for key, cell in grouped(points, CELL).items():
        panels = tuple(panel for panel in _panels(cell) if panel.series)
        choices = tuple(name for name in ACROSS if any(one.group == name for panel in panels for one in panel.series))
        if choices:
            yield Chart(
                name=f"a-anytime-{file_name(places[key])}",
                title=f"Anytime curves: {places[key]}",
                caption=f"What a budget buys: block {BLOCK}, {places[key]}, {seeds_text(cell)}. {OVER_SEEDS}. "
                "Residual and energy gap are those of the samples of the batch: solid their median, dashed the 95th "
                "percentile. The cosine is that with the exact gradient at the settler's own γ; "
                f"{CUT}.",
                panels=panels,
                choices=choices,
                choice="abscissa",
            )
    yield from _layers(points)


def sample_percentile(name: str, percent: float) -> Reading:
    """Return the function that reads a percentile over the samples of a point.

    Args:
        name: a column of the samples.
        percent: 50 for the median.
    """

    def read(point: StudyPoint) -> float | None:
        found = [number for number in point["samples"].get(name, ()) if number is not None]
        number = float(np.percentile(found, percent)) if found else None
        return number if number is not None and number > 0 else None

    return read


def _panels(points: Sequence[StudyPoint]) -> Iterator[Panel]:
    """The four panels of one cell, each against every abscissa."""
    ordinates: dict[str, tuple[Reading, Reading | None]] = {
        "relative residual": (sample_percentile("residual", 50), sample_percentile("residual", 95)),
        "energy gap per sample": (sample_percentile("energy_gap", 50), sample_percentile("energy_gap", 95)),
    }
    for title, (middle, upper) in ordinates.items():
        yield _panel(title, f"{title} (log)", [*_lines(points, middle), *_upper(points, upper)])
    for title, gap in (("worst layer's cosine", worst_gap), ("cosine of the whole gradient", whole_gap)):
        yield replace(_panel(title, BELOW_ONE, _lines(points, gap)), levels=COSINES)


def _panel(title: str, label: str, series: Iterable[Series]) -> Panel:
    return Panel(title, "", label, tuple(series), x_log=True, y_log=True, x_labels=ACROSS_LABELS)


def _lines(points: Sequence[StudyPoint], up: Reading) -> Iterator[Series]:
    names = arm_names(points)
    for choice, across in ACROSS.items():
        for key, arm in grouped(points, ARM).items():
            line = seeds_line(grouped(arm, RUNG).values(), across, up, label=names[key])
            if line is not None:
                yield replace(line, group=choice)


def _upper(points: Sequence[StudyPoint], up: Reading | None) -> Iterator[Series]:
    """The upper percentile: dashed, without a band, under the name of its line."""
    for line in [] if up is None else _lines(points, up):
        yield replace(line, low=None, high=None, dash="dashed", named=False)


def _layers(points: Sequence[StudyPoint]) -> Iterator[Chart]:
    """Cosines layer by layer, which a selector chooses."""
    layers = tuple(dict.fromkeys(layer for point in points for layer in point["layers"]))
    places, names = cell_names(points), arm_names(points)
    panels = []
    for key, cell in grouped(points, CELL).items():
        arms = grouped(cell, ARM).items()
        series = present(_layer_line(arm, names[one], layer) for layer in layers for one, arm in arms)
        label = ACROSS_LABELS["BP steps"]
        panels.append(Panel(places[key], label, BELOW_ONE, series, x_log=True, y_log=True, levels=COSINES))
    drawn = tuple(panel for panel in panels if panel.series)
    shown = tuple(layer for layer in layers if any(one.group == layer for panel in drawn for one in panel.series))
    if drawn:
        yield Chart(
            name="a-layers",
            title="Anytime curves, layer by layer",
            caption=f"1 − cosine with the exact gradient, one layer at a time, in block {BLOCK}, {seeds_text(points)}. "
            f"{OVER_SEEDS}; {CUT}.",
            panels=drawn,
            choices=shown,
            choice="layer",
        )


def _layer_line(points: Sequence[StudyPoint], label: str, layer: str) -> Series | None:
    def gap(point: StudyPoint) -> float | None:
        return shortfall(point["layers"].get(layer, {}).get("cosine"))

    line = seeds_line(grouped(points, RUNG).values(), ACROSS["BP steps"], gap, label=label)
    return None if line is None else replace(line, group=layer)
