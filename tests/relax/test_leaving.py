"""Samples that have converged leave the batch: the others end as if nobody had left, for a price in closed form."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from energy.couplings import BatchNorm
from energy.energy_network import EnergyNetwork
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import SquaredError
from energy.pooling import MaxPool
from energy.potentials import HardSigmoid, Tanh
from energy.relax import Outcome, PhaseNudge, Relaxation, SinglePhase, Solution, Sweep, Synchronous, Zebra, solve
from energy.relax.leaving import PARTS, remembered
from energy.rules.contrast import Contrast
from energy.settle.dyadic import EquilibriumPropagation
from energy.state import State
from energy.testing.small import coding
from tests.settle import nets

TIGHT = Sweep(max_steps=300, tolerance=1e-9, check_every=1)
WAYS = [TIGHT, replace(TIGHT, momentum=0.9), Zebra(max_steps=300, tolerance=1e-9, check_every=2)]
WAYS += [Synchronous(max_steps=600, tolerance=1e-9, check_every=3)]


def inputs(network: Network, samples: int = 24) -> Tensor:
    """Of very different sizes, so that samples take different numbers of steps."""
    x = nets.batch(network, samples)[0]
    return x * torch.logspace(-3, 0.5, samples, dtype=x.dtype).view(-1, *[1] * (x.ndim - 1))


def solved(
    network: Network, x: Tensor, relax: Relaxation, ledger: Ledger | None = None
) -> tuple[SinglePhase, Solution]:
    problem = SinglePhase(network, x, 1.0, ledger or Ledger())
    return problem, solve(problem, problem.initial_state(), relax)


@pytest.mark.parametrize("relax", WAYS, ids=lambda r: f"{r.name}{getattr(r, 'momentum', '')}")
@pytest.mark.parametrize(
    "build", [lambda: nets.mlp(HardSigmoid(), norm=0.7), lambda: nets.cnn(HardSigmoid(), MaxPool(2), norm=0.5)]
)
def test_the_others_end_as_if_nobody_had_left(build: nets.Build, relax: Relaxation) -> None:
    network = build()
    x = inputs(network)
    together, expected = solved(network, x, relax)
    leaving, found = solved(network, x, replace(relax, drop_converged=True))
    assert found.outcome is expected.outcome is Outcome.CONVERGED
    assert torch.equal(found.steps, expected.steps) and len(expected.steps.unique()) > 1
    for one, other in zip(found.state, expected.state, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-8)
    assert found.output is not None and expected.output is not None
    torch.testing.assert_close(found.output, expected.output, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.rate, expected.rate, rtol=1e-4, atol=1e-9, equal_nan=True)
    for one, other in zip(leaving.messages.down, together.messages.down, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=0, atol=1e-7)
    again = leaving.bottom_up(found.state)
    for one, other in zip(again, expected.state, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-7)


@pytest.mark.parametrize("samples", [3, 8, 20, 24])
def test_the_price_is_that_of_the_samples_that_are_left(samples: int) -> None:
    """A sweep of b samples costs 2b(U − U₁), the first one half of that; b goes down in eighths of the batch."""
    network = nets.mlp(HardSigmoid(), norm=0.8)
    x, ledger = inputs(network, samples), Ledger()
    _, alone = solved(network, x, TIGHT)
    _, found = solved(network, x, replace(TIGHT, drop_converged=True), ledger)
    every = sum(edge.multiply_adds for edge in network.edges)
    above = sum(edge.multiply_adds for edge in network.edges if edge.source)
    part, size, swept = -(-samples // PARTS), samples, 0
    for step in range(1, found.taken + 1):
        swept += size * (1 if step == 1 else 2)
        left = int((alone.steps > step).sum())
        size = min(size, -(-left // part) * part) or size
    assert ledger.multiply_adds == samples * every + swept * above
    assert samples < PARTS or swept < 0.9 * samples * (2 * found.taken - 1)


def test_an_energy_of_ones_own() -> None:
    network = coding()
    assert isinstance(network, EnergyNetwork)
    x = torch.randn(16, 5, dtype=torch.float64) * torch.logspace(-3, 1, 16, dtype=torch.float64)[:, None]
    counted: list[int] = []
    relax = Synchronous(damping=0.5, max_steps=400, tolerance=1e-8, check_every=1)
    expected = solve(network.problem(x), network.zero_state(x), relax)
    problem = network.problem(x, count=counted.append)
    found = solve(problem, network.zero_state(x), replace(relax, drop_converged=True))
    assert torch.equal(found.steps, expected.steps) and found.outcome is Outcome.CONVERGED
    for one, other in zip(found.state, expected.state, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)
    assert counted[0] == 16 and counted[-1] < 16


def test_the_gradient_is_the_same() -> None:
    network = nets.mlp(HardSigmoid(), norm=0.8)
    x, target = inputs(network), nets.batch(network, 24)[1]
    gradients = []
    for drop in (False, True):
        relax = replace(TIGHT, tolerance=1e-11, drop_converged=drop)
        settler = EquilibriumPropagation(relax=relax, nudged=TIGHT, beta=0.1)
        gradients.append(Contrast().gradients(network, settler.settle(network, x, target, SquaredError())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


def test_a_nudge_and_a_batch_norm_keep_everybody() -> None:
    network = nets.mlp(HardSigmoid(), norm=0.7)
    x, target = nets.batch(network)
    rows = torch.tensor([0])
    assert SinglePhase(network, x, 1.0, Ledger()).rows(rows) is not None
    nudge = PhaseNudge(0.1, SquaredError(), target)
    assert SinglePhase(network, x, 1.0, Ledger(), nudge=nudge).rows(rows) is None
    assert SinglePhase(network, x, 1.0, Ledger(), clamp=target).rows(rows) is None
    normal = Network((6,))
    normal.add(BatchNorm(nets.Dense(6, 5), 5), HardSigmoid())
    normal.add(nets.Dense(5, 3), HardSigmoid())
    problem = SinglePhase(normal, torch.randn(4, 6), 1.0, Ledger())
    with normal.normalizing():
        assert problem.rows(rows) is None
    assert problem.rows(rows) is not None


def test_a_sample_that_left_stays_as_it_was() -> None:
    """The first half of the batch is zero without bias: at rest from the start, it must not move."""
    network = nets.mlp(Tanh(), norm=0.7, bias=0.0)
    x = nets.batch(network, 16)[0]
    x[:8] = 0
    _, found = solved(network, x, replace(TIGHT, drop_converged=True))
    assert found.steps[:8].tolist() == [1] * 8 and int(found.steps[8:].min()) > 1
    assert all(not bool(tensor[:8].any()) for tensor in found.state)


def test_a_memory_is_cut_sample_by_sample() -> None:
    rows = torch.tensor([2, 0])
    state, numbers = State((torch.arange(6.0).view(3, 2),)), torch.arange(3)
    cut = remembered((state, numbers, 7, None, torch.zeros(5)), rows, 3)
    assert cut[0][0].tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert cut[1].tolist() == [2, 0] and cut[2:4] == (7, None) and len(cut[4]) == 5
