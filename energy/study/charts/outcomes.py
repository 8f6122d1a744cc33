"""Figure H: where settling converges, over feedback gain and scale of the weights."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from energy.plots.chart import Chart, Panel, Series
from energy.study.charts.lines import worst_gap
from energy.study.points import (
    StudyPoint,
    Summary,
    arm_names,
    cell_names,
    grouped,
    points_of,
    seeds_text,
    summarized,
    total_sweeps,
)

BLOCK: Final = "phases"
WHO: Final = ("settler", "relaxation", "beta", "precision")
WHERE: Final = ("model", "data", "age", "depth", "units", "batch")
ORDER: Final = ("none", "fixed", "converged", "budget", "diverged")  # from the best to the worst
MEANINGS: Final = {
    "none": "no settling",
    "fixed": "fixed budget",
    "converged": "converged",
    "budget": "budget spent",
    "diverged": "diverged",
}
COLORS: Final = {
    "none": "#999999",
    "fixed": "#56B4E9",
    "converged": "#009E73",
    "budget": "#E69F00",
    "diverged": "#D55E00",
}
BLACK: Final = "#000000"
EDGE: Final = "predicted γρ₀² = 1"
GAMMA: Final = "feedback gain γ"
GAIN: Final = "factor on the initial weights"


def outcome_charts(record: Mapping[str, Any]) -> Iterator[Chart]:
    """Yield one chart, whose selector chooses settler and network: the worst outcome, and the cosine, of each cell."""
    points = [point for point in points_of(record, BLOCK) if point["axes"]["gamma"] > 0]
    names, places = arm_names(points, WHO), cell_names(points, WHERE)
    outcomes: list[Series] = []
    cosines: list[Series] = []
    choices: list[str] = []
    for key, group in grouped(points, (*WHO, *WHERE)).items():
        place = f"; {places[key[len(WHO) :]]}" if len(places) > 1 else ""
        choice = names[key[: len(WHO)]] + place
        edge = _edge(group, choice)
        outcomes += [*_outcomes(group, choice), *edge]
        cosines += [*_cosines(group, choice), *edge]
        choices.append(choice)
    if not choices:
        return
    panels = (
        Panel("outcome, and sweeps where it converged", GAMMA, GAIN, tuple(outcomes)),
        Panel("worst layer's cosine", GAMMA, GAIN, tuple(cosines), value_label="log₁₀ (1 − cosine)"),
    )
    yield Chart(
        name="h-phases",
        title="Where settling converges",
        caption=f"Block {BLOCK}, {seeds_text(points)}. Left: the worst outcome over the seeds, and the median sweeps "
        "where all of them converged. Right: the median of 1 − cosine in the worst layer over the seeds, where there "
        "is one. Dashed: where the median of the predicted γρ₀² crosses 1.",
        panels=tuple(panel for panel in panels if any(one.style == "heat" for one in panel.series)),
        choices=tuple(choices),
        choice="settler",
    )


def worst_outcome(points: Sequence[StudyPoint]) -> str:
    """Return the worst outcome of the points."""
    return max((point["measures"]["outcome"] for point in points), key=ORDER.index)


def _outcomes(points: Sequence[StudyPoint], group: str) -> Iterator[Series]:
    """A series of cells for each outcome."""
    cells = grouped(points, ("gamma", "gain"))
    for outcome in ORDER:
        held = {key: cell for key, cell in cells.items() if worst_outcome(cell) == outcome}
        if held:
            sweeps = [summarized(map(total_sweeps, cell)) for cell in held.values()]
            settled = outcome == "converged"
            yield Series(
                label=MEANINGS[outcome],
                x=tuple(key[0] for key in held),
                y=tuple(key[1] for key in held),
                style="heat",
                color=COLORS[outcome],
                marks=tuple(f"{one.middle:.0f}" if one and settled else "" for one in sweeps),
                hover=tuple(_told(key, outcome, one) for key, one in zip(held, sweeps, strict=True)),
                group=group,
            )


def _told(key: tuple[Any, ...], outcome: str, sweeps: Summary | None) -> str:
    number = "" if sweeps is None else f", {sweeps.middle:.0f} sweeps"
    return f"γ = {key[0]:g}, gain {key[1]:g}: {MEANINGS[outcome]}{number}"


def _cosines(points: Sequence[StudyPoint], group: str) -> Iterator[Series]:
    """One series of cells that have a cosine, colored by it."""
    cells = grouped(points, ("gamma", "gain"))
    found = {key: gap for key, cell in cells.items() if (gap := summarized(map(worst_gap, cell))) is not None}
    if found:
        yield Series(
            label="cosine",
            x=tuple(key[0] for key in found),
            y=tuple(key[1] for key in found),
            style="heat",
            value=tuple(math.log10(gap.middle) for gap in found.values()),
            hover=tuple(f"γ = {key[0]:g}, gain {key[1]:g}: cosine {1 - gap.middle:.4f}" for key, gap in found.items()),
            group=group,
            named=False,
        )


def _edge(points: Sequence[StudyPoint], group: str) -> list[Series]:
    """The gain at which the predicted rate crosses 1 at each γ, between two gains that were measured."""
    found = []
    for (gamma,), column in grouped(points, ("gamma",)).items():
        rates = []
        for (gain,), cell in sorted(grouped(column, ("gain",)).items()):
            rate = summarized(point["measures"]["rate_predicted"] for point in cell)
            rates += [(gain, math.log(rate.middle))] if rate is not None and rate.middle > 0 else []
        crossings = [(low, high) for low, high in pairwise(rates) if low[1] < 0 <= high[1]]
        if crossings:
            (below, under), (above, over) = crossings[0]
            found.append((gamma, below + (above - below) * under / (under - over)))
    if len(found) < 2:
        return []
    across, up = zip(*sorted(found), strict=True)
    return [Series(label=EDGE, x=across, y=up, dash="dashed", color=BLACK, group=group)]
