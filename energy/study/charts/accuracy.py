"""Figure F: accuracy against the budget of the free phase, and against the seconds of training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, Final

from energy.plots.chart import Chart, Panel, Series
from energy.study.charts.lines import ACROSS, OVER_SEEDS, seeds_line, spread_text
from energy.study.points import (
    ARM,
    CELL,
    RUNG,
    Key,
    StudyPoint,
    arm_names,
    axis_text,
    cell_names,
    grouped,
    measure,
    points_of,
    seeds_text,
    summarized,
)

BLOCK: Final = "evaluation"
PERCENT: Final = "validation accuracy, percent"
RUN: Final = ("settler", "gamma", "gain", "model", "data")


def accuracy_charts(record: Mapping[str, Any]) -> Iterator[Chart]:
    """Yield one chart: accuracy at budgets of the free phase on trained weights, and over the seconds of training."""
    points, trainings = points_of(record, BLOCK), record["trainings"]
    left, right = _budgets(points), _trainings(trainings)
    said = []
    if left:
        said.append(
            f"Left: accuracy on validation images when the free phase stops early, block {BLOCK}, {seeds_text(points)}."
        )
    if right:
        seeds = len({training["seed"] for training in trainings})
        start = "Right: a" if left else "A"
        said.append(f"{start}ccuracy after each epoch of training, {seeds} seeds, against the seconds so far.")
    panels = (
        Panel("accuracy at a budget", "sweeps of the free phase (log)", PERCENT, left, x_log=True),
        Panel("accuracy while training", "seconds of training on this machine", PERCENT, right),
    )
    if said:
        yield Chart(
            name="f-accuracy",
            title="Accuracy against sweeps and seconds",
            caption=f"{' '.join(said)} {OVER_SEEDS}.",
            panels=tuple(panel for panel in panels if panel.series),
        )


def _budgets(points: Sequence[StudyPoint]) -> tuple[Series, ...]:
    names, places = arm_names(points), cell_names(points)
    found = []
    for key, group in grouped(points, (*ARM, *CELL)).items():
        place = f"; {places[key[len(ARM) :]]}" if len(places) > 1 else ""
        label = names[key[: len(ARM)]] + place
        line = seeds_line(grouped(group, RUNG).values(), ACROSS["sweeps"], measure("accuracy"), label=label)
        found += [] if line is None else [line]
    return tuple(found)


def _trainings(trainings: Sequence[Mapping[str, Any]]) -> tuple[Series, ...]:
    """Median accuracy after each epoch at the median seconds so far, for each settler, and γ where it has several."""
    runs: dict[Key, list[Mapping[str, Any]]] = {}
    for training in trainings:
        runs.setdefault(tuple(training[name] for name in RUN), []).append(training)
    found = []
    for key, group in runs.items():
        alike = [other for other in runs if other[0] == key[0]]
        told = [index for index in range(1, len(RUN)) if len({other[index] for other in alike}) > 1]
        label = ", ".join([str(key[0]), *(axis_text(RUN[index], key[index]) for index in told)])
        found += _course(label, group)
    return tuple(found)


def _course(label: str, trainings: Sequence[Mapping[str, Any]]) -> list[Series]:
    clocks = [list(accumulate(epoch["seconds"] for epoch in training["epochs"])) for training in trainings]
    places, heights = [], []
    for number in range(max(map(len, clocks), default=0)):
        there = [index for index, clock in enumerate(clocks) if len(clock) > number]
        place = summarized(clocks[index][number] for index in there)
        height = summarized(trainings[index]["epochs"][number]["validation_accuracy"] for index in there)
        if place is not None and height is not None:
            places.append(place.middle)
            heights.append(height)
    if not heights:
        return []
    line = Series(label=label, x=tuple(places), y=tuple(height.middle for height in heights))
    ends = (tuple(height.low for height in heights), tuple(height.high for height in heights))
    hover = tuple(f"{label}; epoch {number}: {spread_text(height)}" for number, height in enumerate(heights, 1))
    return [replace(line, low=ends[0], high=ends[1], hover=hover)]
