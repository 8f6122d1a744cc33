"""One of two processes that time steps of a network together: alone with the whole batch, then shared.

    torchrun --nproc-per-node 2 -m tests.benchmarks.ranked 'small VGG' 128

Rank 0 steps alone while the other waits, then both step with half a batch each; so one round after another. It prints
the seconds of every round as JSON, and those of the sum of the gradients alone.
"""

import json
import sys
from typing import Final

import torch
from torch import distributed as dist
from torch.utils.benchmark.utils.timer import timer

from energy import exchange, ranks
from energy.model import Model
from energy.models import MLP, VGG
from energy.parameters import parameters
from tests.benchmarks.tasks import DUAL, Task, settled, task
from tests.benchmarks.timing import Step, limit, pairs

NETWORKS: Final[dict[str, tuple[Model, tuple[int, ...]]]] = {
    "MLP 784-1000x4-10": (MLP(), (1, 28, 28)),
    "small VGG": (VGG(), (3, 32, 32)),
}
ALONE: Final = "one process"
SHARED: Final = "two processes"
SUM: Final = "sum of the gradients alone"


def timed(step: Step) -> float:
    """Seconds of a step that begins on all ranks at once."""
    dist.barrier()
    before = timer()
    step()
    return timer() - before


def alone(step: Step) -> float:
    """Seconds of a step of rank 0, while the others wait; of another rank, those of waiting."""

    def only() -> None:
        if dist.get_rank() == 0:
            with ranks.separately():
                step()
        dist.barrier()

    return timed(only)


def rounds(name: str, batch: int) -> dict[str, list[float]]:
    """Seconds of every round, by what was timed."""
    model, shape = NETWORKS[name]
    whole = task(model, shape, batch)
    rows = ranks.share(batch)
    part = Task(whole.network, whole.x[rows].contiguous(), whole.target[rows].contiguous())
    steps = {ALONE: settled(whole, DUAL), SHARED: settled(part, DUAL)}
    gradients = [torch.zeros_like(parameter) for parameter in whole.network.parameters()]
    found: dict[str, list[float]] = {ALONE: [], SHARED: [], SUM: []}
    begun = timer()
    for turn in range(-1, pairs()):
        seconds = [alone(steps[ALONE]), timed(steps[SHARED]), timed(lambda: exchange.sum_of_all(gradients))]
        if turn < 0:
            continue  # the first round does not count
        for label, spent in zip(found, seconds, strict=True):
            found[label].append(spent)
        if exchange.agreed(int(turn >= 2 and timer() - begun > limit())):
            break
    return {**found, "bytes": [4.0 * parameters(whole.network)]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with ranks.joined():
        measured = rounds(sys.argv[1], int(sys.argv[2]))
        if ranks.here().speaks:
            print(json.dumps(measured))
