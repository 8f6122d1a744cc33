"""Seconds by purpose.

On a GPU the device's own events are read at the end of an epoch, so that no step waits.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Clock:
    """The time spent under each name since the clock was made."""

    def __init__(self, device: torch.device) -> None:
        self.on_device = device.type == "cuda"
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Count the time of the code inside under `name`."""
        if not self.on_device:
            start = time.perf_counter()
            try:
                yield
            finally:
                self.seconds[name] += time.perf_counter() - start
            return
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        try:
            yield
        finally:
            last.record()
            self._events.append((name, first, last))

    def read(self) -> dict[str, float]:
        """Return the seconds by name so far; waits for the device."""
        if self._events:
            torch.cuda.synchronize()
        for name, first, last in self._events:
            self.seconds[name] += first.elapsed_time(last) / 1000
        self._events.clear()
        return dict(self.seconds)
