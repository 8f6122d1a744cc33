"""Figure E: the measured rate of contraction against the predicted γρ₀²."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from energy.plots.chart import INK, Chart, Panel, Series
from energy.study.charts.lines import spread_text
from energy.study.points import StudyPoint, arm_names, axis_text, grouped, points_of, seeds_text, summarized
from energy.study.scaling import lawful_sweeps

BLOCKS: Final = ("phases", "scaling-gamma", "scaling-gain", "scaling-age")
NAMES: Final = ("settler", "relaxation")
Pair = tuple[float, float, StudyPoint]


def law_charts(record: Mapping[str, Any]) -> Iterator[Chart]:
    """Yield one chart: rates, and the sweeps that follow from them."""
    points = points_of(record, *BLOCKS)
    rates = _panel(points, _rates, "rate of a sweep", "predicted γρ₀² (log)", "measured rate (log)")
    sweeps = _panel(points, _sweeps, "sweeps of the free phase", "ln ε / ln(γρ₀²) (log)", "measured sweeps (log)")
    panels = tuple(panel for panel in (rates, sweeps) if panel.series)
    if not panels:
        return
    yield Chart(
        name="e-law",
        title="The law of settling: a residual shrinks by γρ₀² a sweep",
        caption=f"Every point is one network, γ and seed of blocks {', '.join(BLOCKS)}, {seeds_text(points)}; the "
        "dotted line is the law. Left: the factor by which a sweep shrinks the residual, against that of the "
        "linearized sweep at the equilibrium. Right: the sweeps of the free phase where it converged, against the "
        "law's from a residual of 1. Below each panel: measured over law, median and range of the points.",
        panels=panels,
    )


def _rates(point: StudyPoint) -> tuple[float, float] | None:
    predicted, measured = (point["measures"][name] for name in ("rate_predicted", "rate_measured"))
    return (predicted, measured) if predicted and measured and min(predicted, measured) > 0 else None


def _sweeps(point: StudyPoint) -> tuple[float, float] | None:
    lawful = lawful_sweeps(point["measures"]["rate_predicted"], point["axes"]["tolerance"])
    measured = point["measures"]["steps"].get("free")
    settled = point["measures"]["outcome"] == "converged"
    return (lawful, float(measured)) if lawful and measured and settled else None


def _panel(
    points: Sequence[StudyPoint],
    pair: Callable[[StudyPoint], tuple[float, float] | None],
    title: str,
    x_label: str,
    y_label: str,
) -> Panel:
    """Points of each settler around the line on which both numbers agree.

    Args:
        points: of the blocks.
        pair: reads (law, measured) of a point.
        title: of the panel.
        x_label: of the law.
        y_label: of what was measured.
    """
    names = arm_names(points, NAMES)
    series: list[Series] = []
    notes: list[str] = []
    ends: list[float] = []
    for key, arm in grouped(points, NAMES).items():
        pairs = [(*both, point) for point in arm if (both := pair(point)) is not None]
        if pairs:
            series.append(_scatter(names[key], pairs))
            ratio = summarized(measured / lawful for lawful, measured, _ in pairs)
            notes += [f"{names[key]}: {spread_text(ratio).split(',')[0]}, n = {ratio.n})"] if ratio else []
            ends += [lawful for lawful, _, _ in pairs]
    if series:
        span = (min(ends), max(ends))
        series.append(Series(label="law", x=span, y=span, dash="dotted", color=INK, hover=("law", "law")))
    return Panel(title, x_label, y_label, tuple(series), x_log=True, y_log=True, note="\n".join(notes))


def _scatter(label: str, pairs: Sequence[Pair]) -> Series:
    return Series(
        label=label,
        x=tuple(lawful for lawful, _, _ in pairs),
        y=tuple(measured for _, measured, _ in pairs),
        style="points",
        hover=tuple(
            f"{label}; {', '.join(axis_text(axis, point['axes'][axis]) for axis in ('gamma', 'gain', 'age'))}; "
            f"seed {point['axes']['seed']}: law {lawful:.3g}, measured {measured:.3g}"
            for lawful, measured, point in pairs
        ),
    )
