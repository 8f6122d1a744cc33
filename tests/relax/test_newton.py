"""Newton steps with Krylov corrections: exact where G is linear, finitely many where it is piecewise linear."""

from __future__ import annotations

import math

import pytest
import torch

from energy.ledger import Ledger
from energy.potentials import HardSigmoid
from energy.relax import SinglePhase, Sweep, Synchronous
from energy.relax.relaxation import Relaxation
from energy.relax.solution import Outcome, Solution
from energy.relax.solver import solve
from energy.settle import EquilibriumPropagation, Implicit
from energy.settle.settled import SettledDyad
from energy.state import State
from tests.relax.affine import Affine, drawn, flat, parts
from tests.relax.newton import NewtonKrylov
from tests.settle import nets
from tests.settle.oracles import gap


@pytest.mark.parametrize("norm", [0.9, 3.0])
def test_one_step_solves_an_affine_problem(norm: float) -> None:
    """With as many dimensions as unknowns; G does not contract at norm 3."""
    problem = drawn(norm=norm, unknowns=5)
    state, memory = NewtonKrylov(inner=Synchronous(), krylov=5).step(problem, problem.start, None)
    assert memory is not None
    received = memory.received
    torch.testing.assert_close(flat(received), problem.fixed, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(flat(state), problem.fixed, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("krylov", [1, 2, 4])
def test_fewer_dimensions_give_the_iterate_of_gmres(krylov: int) -> None:
    """G at its x, with r = b − (I − M)x of minimal length; at norm ½ the least fall is certain."""
    problem = drawn(norm=0.5)
    _, memory = NewtonKrylov(inner=Synchronous(), krylov=krylov).step(problem, problem.start, None)
    assert memory is not None
    wanted = flat(problem.response(parts(problem.gmres(krylov))))
    torch.testing.assert_close(flat(memory.received), wanted, rtol=1e-5, atol=1e-6)


def test_its_price() -> None:
    problem, relax = drawn(), NewtonKrylov(inner=Synchronous(), krylov=4)
    state, memory = relax.step(problem, problem.start, None)
    assert problem.asked == 4 + 3
    relax.step(problem, state, memory)
    assert problem.asked == (4 + 3) + (4 + 2)


def test_a_correction_that_does_not_help_is_left() -> None:
    """The first of two: ∂G is nearly 1 at the start, so that Newton's step leads far beyond, where G turns it back."""

    def bend(value: torch.Tensor) -> torch.Tensor:
        return torch.where(value > 3, -3 * (value - 3), 0.0)

    matrix = torch.stack([0.99 * torch.eye(3, dtype=torch.float64), 0.5 * torch.eye(3, dtype=torch.float64)])
    problem = Affine(matrix, torch.ones(2, 3, dtype=torch.float64), bend)
    _, memory = NewtonKrylov(inner=Synchronous(), krylov=1).step(problem, problem.start, None)
    assert memory is not None
    received = memory.received
    plain = problem.response(problem.start)
    assert torch.equal(flat(received)[0], flat(plain)[0])
    torch.testing.assert_close(flat(received)[1], torch.full((3,), 2.0, dtype=torch.float64))


def settled_freely(relax: Relaxation, gain: float = 1.0, norm: float = 0.0) -> Solution:
    network = nets.mlp(HardSigmoid(), bias=0.3, gain=gain, norm=norm)
    problem = SinglePhase(network, nets.batch(network, samples=8)[0], 1.0, Ledger())
    return solve(problem, problem.initial_state(), relax)


def test_piecewise_linear_units_end_after_finitely_many_steps() -> None:
    """At full rank the residual is rounding once the set of units at a bound no longer changes."""
    found = settled_freely(NewtonKrylov(krylov=16, max_steps=8, tolerance=1e-13, check_every=1), norm=0.9)
    wanted = settled_freely(Sweep(max_steps=500, tolerance=1e-13, check_every=1), norm=0.9)
    bounded = torch.cat([((t <= 0) | (t >= 1)).flatten() for t in wanted.state.tensors[:-1]])
    assert 0 < int(bounded.sum()) < len(bounded)
    assert found.outcome is Outcome.CONVERGED
    assert int(found.steps.max()) <= 6 < int(wanted.steps.max())
    assert gap(list(found.state), list(wanted.state)) < 1e-12


def test_strong_couplings_end_too() -> None:
    """Where full corrections would circle between sets of units: each one taken halves the residual, others are not."""
    relax = NewtonKrylov(krylov=8, max_steps=60, tolerance=1e-12, check_every=1)
    assert settled_freely(relax, gain=0.9).outcome is Outcome.CONVERGED


@pytest.mark.parametrize("pool", ["max", "average"])
def test_the_adjoint_in_two_steps(pool: str) -> None:
    """δ about a held mean at β = 0 is linear: two steps give the exact gradient to rounding, differences and all."""
    network = nets.cnn(HardSigmoid(), nets.POOLS[pool], norm=0.5)
    x, target = nets.batch(network)
    tight, relax = Sweep(max_steps=500, tolerance=1e-14), NewtonKrylov(krylov=12, max_steps=2, tolerance=0.0)
    settled = Implicit(relax=tight, nudged=relax, freeze_mean=True).settle(network, x, target, nets.FROZEN)
    other = Implicit(relax=tight, nudged=tight).settle(network, x, target, nets.FROZEN)
    assert isinstance(settled, SettledDyad) and isinstance(other, SettledDyad)
    for one, wanted in zip(settled.delta, other.delta, strict=True):
        assert one is not None and wanted is not None
        torch.testing.assert_close(one, wanted, rtol=1e-9, atol=1e-12)


def test_a_network_is_left_as_a_sweep_leaves_it() -> None:
    """Its messages are those of the state that is returned: one more sweep at rest changes nothing."""
    network = nets.cnn(HardSigmoid(), nets.POOLS["max"], norm=0.4)
    x, target = nets.batch(network)
    relax = NewtonKrylov(max_steps=20, tolerance=1e-13, check_every=1)
    settled = EquilibriumPropagation(relax=relax, nudged=relax, freeze_mean=False).settle(
        network, x, target, nets.FROZEN
    )
    tight = Sweep(max_steps=500, tolerance=1e-14)
    other = EquilibriumPropagation(relax=tight, nudged=tight, freeze_mean=False).settle(network, x, target, nets.FROZEN)
    assert isinstance(settled, SettledDyad) and isinstance(other, SettledDyad)
    assert gap(list(settled.mean), list(other.mean)) < 1e-11


def test_samples_are_chosen_one_by_one() -> None:
    one, other = (
        State([torch.ones(3, 2), torch.ones(3, 1, 2)]),
        State([torch.zeros(3, 2), torch.full((3, 1, 2), math.nan)]),
    )
    found = one.where(torch.tensor([True, False, True]), other)
    assert found[0].sum(1).tolist() == [2, 0, 2]
    assert found[1].isnan().any(2).squeeze(1).tolist() == [False, True, False]


def test_no_sample_depends_on_the_others() -> None:
    problem = drawn(samples=4)
    relax = NewtonKrylov(inner=Synchronous(), krylov=2)
    together = relax.step(problem, problem.start, None)[0]
    for k in range(4):
        alone = Affine(problem.matrix[k : k + 1], problem.shift[k : k + 1])
        found = relax.step(alone, alone.start, None)[0]
        torch.testing.assert_close(flat(found), flat(together)[k : k + 1], rtol=1e-9, atol=1e-12)
