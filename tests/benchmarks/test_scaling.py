"""How the price moves: with batch, width and depth at γ = 0, with the gain of the feedback above; and the angle with β.

Time is a ratio to back-propagation on the same network and batch. The cost of equilibrium propagation is counted in
multiply-adds and not timed.
"""

import pytest
import torch

from energy.analysis.gradient_alignment import angles
from energy.model import Model
from energy.models import MLP, VGG
from energy.objectives import SquaredError
from energy.potentials import HardSigmoid
from energy.relax.sweep import Sweep
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation, EquilibriumPropagation
from energy.settle.settler import Settler
from tests.benchmarks.tasks import EAGER, Task, backprop_steps, candidates, task
from tests.benchmarks.timing import QUIET, Record, interleaved, rows

pytestmark = [pytest.mark.slow, QUIET]

IMAGE, DIGIT = (3, 32, 32), (1, 28, 28)
BATCHES = (16, 32, 64, 128, 256)
WIDTHS = (125, 250, 500, 1000, 2000)
DEPTHS = (1, 2, 4, 8, 16)
GAMMAS = (0.05, 0.1, 0.25, 0.5, 1.0)
BETAS = (1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", ["MLP 784-1000x4-10", "small VGG"])
def test_batch(record: Record, name: str, batch: int) -> None:
    model, shape = (MLP(), DIGIT) if name.startswith("MLP") else (VGG(), IMAGE)
    timed(record, "batch", batch, name, task(model, shape, batch))


@pytest.mark.parametrize("width", WIDTHS)
def test_width(record: Record, width: int) -> None:
    timed(record, "width", width, "MLP of four layers, batch 128", task(MLP(sizes=[width] * 4), DIGIT, 128))


@pytest.mark.parametrize("depth", DEPTHS)
def test_depth(record: Record, depth: int) -> None:
    timed(record, "depth", depth, "MLP of width 500, batch 128", task(MLP(sizes=[500] * depth), DIGIT, 128))


@pytest.mark.parametrize("layers", (1, 2, 4, 6))
def test_depth_of_convolutions(record: Record, layers: int) -> None:
    model: Model = VGG(plan=[64, 0] + [64] * (layers - 1))
    timed(record, "depth", layers, "convolutions of 64 channels, batch 32", task(model, IMAGE, 32))


def timed(record: Record, axis: str, at: float, group: str, given: Task) -> None:
    """Rows of dual propagation; that of back-propagation is 1 by definition."""
    torch.compiler.reset()
    found = rows(interleaved(candidates(given)), EAGER, axis=axis, at=at, group=group, what="time ratio")
    record.add(*(row for row in found if row["name"] != EAGER))


@pytest.mark.parametrize("gain", [0.5, 1.0])
def test_feedback(record: Record, gain: float) -> None:
    """Multiply-adds until every sample has converged to 1e-3, free and nudged."""
    given = task(MLP(sizes=[256] * 3, hidden=HardSigmoid(), gain=gain), DIGIT, 64)
    given.objective = SquaredError()
    for gamma in GAMMAS:
        enough = Sweep(max_steps=500, tolerance=1e-3, check_every=1)
        settler = EquilibriumPropagation(gamma=gamma, relax=enough, nudged=enough)
        solutions = settler.settle(given.network, given.x, given.target, given.objective).solutions
        ended = {phase: one.outcome.name.lower() for phase, one in solutions.items()}
        spent = backprop_steps(given, settler)
        assert spent > 1
        shared = {"axis": "gamma", "at": gamma, "group": f"MLP 784-256x3-10, weights × {gain}"}
        record.add({**shared, "name": settler.name, "what": "multiply-adds", "backprop_steps": spent, **ended})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])
def test_nudge(record: Record, dtype: torch.dtype) -> None:
    """The worst layer's cosine with back-propagation in float32."""
    exact = task(VGG(), IMAGE, 32)
    wanted, given = gradients(exact, Backprop()), exact.to(dtype)
    for beta in BETAS:
        found = angles(given.network, gradients(given, DualPropagation(beta=beta)), wanted)
        assert beta > 1e-2 or found["cosine_worst"] > (0.999 if dtype == torch.float32 else 0.9)
        shared = {"axis": "beta", "at": beta, "group": "small VGG", "name": f"dual propagation {str(dtype)[6:]}"}
        record.add({**shared, "what": "cosine", "cosine": found["cosine_worst"]})


def gradients(given: Task, settler: Settler) -> list[torch.Tensor]:
    """Of the summed objective."""
    return Contrast().gradients(given.network, settler.settle(given.network, given.x, given.target, given.objective))
