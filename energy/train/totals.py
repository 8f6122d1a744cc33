"""The sums of a run over its epochs."""

from collections.abc import Mapping
from typing import Any

from energy.train.metrics import EpochMetrics


def add_epoch(totals: dict[str, Any], metrics: EpochMetrics, seconds: Mapping[str, float]) -> None:
    """Add an epoch to the sums of its run: multiply-adds, samples by their sweeps, seconds, solves by outcome.

    Args:
        totals: of the run so far, changed in place.
        metrics: of the epoch.
        seconds: of the epoch, by purpose.
    """
    totals["multiply_adds"] += metrics.ledger.multiply_adds
    totals["sweeps"] += metrics.histogram()
    for name, spent in seconds.items():
        totals["seconds"][name] = totals["seconds"].get(name, 0.0) + spent
    for phase, counts in metrics.outcomes.items():
        known = totals["outcomes"].setdefault(phase, {})
        for outcome, count in counts.items():
            known[outcome] = known.get(outcome, 0) + count
