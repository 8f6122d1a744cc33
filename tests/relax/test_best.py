"""A way that may rise: each sample gets its best state back, and converges once each has been there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch

from energy.ledger import Ledger
from energy.potentials import HardSigmoid
from energy.relax import Outcome, Relaxation, SinglePhase, Synchronous, solve
from energy.relax.tally import Tally
from energy.state import State
from tests.settle import nets

PATHS = torch.tensor([[0.5, 0.01, 0.4, 0.3, 0.2], [0.6, 0.5, 0.02, 0.3, 0.7]], dtype=torch.float64)


class Shown:
    """response(s) − s = 1 and s = 1/residual, so that the relative residual is what `PATHS` says."""

    def __init__(self) -> None:
        self.batch, self.device = 2, torch.device("cpu")
        self.adopted: State | None = None

    def response(self, state: State) -> State:
        return state.map(lambda tensor: tensor + 1)

    def name(self, index: int) -> str:
        return "only"

    def adopt(self, state: State) -> State:
        self.adopted = state
        return state


@pytest.fixture
def along(request: pytest.FixtureRequest) -> type[Relaxation]:
    class Along(Relaxation):
        """The states of `PATHS`, one after the other, whatever they are given."""

        monotone: ClassVar[bool] = False

        def step(self, problem: Any, state: State, memory: int | None) -> tuple[State, int]:
            at = memory or 0
            return State(((1 / PATHS[:, at]).view(2, 1),)), at + 1

    return Along


def walk(way: type[Relaxation], tolerance: float, steps: int = 5) -> tuple[Shown, Any]:
    problem = Shown()
    relax = way(max_steps=steps, tolerance=tolerance, check_every=1)
    return problem, solve(problem, State((torch.ones(2, 1, dtype=torch.float64),)), relax)


def test_the_best_state_of_each_sample_comes_back(along: type[Relaxation]) -> None:
    problem, found = walk(along, 1e-3)
    assert found.outcome is Outcome.BUDGET and not bool(found.converged.any())
    torch.testing.assert_close(found.residual, torch.tensor([0.01, 0.02], dtype=torch.float64))
    torch.testing.assert_close(found.state[0][:, 0], torch.tensor([100.0, 50.0], dtype=torch.float64))
    assert problem.adopted is found.state


def test_samples_that_were_there_one_after_the_other_have_converged(along: type[Relaxation]) -> None:
    _, found = walk(along, 0.03)
    assert found.outcome is Outcome.CONVERGED and bool(found.converged.all())
    assert found.taken == 3 and found.steps.tolist() == [2, 3]
    torch.testing.assert_close(found.state[0][:, 0], torch.tensor([100.0, 50.0], dtype=torch.float64))


def test_a_last_state_that_is_within_the_tolerance_is_returned_as_it_is(along: type[Relaxation]) -> None:
    problem, found = walk(along, 0.55)
    assert found.outcome is Outcome.CONVERGED and found.taken == 2 and problem.adopted is None


def test_one_that_does_not_rise_returns_its_last_state(along: type[Relaxation]) -> None:
    along.monotone = True
    problem, found = walk(along, 1e-3)
    torch.testing.assert_close(found.residual, PATHS[:, -1])
    assert problem.adopted is None


def test_a_solve_that_diverges_gives_back_what_was_finite() -> None:
    """s ← 30 s leaves every bound, and the first look was as good as any."""

    class Growing(Shown):
        def response(self, state: State) -> State:
            return state.map(lambda tensor: 30 * tensor)

    problem = Growing()
    start = State((torch.ones(2, 1, dtype=torch.float64),))
    found = solve(problem, start, Synchronous(max_steps=50, tolerance=1e-6, check_every=1))
    assert found.outcome is Outcome.DIVERGED and found.layer == "only"
    assert bool(found.state[0].isfinite().all()) and float(found.state[0].max()) <= 30


def test_a_network_goes_on_from_the_state_that_was_given_back() -> None:
    """Messages are sent anew from it: another half-sweep ends where one from that state ends."""
    network = nets.mlp(HardSigmoid(), norm=2.0, seed=3)
    x = nets.batch(network)[0]
    problem = SinglePhase(network, x, 1.0, Ledger())
    relax = Synchronous(max_steps=7, tolerance=1e-12, check_every=1)
    found = solve(problem, problem.initial_state(), relax)
    assert found.outcome is Outcome.BUDGET
    fresh = SinglePhase(network, x, 1.0, Ledger())
    fresh.response(found.state)
    for one, other in zip(problem.bottom_up(found.state), fresh.bottom_up(found.state), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_the_rate_is_the_mean_over_the_second_half() -> None:
    """Residuals 1, ¼, ⅛ … with looks two steps apart: from the third look of five to the fifth, halved per look."""
    problem, relax = Shown(), Synchronous(tolerance=1e-9, check_every=2, max_steps=10)
    tally, state = Tally(problem, relax, 0), State((torch.ones(2, 1),))
    for k, residual in enumerate((1.0, 0.25, 0.125, 0.0625, 0.03125), start=1):
        tally.note(torch.tensor([residual, 0.0 if k > 1 else 1.0]), 2 * k, state)
    found = tally.rate()
    assert float(found[0]) == pytest.approx(0.5**0.5)
    assert float(found[1]) == 0.0  # it was there at the second look
    one = Tally(problem, replace(relax, check_every=10), 0)
    one.note(torch.tensor([0.5, 0.5]), 10, state)
    assert bool(one.rate().isnan().all())
