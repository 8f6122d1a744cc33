"""Anderson acceleration: against GMRES on affine problems, and what it does where its systems are singular."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from energy.component import ConfigurationError
from energy.ledger import Ledger
from energy.potentials import HardSigmoid, Tanh
from energy.relax import Anderson, SinglePhase, Sweep, Synchronous, Zebra
from energy.relax.anderson import Secants
from energy.relax.custom import EnergyProblem
from energy.relax.problem import Problem
from energy.relax.solution import Outcome
from energy.relax.solver import solve
from energy.rules import Contrast
from energy.settle import EquilibriumPropagation
from energy.state import State
from tests.program.pairs import Pair
from tests.relax.affine import Affine, drawn, flat, parts
from tests.relax.newton import NewtonKrylov
from tests.settle import nets
from tests.settle.oracles import equilibrium, gap

EXACT: dict[str, Any] = {"inner": Synchronous(), "window": 12, "ridge": 0.0, "limit": math.inf, "restart": math.inf}


def walk(problem: Problem, state: State, relax: Anderson, steps: int) -> list[tuple[State, Secants]]:
    """State and memory after each step."""
    found: list[tuple[State, Secants]] = []
    memory: Secants | None = None
    for _ in range(steps):
        state, memory = relax.step(problem, state, memory)
        assert memory is not None
        found.append((state, memory))
    return found


class TestGMRES:
    """Walker & Ni 2011, theorem 2.2: x_{k+1} = G(x_k of GMRES), so f_{k+1} = M r_k, while residuals of GMRES fall."""

    @pytest.mark.parametrize("norm", [0.5, 0.9, 3.0])
    def test_iterates(self, norm: float) -> None:
        problem = drawn(norm=norm)
        found = walk(problem, problem.start, Anderson(**EXACT), 6)
        for k in range(1, 6):
            best = problem.gmres(k)
            wanted = flat(problem.response(parts(best)))
            torch.testing.assert_close(flat(found[k][1].onward), wanted, rtol=1e-6, atol=1e-7)

    def test_residuals(self) -> None:
        problem = drawn(norm=0.9)
        found = walk(problem, problem.start, Anderson(**EXACT), 6)
        for k in range(1, 5):
            best = problem.gmres(k)
            left = flat(problem.response(parts(best))) - best
            wanted = (problem.matrix @ left[:, :, None]).squeeze(2)
            torch.testing.assert_close(flat(found[k + 1][1].residual), wanted, rtol=1e-6, atol=1e-8)

    @pytest.mark.parametrize("norm", [0.9, 3.0])
    def test_a_full_window_ends_after_as_many_steps_as_there_are_unknowns_and_one(self, norm: float) -> None:
        """The plain step does not contract at norm 3."""
        problem = drawn(norm=norm, unknowns=5)
        state, memory = walk(problem, problem.start, Anderson(**EXACT), 6)[-1]
        torch.testing.assert_close(flat(memory.onward), problem.fixed, rtol=1e-6, atol=1e-7)
        assert gap(list(state), list(parts(problem.fixed))) > 1e-3  # which it reaches by the extrapolation, no sooner

    def test_messages_of_a_linear_network(self) -> None:
        """A chain 6-7-5-4-3 receives 16 messages downwards; from zeros as the first argument."""
        network = nets.mlp(nets.Identity(), norm=0.5)
        x = nets.batch(network)[0]
        problem = SinglePhase(network, x, 1.0, Ledger())
        relax = Anderson(**{**EXACT, "inner": Sweep(), "window": 20}, max_steps=18, tolerance=0.0)
        with torch.no_grad():
            found = solve(problem, problem.initial_state(), relax).state
        assert gap(list(found), equilibrium(network, x, 1.0)) < 1e-9


class TestSingular:
    """Systems with a column of zero, or with equal columns."""

    def test_a_sample_that_stands_still_from_the_start(self) -> None:
        problem = drawn()
        problem.shift[0] = 0
        found = walk(problem, problem.start, Anderson(**EXACT), 12)
        assert all(bool(flat(state).isfinite().all()) for state, _ in found)
        assert not flat(found[-1][0])[0].any()
        torch.testing.assert_close(flat(found[-1][0])[1:], problem.fixed[1:], rtol=1e-6, atol=1e-7)

    def test_iterates_that_repeat(self) -> None:
        """A constant G: all residuals from the second on are zero, and all later changes."""
        problem = drawn()
        problem.matrix.zero_()
        for state, memory in walk(problem, problem.start, Anderson(**EXACT), 15):
            assert torch.equal(flat(state), problem.shift)
            assert bool(memory.gram.isfinite().all())

    def test_fewer_dimensions_than_columns(self) -> None:
        """M of rank one: the residuals of all steps lie in two dimensions."""
        problem = drawn()
        problem.matrix.copy_(problem.matrix[:, :, :1] @ problem.matrix[:, :1])
        relax = Anderson(**{**EXACT, "limit": 100.0})
        for state, memory in walk(problem, problem.start, relax, 15)[3:]:
            assert bool(flat(memory.onward).isfinite().all())
            torch.testing.assert_close(flat(state), problem.fixed, rtol=1e-6, atol=1e-7)


class TestSafeguards:
    def test_a_sample_whose_residual_grows_forgets(self) -> None:
        """The second of two: its G turns by a jump, so that what it has seen misleads it."""

        def jump(value: torch.Tensor) -> torch.Tensor:
            far = (value[:, :1] > 1.55) & (torch.arange(2)[:, None] == 1)
            return torch.where(far, 40.0, 0.0).expand_as(value)

        matrix = torch.diag(torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)).expand(2, 3, 3)
        problem = Affine(matrix, torch.ones(2, 3, dtype=torch.float64), jump)
        relax = Anderson(**{**EXACT, "restart": 2.0})
        (_, before), (_, after) = walk(problem, problem.start, relax, 3)[1:]
        assert before.age.tolist() == [1, 1]
        assert after.age.tolist() == [2, 0]
        assert torch.equal(flat(after.onward)[1], flat(after.sent)[1])
        assert not torch.equal(flat(after.onward)[0], flat(after.sent)[0])
        careless = walk(problem, problem.start, Anderson(**EXACT), 3)[-1][1]
        assert not torch.equal(flat(careless.onward)[1], flat(careless.sent)[1])
        assert torch.equal(flat(careless.onward)[0], flat(after.onward)[0])

    def test_coefficients_that_are_too_large_are_not_used(self) -> None:
        """G(s) = s + 1, bent a little: without an equilibrium nearby, the secants lead a million away."""
        problem = Affine(
            torch.eye(3, dtype=torch.float64)[None], torch.ones(1, 3, dtype=torch.float64), lambda v: -1e-6 * v
        )
        bold = walk(problem, problem.start, Anderson(**EXACT), 2)[-1][1]
        careful = walk(problem, problem.start, Anderson(**{**EXACT, "limit": 100.0}), 2)[-1][1]
        assert float(flat(bold.onward).max()) > 1e5
        assert torch.equal(flat(careful.onward), flat(careful.sent))
        assert float(flat(careful.onward).max()) < 3

    def test_a_ridge_bounds_the_coefficients(self) -> None:
        """Of a single column a: c = ⟨a, f⟩ / (1 + ridge)‖a‖²."""
        problem = drawn()
        plain, held = (walk(problem, problem.start, Anderson(**{**EXACT, "ridge": r}), 2)[-1][1] for r in (0.0, 3.0))
        step, shorter = (flat(one.onward) - flat(one.sent) for one in (plain, held))
        torch.testing.assert_close(shorter, step / 4)

    def test_states_stay_in_the_range_of_their_units(self) -> None:
        """The argument need not."""
        network = nets.mlp(HardSigmoid(), gain=1.5, bias=0.3)
        x = nets.batch(network, samples=16)[0]
        outside = False
        for inner in (Sweep(), Synchronous(), Zebra()):
            problem = SinglePhase(network, x, 1.0, Ledger())
            with torch.no_grad():
                for state, memory in walk(problem, problem.initial_state(), Anderson(inner=inner), 12):
                    assert all(bool(((t >= 0) & (t <= 1)).all()) for t in state.tensors[:-1])
                    outside |= inner.name != "sweep" and any(bool((t < 0).any()) for t in memory.onward)
        assert outside


def test_no_sample_depends_on_the_others() -> None:
    problem = drawn(samples=4)
    relax = Anderson(inner=Synchronous(), window=3)
    together = walk(problem, problem.start, relax, 7)[-1][0]
    for k in range(4):
        alone = Affine(problem.matrix[k : k + 1], problem.shift[k : k + 1])
        found = walk(alone, alone.start, relax, 7)[-1][0]
        torch.testing.assert_close(flat(found), flat(together)[k : k + 1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("relax", [Anderson, NewtonKrylov])
def test_narrow_states(relax: Any, dtype: torch.dtype, close: float) -> None:
    network = nets.mlp(Tanh(), norm=0.5)
    x = nets.batch(network)[0]
    wanted = equilibrium(network, x, 1.0)
    narrow = network.float()
    problem = SinglePhase(narrow, x.to(dtype), 1.0, Ledger())
    found = solve(problem, problem.initial_state(), relax(max_steps=12, tolerance=0.0)).state
    assert all(tensor.dtype == dtype for tensor in found)
    assert gap([tensor.double() for tensor in found], wanted) < close


@pytest.mark.parametrize(
    "relax",
    [
        pytest.param(Anderson(), id="anderson"),
        pytest.param(NewtonKrylov(krylov=2), id="newton", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("freeze_mean", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_recorded_solve_is_the_plain_one(relax: Any, freeze_mean: bool) -> None:
    """Every number, of several batches, whichever way their solves end."""
    network = nets.mlp(Tanh(), sizes=(5, 4, 4, 3), norm=0.4)
    for steps, tolerance in ((2, 1e-15), (30, 1e-6)):
        way = dataclasses.replace(relax, max_steps=steps, tolerance=tolerance, check_every=2 if steps == 30 else 1)
        settler = EquilibriumPropagation(relax=way, nudged=way, freeze_mean=freeze_mean)
        pair = Pair(network, settler, Contrast())
        for k, scale in enumerate((1.0, 0.01, 3.0)):
            x, target = nets.batch(network, seed=k)
            pair.check(scale * x, target)
            pair.move()
        assert pair.recorded == 1


@pytest.mark.parametrize("kind", [Anderson, NewtonKrylov])
@pytest.mark.parametrize("inner", [Sweep(), Zebra(), Synchronous(damping=0.5)], ids=lambda one: one.name)
def test_any_energy(kind: Any, inner: Any) -> None:
    """E = ½ sᵀA s − xᵀs with A between ½ and 1.6: a problem without layers is stepped synchronously."""
    stream = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(5, 5, generator=stream, dtype=torch.float64)).Q
    matrix = basis @ torch.diag(torch.linspace(0.5, 1.6, 5, dtype=torch.float64)) @ basis.T
    x = torch.randn(4, 5, generator=stream, dtype=torch.float64)
    problem = EnergyProblem(lambda x, s, _: ((s[0] @ matrix) * s[0]).sum(1) / 2 - (x * s[0]).sum(1), x, {})
    solution = solve(problem, State([torch.zeros_like(x)]), kind(inner=inner, tolerance=1e-10))
    assert solution.outcome is Outcome.CONVERGED
    torch.testing.assert_close(solution.state[0], torch.linalg.solve(matrix, x, left=False), rtol=0, atol=1e-8)


@pytest.mark.parametrize("field", ["window", "ridge", "limit", "restart", "krylov", "difference"])
def test_ranges(field: str) -> None:
    kind: Any = NewtonKrylov if field in ("krylov", "difference") else Anderson
    for value in (-1, math.nan):
        with pytest.raises(ConfigurationError, match=field):
            kind(**{field: value})


@pytest.mark.parametrize("inner", [Sweep(momentum=0.5), Anderson(), NewtonKrylov()], ids=lambda one: one.name)
@pytest.mark.parametrize("kind", [Anderson, NewtonKrylov])
def test_only_plain_steps_are_accelerated(kind: Any, inner: Any) -> None:
    with pytest.raises(ConfigurationError, match="inner"):
        kind(inner=inner)
