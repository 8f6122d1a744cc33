"""Sums, percentiles and counts of an epoch against numpy, and their way through a checkpoint."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from energy.relax.solution import Outcome, Solution
from energy.state import State
from energy.train.counts import percentile, summarize_histogram
from energy.train.metrics import EpochMetrics

CPU = torch.device("cpu")


def _solution(steps: list[int], residual: list[float], outcome: Outcome) -> Solution:
    there = torch.tensor(residual)
    return Solution(State([]), outcome, torch.tensor(steps), there, there < 0.1)


def _filled() -> EpochMetrics:
    tally = EpochMetrics(CPU)
    labels = torch.tensor([0, 1, 2, 3])
    tally.add(
        torch.tensor([1.0, 2.0, 3.0, 4.0]),
        torch.tensor([0, 1, 0, 3]),
        labels,
        {
            "free": _solution([4, 8, 12, 60], [0.01, 0.02, 0.03, 0.5], Outcome.BUDGET),
            "nudged": _solution([1, 1, 2, 2], [0.0, 0.0, 0.0, 0.0], Outcome.CONVERGED),
        },
    )
    free = _solution([4, 4, 4, 4], [0.01, 0.01, 0.01, 0.01], Outcome.CONVERGED)
    tally.add(torch.full((4,), 0.5), labels, labels, {"free": free, "nudged": free})
    return tally


def test_quality_is_a_mean_per_sample_and_percent() -> None:
    assert _filled().quality() == (pytest.approx((10 + 2) / 8), pytest.approx(100 * 7 / 8))


def test_settling_by_phase() -> None:
    free = _filled().settling()["free"]
    steps = np.array([4, 8, 12, 60, 4, 4, 4, 4])
    assert free["outcomes"] == {"budget": 1, "converged": 1}
    assert free["sweeps_mean"] == steps.mean()
    assert free["sweeps_p95"] == np.percentile(steps, 95, method="inverted_cdf")
    assert free["sweeps_max"] == 60
    assert free["residual_max"] == pytest.approx(0.5)
    assert free["residual_mean"] == pytest.approx(np.mean([0.01, 0.02, 0.03, 0.5, *[0.01] * 4]))
    assert free["converged_percent"] == pytest.approx(100 * 7 / 8)


def test_the_histogram_adds_the_phases_of_each_sample() -> None:
    assert _filled().histogram() == {5: 1, 9: 1, 14: 1, 62: 1, 8: 4}


def test_what_was_not_asked_for_is_none() -> None:
    tally = EpochMetrics(CPU)
    one = torch.zeros(1)
    tally.add(one, one, one, {"nudged": _solution([3], [float("nan")], Outcome.FIXED)})
    nudged = tally.settling()["nudged"]
    assert nudged["residual_mean"] is nudged["residual_max"] is nudged["converged_percent"] is None


def test_an_objective_that_is_not_finite_is_none() -> None:
    tally = EpochMetrics(CPU)
    tally.add(torch.tensor([float("inf")]), torch.zeros(1), torch.zeros(1), {})
    assert tally.quality() == (None, 100.0)
    json.dumps(tally.settling(), allow_nan=False)


def test_nothing_seen() -> None:
    assert EpochMetrics(CPU).quality() == (None, None)
    assert EpochMetrics(CPU).histogram() == {}


def test_half_an_epoch_goes_through_facts_and_tensors() -> None:
    whole, before, after = _filled(), _filled(), EpochMetrics(CPU)
    whole.ledger.apply("free", 7, 4)
    before.ledger.apply("free", 7, 4)
    facts = json.loads(json.dumps(before.facts(), allow_nan=False))
    after.restore({name: tensor.clone() for name, tensor in before.tensors().items()}, facts)
    for tally in (whole, after):
        tally.add(torch.tensor([0.1]), torch.zeros(1), torch.ones(1), {"free": _solution([9], [1.0], Outcome.BUDGET)})
    assert whole.quality() == after.quality()
    assert whole.settling() == after.settling()
    assert whole.histogram() == after.histogram()
    assert whole.ledger == after.ledger


@pytest.mark.parametrize("count", [1, 2, 19, 20, 21, 100])
def test_percentiles_are_numpys(count: int) -> None:
    values = np.random.default_rng(count).integers(0, 50, count)
    expected = np.percentile(values, 95, method="inverted_cdf")
    assert percentile(torch.tensor(values), 95) == expected
    histogram = {int(value): int((values == value).sum()) for value in np.unique(values)}
    assert summarize_histogram(histogram) == {
        "mean": pytest.approx(values.mean()),
        "p95": expected,
        "max": values.max(),
    }


def test_the_spread_of_nothing() -> None:
    assert summarize_histogram({}) == {"mean": None, "p95": None, "max": None}


def test_a_divergence_that_the_device_alone_knew_is_counted_when_the_epoch_is_read() -> None:
    tally, labels = EpochMetrics(CPU), torch.zeros(1, dtype=torch.int64)
    lost = [[False, False], [False, True], [True, True], [False, False]]
    for row in lost:
        unread = _solution([3], [float("nan")], Outcome.FIXED)
        free = replace(unread, lost=torch.tensor(row), names=("low", "top"))
        read = replace(unread, outcome=Outcome.CONVERGED)
        tally.add(None, None, labels, {"free": free, "nudged": read})
    assert tally.settling()["free"]["outcomes"] == {"fixed": 2, "diverged": 2}
    assert tally.settling()["nudged"]["outcomes"] == {"converged": 4}
    assert tally.diverged == "top"
    again = EpochMetrics(CPU)
    again.restore(tally.tensors(), json.loads(json.dumps(tally.facts())))
    assert (again.diverged, again.outcomes["free"]) == ("top", {"fixed": 2, "diverged": 2})
    assert EpochMetrics(CPU).diverged == ""
