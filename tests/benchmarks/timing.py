"""Timing side by side: steps taken in turn in one process, ratios within a round, intervals from the rounds.

A round takes one step of each candidate, and the next round begins one candidate further, so that whatever else the
machine does falls on all alike. A ratio is taken within a round, where the machine was in one state; the median of the
ratios is reported with the interval that a bootstrap over the rounds gives it.

    ENERGY_BENCH            folder of the records, runs/bench unless set
    ENERGY_BENCH_PAIRS      rounds, 30 unless set
    ENERGY_BENCH_SECONDS    seconds after which one measurement stops, at three rounds or more; 600 unless set
"""

import contextlib
import gc
import json
import math
import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike
from torch.utils.benchmark.utils.timer import timer

from energy.io.provenance import provenance
from energy.io.record import write_json
from energy.train.settings import settings

Step = Callable[[], object]
Times = dict[str, list[float]]

KNOWN: Final = ("device_name", "threads", "torch", "commit")  # of provenance, repeated in every record
QUIET: Final = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch warns of itself when it compiles


def pairs() -> int:
    """Rounds of a measurement."""
    return int(os.environ.get("ENERGY_BENCH_PAIRS", "30"))


def limit() -> float:
    """Seconds after which a measurement stops early."""
    return float(os.environ.get("ENERGY_BENCH_SECONDS", "600"))


def interleaved(steps: Mapping[str, Step], number: int = 1, seconds: float = math.inf) -> Times:
    """Seconds of each step, one value a round, after one round that does not count.

    number: how many steps are timed together, for steps that a clock cannot see. seconds: when to stop, if that is
    before the limit of ENERGY_BENCH_SECONDS.
    """
    labels, times = list(steps), {label: [] for label in steps}
    with settings(deterministic=False), _collected():
        for label in labels:
            _timed(steps[label], number)
        start = timer()
        for turn in range(pairs()):
            if turn >= 3 and timer() - start > min(limit(), seconds):
                break
            first = turn % len(labels)
            for label in labels[first:] + labels[:first]:
                times[label].append(_timed(steps[label], number))
    return times


def _timed(step: Step, number: int) -> float:
    """Seconds a step; torch's own clock waits for an accelerator, if there is one, before it looks."""
    before = timer()
    for _ in range(number):
        step()
    return (timer() - before) / number


@contextlib.contextmanager
def _collected() -> Iterator[None]:
    """Garbage is collected before and not meanwhile, as the standard library's timeit does it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@dataclass(frozen=True)
class Ratio:
    """The median of the ratios within rounds, and the ends of its 95 % interval."""

    median: float
    low: float
    high: float

    def columns(self, name: str = "ratio") -> dict[str, float]:
        """The three numbers as columns of a row."""
        return {name: self.median, f"{name}_low": self.low, f"{name}_high": self.high}


def ratio(over: ArrayLike, under: ArrayLike, resamples: int = 2000) -> Ratio:
    """`over` in units of `under`, round by round; the bootstrap draws rounds from a fixed seed."""
    within = np.asarray(over) / np.asarray(under)
    drawn = np.random.default_rng(0).integers(len(within), size=(resamples, len(within)))
    low, high = np.percentile(np.median(within[drawn], axis=1), [2.5, 97.5])
    return Ratio(float(np.median(within)), float(low), float(high))


def rows(times: Times, reference: str, **shared: Any) -> list[dict[str, Any]]:
    """One row a candidate: median seconds, and the ratio to `reference` with its interval."""
    return [
        {
            **shared,
            "name": label,
            "seconds": statistics.median(taken),
            **ratio(taken, times[reference]).columns(),
            "reference": reference,
            "pairs": len(taken),
        }
        for label, taken in times.items()
    ]


class Record:
    """The measurements of one file, kept in ENERGY_BENCH/NAME.json, which is written anew after each of them."""

    def __init__(self, name: str, device: torch.device) -> None:
        self.path = Path(os.environ.get("ENERGY_BENCH", "runs/bench")) / f"{name}.json"
        found = provenance(device)
        self.content: dict[str, Any] = {"benchmark": name, **{key: found[key] for key in KNOWN}, "rows": []}

    def add(self, *found: Mapping[str, Any]) -> None:
        """Print and keep some rows."""
        for row in found:
            print(json.dumps({key: _short(value) for key, value in row.items()}))
            self.content["rows"].append(dict(row))
        write_json(self.path, self.content)


def _short(value: Any) -> Any:
    """Five digits, for the eye."""
    return float(f"{value:.5g}") if isinstance(value, float) else value
