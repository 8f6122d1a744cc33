"""The figures of a study: which there are, why one is missing, and that they show what the record's formulas say."""

import copy
import json
import math
from statistics import median
from typing import Any

import pytest

from energy.errors import UsageError
from energy.plots.chart import Chart, Panel, Series
from energy.plots.style import APART
from energy.study.charts.anytime import sample_percentile
from energy.study.charts.gallery import FAMILIES, charts, missing, settlers
from energy.study.charts.lines import file_name, seeds_line
from energy.study.charts.outcomes import worst_outcome
from energy.study.charts.stragglers import waiting
from energy.study.points import measure
from tests.study.records import (
    BATCH,
    BETAS,
    LADDER,
    LAYERS,
    PHASE_GAINS,
    SEEDS,
    SLOW,
    SWEEP,
    TOLERANCE,
    converged,
    gap,
    point,
    rate,
    study_record,
)

RECORD = study_record()
CHARTS = {chart.name: chart for chart in charts(RECORD)}


def _panel(chart: str, title: str) -> Panel:
    (panel,) = [panel for panel in CHARTS[chart].panels if panel.title == title]
    return panel


def _series(panel: Panel, label: str, group: str = "", dash: str = "solid") -> Series:
    (series,) = [one for one in panel.series if (one.label, one.group, one.dash) == (label, group, dash)]
    return series


def test_a_full_record_has_every_figure() -> None:
    assert missing(RECORD) == []
    assert {name[0] for name in CHARTS} == {*"abcdefgh"} and len(CHARTS) == 12


def test_a_record_goes_through_json() -> None:
    assert charts(json.loads(json.dumps(RECORD, allow_nan=False))) == list(CHARTS.values())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.title[0])
def test_a_figure_without_points_is_missing_with_the_reason(family: Any) -> None:
    left = [one for one in RECORD["points"] if not any(title in family.blocks for title in one["blocks"])]
    left = [one for one in left if family.title[0] != "B" or one["blocks"] != ["recipes"]]
    left = [one for one in left if family.title[0] != "E" or not one["blocks"][0].startswith("scaling")]
    record = {**RECORD, "points": left, "trainings": []}
    (said,) = [text for text in missing(record) if text.startswith(f"Figure {family.title}")]
    assert "the record has no point of block" in said
    assert not any(chart.name.startswith(family.title[0].lower()) for chart in charts(record))


def test_a_figure_whose_points_lack_the_number_says_so() -> None:
    record = copy.deepcopy(RECORD)
    for one in record["points"]:
        one["measures"]["rate_measured"] = None
        one["measures"]["steps"] = {}
    (said,) = [text for text in missing(record) if text.startswith("Figure E")]
    assert "none of the" in said and "has a predicted and a measured rate" in said


def test_captions_say_block_seeds_and_statistic() -> None:
    for chart in CHARTS.values():
        assert "3 seeds" in chart.caption and chart.caption.endswith(".")
        assert any(word in chart.caption for word in ("median", "mean"))
        assert any(block in chart.caption for family in FAMILIES for block in family.blocks)


def test_a_residual_is_r_to_the_sweeps() -> None:
    """The samples are spread evenly from 0.5 to 1.5 times r^n: their median is r^n, the 95th percentile 1.45 r^n."""
    panel = _panel("a-anytime-gain-1-untrained", "relative residual")
    for dash, factor in (("solid", 1.0), ("dashed", 1.45)):
        line = _series(panel, f"{SWEEP.settler}, γ = 1", "sweeps", dash)
        sweeps = sorted(sum(budget) for budget in LADDER)
        assert line.x == tuple(sweeps)
        assert line.y == pytest.approx([factor * rate(SWEEP, 1.0) ** n for n in sweeps])


def test_a_cosine_has_the_median_and_the_range_of_the_seeds() -> None:
    line = _series(_panel("a-anytime-gain-0-7-5-epochs", "worst layer's cosine"), f"{SLOW.settler}, γ = 1", "BP steps")
    for index, sweeps in enumerate(sorted(sum(budget) for budget in LADDER)):
        seeds = [max(gap(SLOW, sweeps, seed, 0.7, 5), 1e-8) for seed in SEEDS]
        assert line.x[index] == pytest.approx(1 + SLOW.sweep * sweeps)
        assert line.low is not None and line.high is not None
        assert (line.low[index], line.y[index], line.high[index]) == (
            pytest.approx(min(seeds)),
            pytest.approx(median(seeds)),
            pytest.approx(max(seeds)),
        )


def test_layers_are_chosen_by_a_selector() -> None:
    chart = CHARTS["a-layers"]
    assert chart.choices == LAYERS and chart.choice == "layer"
    panel = _panel("a-layers", "gain 1, untrained")
    first, last = (_series(panel, f"{SWEEP.settler}, γ = 1", layer) for layer in (LAYERS[0], LAYERS[-1]))
    assert [one and other and one / other for one, other in zip(first.y[:4], last.y[:4], strict=True)] == pytest.approx(
        [4.0] * 4
    )


def test_abscissas_without_numbers_are_no_choice() -> None:
    record = copy.deepcopy(RECORD)
    for one in record["points"]:
        one["measures"]["joules"] = None
    assert {chart.choices for chart in charts(record) if chart.choice == "abscissa"} == {
        ("sweeps", "BP steps", "seconds")
    }


def test_prices_that_are_not_reached_are_gaps() -> None:
    record = copy.deepcopy(RECORD)
    for one in record["points"]:
        if one["axes"]["seed"] == 2 and one["measures"]["cosine_worst"]:
            one["measures"]["cosine_worst"] = min(one["measures"]["cosine_worst"], 0.96)
    (chart,) = [chart for chart in charts(record) if chart.name == "b-pareto"]
    for series in chart.panels[1].series:
        assert series.x == ("0.9", "0.95", "0.99") and series.y[2] is None and series.y[0] is not None


def test_recipes_are_marks_in_the_front() -> None:
    labels = {series.label for series in _panel("b-pareto", "every budget").series}
    assert {"recipe: Laborieux 2021, γ = 1", "recipe: Scellier 2023, γ = 1", "not beaten"} < labels


def test_the_exponents_are_below_the_panels() -> None:
    note = _panel("c-scaling", "depth in layers").note
    assert "EP by sweep: p = 1.50 (1.49 to 1.51), n = 12" in note
    law = _series(_panel("c-scaling", "feedback gain γ"), "law, in each phase", dash="dotted")
    expected = [2 * math.log(TOLERANCE) / math.log(rate(SWEEP, 1.0, gamma=float(gamma))) for gamma in law.x]
    assert law.y == pytest.approx(expected)


def test_points_that_did_not_converge_are_counted_and_not_drawn() -> None:
    record = {
        **RECORD,
        "points": [one for one in RECORD["points"] if one["blocks"] == ["scaling-depth"]],
        "trainings": [],
    }
    record["points"].append(converged("scaling-depth", SWEEP, 0, 10**6, {"depth": 32}, outcome="budget"))
    (chart,) = charts(record)
    (panel,) = chart.panels
    assert "1 of 25 points did not converge" in panel.note
    assert max(x for series in panel.series for x in series.x if not isinstance(x, str)) == 16


def test_stragglers_are_the_share_that_takes_longer() -> None:
    line = _series(_panel("d-stragglers", "free phase"), SWEEP.settler, "gain 1, untrained")
    held = [
        one
        for one in RECORD["points"]
        if one["blocks"] == ["tolerance"] and (one["axes"]["settler"], one["axes"]["gain"]) == (SWEEP.settler, 1.0)
    ]
    sweeps = [number for one in held for number in one["samples"]["sweeps"]["free"]]
    assert len(sweeps) == len(SEEDS) * BATCH and line.y[0] == 100 and line.y[-1] == 0
    for x, y in zip(line.x[1:], line.y[1:], strict=True):
        assert y == pytest.approx(100 * sum(number > float(x) for number in sweeps) / len(sweeps))


def test_waiting_is_the_most_over_the_mean() -> None:
    assert waiting({"samples": {"sweeps": {"free": [1, 1, 4]}}}, "free") == pytest.approx(2.0)
    assert waiting({"samples": {"sweeps": {"free": []}}}, "nudged") is None


def test_measured_rates_stand_against_predicted_ones() -> None:
    panel = _panel("e-law", "rate of a sweep")
    series = _series(panel, SWEEP.settler)
    ratios = [y / x for x, y in zip(series.x, series.y, strict=True) if isinstance(x, float) and y is not None]
    assert min(ratios) == pytest.approx(0.98) and max(ratios) == pytest.approx(1.02)
    assert f"{SWEEP.settler}: 1 (0.98 to 1.02, n = {len(ratios)})" in panel.note
    law = _series(panel, "law", dash="dotted")
    assert law.x == law.y


def test_accuracy_is_drawn_over_sweeps_and_seconds() -> None:
    budgets = _series(_panel("f-accuracy", "accuracy at a budget"), SWEEP.settler)
    assert budgets.y == pytest.approx([95 - 80 * rate(SWEEP, 1.0) ** int(float(x)) for x in budgets.x])
    course = _series(_panel("f-accuracy", "accuracy while training"), SWEEP.settler)
    assert course.x == pytest.approx([2.0 * (1 + SWEEP.sweep) * number for number in range(1, 6)])
    assert course.y == pytest.approx([96 - 30 / number + 0.1 for number in range(1, 6)])


def test_the_nudge_has_a_line_for_each_budget_and_precision() -> None:
    line = _series(_panel("g-nudge", "against the precision"), "float64", SWEEP.settler)
    assert line.x == pytest.approx(BETAS) and line.y == pytest.approx([max(beta**2, 1e-8) for beta in BETAS], rel=1e-6)
    assert len(_panel("g-nudge", "against the budget, free + nudged").series) == len(LADDER[::2])


def test_the_edge_is_where_the_prediction_crosses_one() -> None:
    """γ 0.6 gain² = 1, up to the interpolation between two gains that were measured."""
    panel = _panel("h-phases", "outcome, and sweeps where it converged")
    edge = _series(panel, "predicted γρ₀² = 1", SWEEP.settler, "dashed")
    for gamma, gain in zip(edge.x, edge.y, strict=True):
        assert gain is not None and abs(gain - math.sqrt(1 / (0.6 * float(gamma)))) < 0.02
    cells = [(x, y) for one in panel.series if one.style == "heat" for x, y in zip(one.x, one.y, strict=True)]
    assert len(cells) == len(set(cells)) == 6 * len(PHASE_GAINS)
    assert (1.0, 1.5) in list(
        zip(*(getattr(_series(panel, "diverged", SWEEP.settler), axis) for axis in "xy"), strict=True)
    )


def test_the_worst_outcome_counts() -> None:
    found = [point("phases", SWEEP, 0, None, outcome=outcome) for outcome in ("converged", "budget", "fixed")]
    assert worst_outcome(found) == "budget"


def test_a_settler_looks_alike_in_all_figures() -> None:
    assert settlers(RECORD)[:2] == (SWEEP.settler, "EP, Anderson <m=5>")
    for name in ("a-layers", "b-pareto", "c-scaling", "d-stragglers", "e-law", "f-accuracy"):
        chart = CHARTS[name]
        assert chart.keys[: len(settlers(RECORD))] == settlers(RECORD)
        assert {one.key for one in chart.series if one.label.startswith(SWEEP.settler)} == {SWEEP.settler}


def test_too_many_settlers_share_no_palette() -> None:
    series = Series("a", (1.0,), (2.0,))
    panels = (Panel("", "", "", (series,)),)
    many = tuple(str(number) for number in range(APART))
    assert Chart("one", "", "", panels, palette=many).keys == ("a",)
    assert Chart("one", "", "", panels, palette=many[1:]).keys == (*many[1:], "a")


def test_series_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match=r"series 'a'\.y: has 2 entries for 1 of x"):
        Series("a", (1.0,), (2.0, 3.0))
    with pytest.raises(UsageError, match="low and high must be given together"):
        Series("a", (1.0,), (2.0,), low=(1.0,))
    with pytest.raises(UsageError, match="style='blob': known are line, points, bars, steps, heat"):
        Series("a", (1.0,), (2.0,), style="blob")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match="chart 'one': has no series"):
        Chart("one", "", "", (Panel("", "", "", ()),))
    with pytest.raises(UsageError, match=r"chart.name='One two': must be small letters"):
        Chart("One two", "", "", (Panel("", "", "", (Series("a", (1.0,), (2.0,)),)),))
    with pytest.raises(UsageError, match=r"series 'a'\.group='z': known are x"):
        Chart("one", "", "", (Panel("", "", "", (Series("a", (1.0,), (2.0,), group="z"),)),), choices=("x",))


def test_a_panel_shows_the_series_of_a_choice_and_those_of_none() -> None:
    series = [Series(label, (1.0,), (2.0,), group=group) for label, group in (("a", ""), ("b", "x"), ("c", "y"))]
    panel = Panel("", "steps", "", tuple(series), x_labels={"x": "seconds"})
    assert [one.label for one in panel.shown("x")] == ["a", "b"]
    assert (panel.across("x"), panel.across("y")) == ("seconds", "steps")


def test_a_line_without_numbers_is_none() -> None:
    assert seeds_line([[point("a", SWEEP, 0)]], measure("seconds"), measure("backprop_steps"), label="a") is None
    assert sample_percentile("residual", 50)(point("a", SWEEP, 0)) is None


def test_names_of_files_are_plain() -> None:
    assert file_name("Gain 0.7, β = 1e-3 / <x>") == "gain-0-7-1e-3-x"
