"""The fastest of several ways to the same result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

import torch

ROUNDS: Final = (4, 40)  # at least and at most
SECONDS: Final = 0.1  # after which no further round begins
MARGIN: Final = 0.05  # the share by which another must be faster than the first
NEAR: Final = 1.5  # what takes longer than this times the fastest after one round is out


def fastest(runs: Mapping[str, Callable[[], object]]) -> str:
    """Return the name of the fastest run; the first one unless another beats it clearly.

    They take turns, and the shortest time of each counts: other work on the machine only adds to it. What cannot run
    does not take part. No result is read, and none is kept.
    """
    first = next(iter(runs))
    with torch.no_grad():
        seconds = {name: _timed(run) for name, run in runs.items() if _able(run)}
        if first not in seconds:
            return first
        near = [name for name, one in seconds.items() if one <= NEAR * min(seconds.values())]
        least, most = ROUNDS
        start = time.perf_counter()
        for done in range(most if len(near) > 1 else 0):
            if done >= least and time.perf_counter() - start > SECONDS:
                break
            for name in near:
                seconds[name] = min(seconds[name], _timed(runs[name]))
    best = min(seconds, key=lambda name: seconds[name])
    return best if seconds[best] < (1 - MARGIN) * seconds[first] else first


def _able(run: Callable[[], object]) -> bool:
    """True if it can run, which it does once, to warm up."""
    try:
        run()
    except (RuntimeError, MemoryError):
        return False
    return True


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
