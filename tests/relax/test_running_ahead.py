"""A look that is read while the next block runs ahead gives the solution of one that is read at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from energy import reading
from energy.couplings import BatchNorm, Dense
from energy.ledger import Ledger
from energy.network import Network
from energy.potentials import HardSigmoid, Identity, Tanh
from energy.reading import DeviceRead
from energy.relax import block as blocks
from energy.relax.flow import Flow
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Outcome, Solution
from energy.relax.solver import solve
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.zebra import Zebra
from energy.rules.contrast import Contrast
from energy.settle.dyadic import ContrastiveHebbian, EquilibriumPropagation, Implicit
from energy.settle.settled import Settled
from energy.settle.settler import Settler
from energy.settle.two_phase import TwoPhase
from tests.settle import nets

LENGTHS = [(1, 60, 1e-3), (4, 60, 1e-3), (4, 60, 1e-9), (7, 23, 1e-9), (50, 20, 1e-3), (3, 3, 1e-3)]
WAYS = [Sweep(), Sweep(momentum=0.9), Synchronous(damping=0.5), Zebra(), Flow(time=0.5)]


def free(relax: Relaxation, *, norm: float = 0.5) -> tuple[SinglePhase, Solution]:
    network = nets.mlp(HardSigmoid() if norm < 1 else Identity(), norm=norm)
    problem = SinglePhase(network, nets.batch(network)[0], 1.0, Ledger())
    return problem, solve(problem, problem.initial_state(), relax)


def same(one: Solution, other: Solution) -> None:
    assert (one.outcome, one.layer, one.taken) == (other.outcome, other.layer, other.taken)
    tensors = [(a, b) for a, b in zip(one.state, other.state, strict=True)]
    tensors += [(one.steps, other.steps), (one.residual, other.residual), (one.converged, other.converged)]
    if one.output is not None and other.output is not None:
        tensors.append((one.output, other.output))
    for a, b in tensors:
        assert a.dtype is b.dtype
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("every, budget, tolerance", LENGTHS)
@pytest.mark.parametrize("relax", WAYS, ids=lambda r: f"{r.name}{getattr(r, 'momentum', '')}")
def test_the_solution_is_the_same(
    waiting: None, monkeypatch: pytest.MonkeyPatch, relax: Relaxation, every: int, budget: int, tolerance: float
) -> None:
    relax = replace(relax, check_every=every, max_steps=budget, tolerance=tolerance)
    ahead, solution = free(relax)
    monkeypatch.undo()
    plain, expected = free(relax)
    same(solution, expected)
    assert ahead.ledger == plain.ledger
    for name in ("up", "down"):
        for a, b in zip(getattr(ahead.messages, name), getattr(plain.messages, name), strict=True):
            assert (a is None) == (b is None) and (a is None or torch.equal(a, b))
    assert (ahead.messages.sent_by is solution.state) == (plain.messages.sent_by is expected.state)


def test_what_diverges_ends_at_the_same_layer(waiting: None, monkeypatch: pytest.MonkeyPatch) -> None:
    relax = Sweep(max_steps=60, check_every=2)
    _, solution = free(relax, norm=3.0)
    monkeypatch.undo()
    _, expected = free(relax, norm=3.0)
    assert expected.outcome is Outcome.DIVERGED
    same(solution, expected)


def test_a_block_runs_between_a_look_and_its_reading(waiting: None, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    class Noted(DeviceRead):
        def __init__(self, tensor: torch.Tensor) -> None:
            order.append("look")
            super().__init__(tensor)

        def result(self) -> list[bool]:
            order.append("read")
            return super().result()

    def step(self: Sweep, *given: object) -> object:
        order.append("step")
        return inner(self, *given)  # type: ignore[arg-type]

    inner = Sweep.step
    monkeypatch.setattr(Sweep, "step", step)
    monkeypatch.setattr("energy.relax.solver.DeviceRead", Noted)
    free(Sweep(max_steps=5, check_every=2, tolerance=1e-12))
    block = ["step", "step"]
    assert order == [*block, "look", *block, "read", "look", "step", "read", "look", "read"]


SETTLERS = [EquilibriumPropagation(), EquilibriumPropagation(freeze_mean=False), ContrastiveHebbian(), TwoPhase()]


@pytest.mark.parametrize("settler", [*SETTLERS, Implicit()], ids=lambda s: f"{s.name}{getattr(s, 'freeze_mean', '')}")
def test_gradients_are_the_same(waiting: None, monkeypatch: pytest.MonkeyPatch, settler: Settler) -> None:
    found, settled = gradients(settler)
    monkeypatch.undo()
    expected, plain = gradients(settler)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert settled.ledger == plain.ledger


def gradients(settler: Settler) -> tuple[list[torch.Tensor], Settled]:
    network = nets.mlp(HardSigmoid(), norm=0.5)
    settled = settler.settle(network, *nets.batch(network), nets.FROZEN)
    return Contrast().gradients(network, settled), settled


def test_running_statistics_are_those_of_the_free_equilibrium(waiting: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A coupling that keeps the statistics of the batch it saw last cannot be taken back: the look is read at once."""

    def statistics() -> list[torch.Tensor]:
        network = Network((6,))
        network.add(Dense(6, 5), Tanh())
        network.add(BatchNorm(Dense(5, 5), 5), Tanh())  # reads what moves, not the input, which sends once
        network.add(Dense(5, 3), Identity())
        network.double()
        for k, parameter in enumerate(network.parameters()):
            parameter.data = 0.3 * torch.sin(torch.arange(parameter.numel()) + k).view_as(parameter).double()
        loose = EquilibriumPropagation(relax=Sweep(max_steps=60, tolerance=0.5, check_every=1))
        settled = loose.settle(network, *nets.batch(network), nets.FROZEN)
        assert settled.solutions["free"].outcome is Outcome.CONVERGED
        return [buffer.clone() for buffer in network.buffers()]

    found = statistics()
    monkeypatch.undo()
    assert all(torch.equal(a, b) for a, b in zip(found, statistics(), strict=True))


def test_a_fixed_number_of_steps_that_diverged_says_so_when_it_is_read(waiting: None) -> None:
    _, solution = free(Sweep(max_steps=60, tolerance=0.0), norm=3.0)
    assert (solution.outcome, solution.layer) == (Outcome.FIXED, "")
    read = solution.read()
    assert read.outcome is Outcome.DIVERGED and read.layer in {f"layer{k}" for k in range(1, 5)}
    assert read.lost is None and read.read() is read
    _, sound = free(Sweep(max_steps=5, tolerance=0.0))
    assert (sound.read().outcome, sound.read().layer) == (Outcome.FIXED, "")


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of the CPU are treated as an accelerator's, whose reads wait."""
    monkeypatch.setattr(reading, "is_free", lambda device: False)


def test_a_block_reads_nothing_and_moves_its_point() -> None:
    network = nets.mlp(HardSigmoid(), norm=0.5)
    relax = Sweep(max_steps=8, check_every=4, tolerance=1e-3)
    problem = SinglePhase(network, nets.batch(network)[0], 1.0, Ledger())
    point = blocks.Point(problem.initial_state())
    first = blocks.block(problem, relax, point, 4)
    second = blocks.block(problem, relax, point, 4)
    assert first is not None and second is not None and bool((second.residual <= first.residual).all())
    assert not second.blown.any()
    _, solution = free(replace(relax, tolerance=1e-12))
    assert all(torch.equal(a, b) for a, b in zip(point.state, solution.state, strict=True))
    assert blocks.block(problem, replace(relax, tolerance=0.0), point, 1) is None
