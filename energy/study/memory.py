"""The memory that one step works in, above the memory held before it."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, Final

import torch

SAID: Final = {
    "cpu": "bytes that torch's CPU allocator held at the peak of one step beyond those before it, from the profiler's "
    "allocation events; weights, optimizer state, images and what libraries allocate by themselves are not in it",
    "cuda": "torch.cuda.max_memory_allocated during one step less what was allocated before it; weights, optimizer "
    "state and images are not in it",
}


def peak_bytes(step: Callable[[], object], device: torch.device) -> int:
    """Measure the peak of the bytes that `step()` allocates.

    The memory it frees must be its own: the profiler does not see the release of older blocks, gradients of the step
    before among them.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    return _cpu_peak(step)


def _cpu_peak(step: Callable[[], object]) -> int:
    """The highest running total of allocations and releases."""
    from torch.profiler import ProfilerActivity, profile

    with _quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    profiler: Any = seen.profiler
    events = profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return max(accumulate((change for _, change in changes), initial=0))


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the lines that the profiler's own library writes to the error stream when it starts and stops."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
