"""Figure G: the nudge β against the budget and against the precision of numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from energy.plots.chart import Chart, Panel, Series
from energy.study.charts.lines import BELOW_ONE, COSINES, CUT, OVER_SEEDS, seeds_line, worst_gap
from energy.study.points import (
    CELL,
    StudyPoint,
    arm_names,
    axis_text,
    cell_names,
    grouped,
    points_of,
    rung_text,
    seeds_text,
)

BLOCKS: Final = ("nudge", "precision")
WHO: Final = ("settler", "relaxation", "gamma")
BETA: Final = "nudge β (log)"


def nudge_charts(record: Mapping[str, Any]) -> Iterator[Chart]:
    """Yield one chart, whose selector chooses settler and network: a line for each budget, and for each precision."""
    points = [point for point in points_of(record, *BLOCKS) if point["axes"]["beta"]]
    names, places = arm_names(points, WHO), cell_names(points)
    budgets: list[Series] = []
    precisions: list[Series] = []
    choices: list[str] = []
    for key, group in grouped(points, (*WHO, *CELL)).items():
        place = f"; {places[key[len(WHO) :]]}" if len(places) > 1 else ""
        choice = names[key[: len(WHO)]] + place
        one, other = (_lines(points_of({"points": group}, block), block, choice) for block in BLOCKS)
        budgets += one
        precisions += other
        choices += [choice] if [*one, *other] else []
    titles = {"against the budget, free + nudged": budgets, "against the precision": precisions}
    panels = [
        Panel(title, BETA, BELOW_ONE, tuple(lines), x_log=True, y_log=True, levels=COSINES)
        for title, lines in titles.items()
    ]
    if choices:
        yield Chart(
            name="g-nudge",
            title="The nudge: bias of a large β, rounding of a small one",
            caption=f"1 − cosine with the exact gradient in the worst layer, blocks {', '.join(BLOCKS)}, "
            f"{seeds_text(points)}, at the settler's own γ. {OVER_SEEDS}; {CUT}.",
            panels=tuple(panel for panel in panels if panel.series),
            choices=tuple(choices),
            choice="settler",
        )


def _lines(points: Sequence[StudyPoint], block: str, choice: str) -> list[Series]:
    """A line over β for each budget, or for each precision."""
    found = []
    for group in grouped(points, ("budget", "tolerance", "precision")).values():
        axes = group[0]["axes"]
        label = axis_text("precision", axes["precision"]) if block == "precision" else f"budget {rung_text(axes)}"
        line = seeds_line(
            grouped(group, ("beta",)).values(), lambda point: point["axes"]["beta"], worst_gap, label=label
        )
        found += [] if line is None else [replace(line, group=choice)]
    return found
