"""The fastest of several ways to the same result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Final

import torch

ROUNDS: Final = (6, 40)  # at least and at most
SECONDS: Final = 0.1  # after which no further round begins
MARGIN: Final = 0.05  # the share by which another must be faster than the first
FAR: Final = 1.5  # what takes longer than this times the first in one round is out

Run = Callable[[], object]


def fastest(runs: Mapping[str, Run]) -> str:
    """Return the name of the fastest run; the first one unless another beats it clearly.

    They take turns. Since other work on the machine may slow any of them, the one that wins has the shortest time of
    all and is faster than the first in most rounds. What cannot run does not take part. No result is read or kept.
    """
    first, *others = runs
    with torch.no_grad():
        able = {name: runs[name] for name in (first, *others) if _able(runs[name])}
        if first not in able:
            return first  # whose error its caller will see
        seconds = _rounds(able, first)
    for name in sorted(seconds, key=lambda name: min(seconds[name])):
        if name == first or _beats(seconds[name], seconds[first]):
            return name
    return first


def _able(run: Run) -> bool:
    """True if it can run, which it does once, to warm up."""
    try:
        run()
    except (RuntimeError, MemoryError):
        return False
    return True


def _rounds(runs: Mapping[str, Run], first: str) -> dict[str, list[float]]:
    """The times of those that are worth more than one round."""
    once = {name: _timed(run) for name, run in runs.items()}
    near = [name for name, took in once.items() if took <= FAR * once[first]]
    seconds: dict[str, list[float]] = {name: [once[name]] for name in near}
    start, (least, most) = time.perf_counter(), ROUNDS
    for done in range(most if len(near) > 1 else 0):
        if done >= least and time.perf_counter() - start > SECONDS:
            break
        for name in near:
            seconds[name].append(_timed(runs[name]))
    return seconds


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """True if `one` is faster at its best, and in most rounds."""
    ratios = [mine / max(theirs, 1e-9) for mine, theirs in zip(one, other, strict=True)]
    return max(median(ratios), min(one) / max(min(other), 1e-9)) < 1 - MARGIN


def _timed(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
