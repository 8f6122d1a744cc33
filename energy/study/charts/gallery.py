"""All figures of a study, and why one is missing."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from energy.plots.chart import Chart
from energy.study.charts.accuracy import accuracy_charts
from energy.study.charts.anytime import anytime_charts
from energy.study.charts.growth import AXES, growth_charts
from energy.study.charts.law import law_charts
from energy.study.charts.nudge import nudge_charts
from energy.study.charts.outcomes import outcome_charts
from energy.study.charts.pareto import pareto_charts
from energy.study.charts.stragglers import straggler_charts
from energy.study.points import points_of


class Family(NamedTuple):
    """A figure of a study.

    Attributes:
        title: its letter and what it shows.
        make: yields its charts from a record.
        blocks: the blocks that it is made of.
        needs: what their points must have.
    """

    title: str
    make: Callable[[Mapping[str, Any]], Iterator[Chart]]
    blocks: tuple[str, ...]
    needs: str


FAMILIES: Final = (
    Family("A, anytime curves", anytime_charts, ("anytime",), "steps with residuals, energy gaps or cosines"),
    Family("B, the front and the price of a cosine", pareto_charts, ("anytime", "tolerance"), "cosines at every seed"),
    Family("C, scaling", growth_charts, tuple(AXES), "sweeps that converged"),
    Family("D, stragglers", straggler_charts, ("tolerance",), "sweeps of single samples"),
    Family("E, the law of settling", law_charts, ("phases", "scaling-gamma"), "a predicted and a measured rate"),
    Family("F, accuracy", accuracy_charts, ("evaluation",), "an accuracy, and the record has no epoch of a training"),
    Family("G, the nudge", nudge_charts, ("nudge", "precision"), "a β above 0 and a cosine"),
    Family("H, outcomes over γ and gain", outcome_charts, ("phases",), "a γ above 0"),
)


def charts(record: Mapping[str, Any]) -> list[Chart]:
    """Return the figures A to H that the record of a study has data for, in that order."""
    found = [chart for family in FAMILIES for chart in family.make(record)]
    return [_alike(chart, settlers(record)) for chart in found]


def settlers(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the settlers of a record, each once, in the order of its points and trainings."""
    named = [point["axes"]["settler"] for point in record["points"]]
    return tuple(dict.fromkeys([*named, *(training["settler"] for training in record["trainings"])]))


def missing(record: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each figure that the record has no data for, with the reason."""
    return [_reason(family, record) for family in FAMILIES if not any(True for _ in family.make(record))]


def _alike(chart: Chart, names: tuple[str, ...]) -> Chart:
    """The chart with one look for a settler in all charts, where a chart has one line of it."""
    owners = {label: _owner(label, names) for label in dict.fromkeys(series.label for series in chart.series)}
    alone = {label: owner for label, owner in owners.items() if owner and list(owners.values()).count(owner) == 1}
    panels = tuple(
        replace(panel, series=tuple(replace(one, look=one.look or alone.get(one.label, "")) for one in panel.series))
        for panel in chart.panels
    )
    used = any(one.look in names for panel in panels for one in panel.series)
    return replace(chart, panels=panels, palette=names if used else ())


def _owner(label: str, names: tuple[str, ...]) -> str:
    """The settler that a label is of: the longest name that begins it."""
    found = [name for name in names if label == name or label.startswith((f"{name}, ", f"{name}; "))]
    return max(found, key=len, default="")


def _reason(family: Family, record: Mapping[str, Any]) -> str:
    count = len(points_of(record, *family.blocks))
    blocks = f"block{'s' if len(family.blocks) > 1 else ''} {', '.join(family.blocks)}"
    why = (
        f"none of the {count} points of {blocks} has {family.needs}"
        if count
        else f"the record has no point of {blocks}"
    )
    return f"Figure {family.title}: left out, because {why}."
