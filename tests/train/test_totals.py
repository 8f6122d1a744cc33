"""The sums of a run over epochs that are made by hand."""

from collections import Counter

import torch

from energy.relax.solution import Outcome, Solution
from energy.state import State
from energy.train.metrics import EpochMetrics
from energy.train.totals import add_epoch


def epoch(steps: list[int], *outcomes: Outcome) -> EpochMetrics:
    """One batch of so many samples for each outcome, at ten multiply-adds a sample."""
    metrics, count = EpochMetrics(torch.device("cpu")), len(steps)
    for outcome in outcomes:
        unknown = torch.full((count,), torch.nan)
        solved = Solution(State([]), outcome, torch.tensor(steps), unknown, unknown > 0, rate=unknown)
        metrics.add(None, None, torch.zeros(count, dtype=torch.int64), {"free": solved})
        metrics.ledger.apply("free", 10, count)
    return metrics


def test_every_epoch_is_added_to_those_before_it() -> None:
    totals = {"multiply_adds": 0, "seconds": {}, "outcomes": {}, "sweeps": Counter[int]()}
    add_epoch(totals, epoch([2, 3], Outcome.BUDGET, Outcome.CONVERGED), {"step": 1.0, "total": 2.0})
    add_epoch(totals, epoch([3], Outcome.BUDGET, Outcome.BUDGET, Outcome.DIVERGED), {"total": 4.0, "probe": 0.5})
    assert totals == {
        "multiply_adds": 10 * (4 + 3),
        "seconds": {"step": 1.0, "total": 6.0, "probe": 0.5},
        "outcomes": {"free": {"budget": 3, "converged": 1, "diverged": 1}},
        "sweeps": {2: 2, 3: 2 + 3},
    }
