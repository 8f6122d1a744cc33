"""What a step costs where arithmetic costs nothing: one sample, layers of eight units."""

import pytest
import torch

from energy.models import MLP
from energy.potentials import HardSigmoid
from energy.relax.sweep import Sweep
from energy.settle.dyadic import EquilibriumPropagation
from tests.benchmarks.tasks import DUAL, EAGER, PLAIN, PROGRAM, backprop, backprop_steps, program, settled, task
from tests.benchmarks.timing import QUIET, Record, interleaved, rows

pytestmark = [pytest.mark.slow, QUIET]

STEPS = 100  # timed together
DEPTHS = (1, 4, 16)


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_step_without_arithmetic(record: Record, depth: int) -> None:
    given = task(MLP(sizes=[8] * depth, hidden=HardSigmoid()), (8,), 1)
    once = Sweep(max_steps=1, tolerance=0.0)
    steps = {
        EAGER: backprop(given),
        PLAIN: settled(given, DUAL, on=False),
        PROGRAM: program(given, DUAL),
        "equilibrium propagation 1 + 1": settled(given, EquilibriumPropagation(relax=once, nudged=once)),
    }
    assert backprop_steps(given, DUAL) == 1.0
    for row in rows(interleaved(steps, STEPS), EAGER, group=f"{depth + 1} layers of 8 units", layers=depth + 1):
        row["microseconds"] = 1e6 * row["seconds"]
        record.add(row)
    assert all(bool(torch.isfinite(p).all()) for p in given.network.parameters())
