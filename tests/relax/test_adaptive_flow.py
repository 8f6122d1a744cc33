"""The flow with adaptive steps: along the true path, to the first equilibrium on it, and always to an end."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from energy.component import ConfigurationError, from_dict
from energy.ledger import Ledger
from energy.network import Network
from energy.potentials import HardSigmoid, Potential, Sigmoid, Softplus, Tanh
from energy.relax.adaptive_flow import AdaptiveFlow, AdaptiveMethod, Progress
from energy.relax.custom import EnergyProblem
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Outcome, Solution
from energy.relax.solver import solve
from energy.relax.trajectory import Trajectory
from energy.rules import Contrast
from energy.settle import EquilibriumPropagation
from energy.settle.two_phase import CoupledLearning
from energy.state import State
from energy.testing import check_relaxation
from tests.program.cases import NETWORKS, batches
from tests.program.pairs import Pair
from tests.settle import nets

PER_STEP = {AdaptiveMethod.DOPRI5: 6, AdaptiveMethod.BOSH3: 3, AdaptiveMethod.DOPRI8: 13}


class Field:
    """ds/dt = velocity(s) on states of one tensor (B, n), with a record of where it was asked for."""

    device = torch.device("cpu")

    def __init__(self, velocity: Callable[[Tensor], Tensor], batch: int = 1) -> None:
        self.velocity, self.batch = velocity, batch
        self.asked: list[Tensor] = []

    def response(self, state: State) -> State:
        self.asked.append(state[0].clone())
        return State([state[0] + self.velocity(state[0])])

    def name(self, index: int) -> str:
        return f"tensor{index}"

    def residuals(self) -> list[float]:
        """‖velocity‖/‖s‖ of the worst sample, at each point that was asked for."""
        return [float((self.velocity(s).norm(dim=1) / s.norm(dim=1)).max()) for s in self.asked]


def start(*rows: list[float]) -> State:
    return State([torch.tensor(rows, dtype=torch.float64)])


def linear(*rates: float) -> Field:
    """ds/dt = rate · (1 − s) of each unit."""
    rate = torch.tensor(rates, dtype=torch.float64)
    return Field(lambda s: rate * (1 - s))


def free(network: Network, samples: int = 4, gamma: float = 1.0) -> tuple[SinglePhase, State]:
    problem = SinglePhase(network, nets.batch(network, samples)[0], gamma, Ledger())
    return problem, problem.initial_state()


def exact(network: Network, time: float) -> list[Tensor]:
    """The states after `time`, by DOP853 at 1e-12."""
    problem, state = free(network)
    shapes = [tensor.shape for tensor in state]

    def unflat(flat: Any) -> State:
        parts = torch.as_tensor(flat).split([shape.numel() for shape in shapes])
        return State(part.view(shape) for part, shape in zip(parts, shapes, strict=True))

    def velocity(_: float, flat: Any) -> Any:
        here = unflat(flat)
        return torch.cat([tensor.flatten() for tensor in problem.response(here) - here]).numpy()

    begin = torch.cat([tensor.flatten() for tensor in state]).numpy()
    with torch.no_grad():
        found = solve_ivp(velocity, (0, time), begin, method="DOP853", rtol=1e-12, atol=1e-13)
        return list(unflat(found.y[:, -1].copy()))


def after(network: Network, relax: AdaptiveFlow, samples: slice = slice(None)) -> list[Tensor]:
    x = nets.batch(network)[0][samples]
    problem = SinglePhase(network, x, 1.0, Ledger())
    return list(solve(problem, problem.initial_state(), relax).state)


def distance(found: list[Tensor], wanted: list[Tensor]) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(found, wanted, strict=True))


class TestPath:
    @pytest.mark.thinned(by=2)
    @pytest.mark.parametrize("method", AdaptiveMethod)
    @pytest.mark.parametrize("hidden", [Tanh(), Softplus()], ids=lambda p: p.name)
    def test_it_follows_the_flow_at_its_tolerance(self, hidden: Potential, method: AdaptiveMethod) -> None:
        """Two windows of 1.5: the error over them is of the order of the local one, and falls with it."""
        network = nets.mlp(hidden, norm=0.6)
        wanted, errors = exact(network, 3.0), []
        for rtol in (1e-2, 1e-4, 1e-6, 1e-8):
            relax = AdaptiveFlow(method=method, rtol=rtol, atol=rtol / 10, time=1.5, max_steps=2, tolerance=0.0)
            errors.append(distance(after(network, relax), wanted))
            assert errors[-1] <= 5 * rtol
        assert errors[1] > 5 * errors[2] > 25 * errors[3]

    def test_halving_rtol_costs_little_and_never_loses(self) -> None:
        """Of fifth order: steps of length ~ rtol^(1/5), error ~ rtol."""
        network = nets.mlp(Tanh(), norm=0.6)
        wanted, errors = exact(network, 3.0), []
        for power in range(12):
            relax = AdaptiveFlow(rtol=1e-4 / 2**power, atol=1e-9, time=3.0, max_steps=1, tolerance=0.0)
            errors.append(distance(after(network, relax), wanted))
        assert all(late < 0.7 * early for early, late in zip(errors, errors[4:], strict=False))

    def test_on_an_energy_it_is_the_gradient_flow(self) -> None:
        """E = ½ sᵀHs − bᵀs: s(t) = s* + exp(−Ht)(s₀ − s*)."""
        stream = torch.Generator().manual_seed(0)
        noise = torch.randn(4, 4, generator=stream, dtype=torch.float64)
        hessian, b = noise @ noise.T + torch.eye(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
        problem = EnergyProblem(lambda x, s, _: ((s[0] @ hessian) * s[0]).sum(1) / 2 - s[0] @ b, torch.zeros(2, 1), {})
        begin = torch.randn(2, 4, generator=stream, dtype=torch.float64)
        relax = AdaptiveFlow(rtol=1e-9, atol=1e-10, time=0.7, max_steps=1, tolerance=0.0)
        found = solve(problem, State([begin]), relax).state[0]
        rest = torch.linalg.solve(hessian, b)
        wanted = rest + (begin - rest) @ torch.linalg.matrix_exp(-0.7 * hessian)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-8)

    @pytest.mark.thinned(by=2)
    @pytest.mark.parametrize("hidden", [HardSigmoid(), Tanh(), Sigmoid(), Softplus()], ids=lambda p: p.name)
    @pytest.mark.parametrize("gamma", [0.5, 1.0])
    def test_the_energy_falls(self, hidden: Potential, gamma: float) -> None:
        """For any convex G, contracting or not, from any start."""
        stream = torch.Generator().manual_seed(3)
        for gain in (0.6, 1.5):
            network = nets.mlp(hidden, gain=gain)
            problem, state = free(network, gamma=gamma)
            noise = [torch.randn(tensor.shape, generator=stream, dtype=torch.float64) for tensor in state]
            state, memory = State(map(hidden.response, noise)), None
            relax = AdaptiveFlow(time=0.2, rtol=1e-8, atol=1e-9, tolerance=0.0, max_evaluations=10**6)
            values = [network.energy(problem.x, state, gamma)]
            with torch.no_grad():
                for _ in range(12):
                    state, memory = relax.step(problem, state, memory)
                    values.append(network.energy(problem.x, state, gamma))
            path = torch.stack(values).detach()
            assert bool((path.diff(dim=0) <= 1e-9 * path.abs().amax()).all())
            assert bool((path[-1] < path[0]).all())

    def test_each_sample_keeps_its_tolerance_in_any_company(self) -> None:
        """Its own path is followed within rtol, alone or in a batch whose steps another sample decides."""
        network, rtol = nets.mlp(Tanh(), norm=0.6), 1e-4
        wanted = exact(network, 3.0)
        relax = AdaptiveFlow(rtol=rtol, time=3.0, max_steps=1, tolerance=0.0)
        for samples in (slice(None), slice(0, 1), slice(2, 4)):
            assert distance(after(network, relax, samples), [tensor[samples] for tensor in wanted]) < 5 * rtol

    def test_a_small_sample_is_not_lost_in_the_mean_over_a_batch(self) -> None:
        """99 samples at rest, and one that turns fast: torchdiffeq's own norm would allow it ten times the error."""

        def turn(s: Tensor) -> Tensor:
            return 9 * torch.stack([-s[:, 1], s[:, 0]], 1)

        still = [[0.0, 0.0]] * 99
        errors = []
        for rows in ([[1.0, 0.0]], [*still, [1.0, 0.0]]):
            relax = AdaptiveFlow(rtol=1e-4, atol=1e-4, time=1.0, max_steps=1, tolerance=0.0)
            found = solve(Field(turn, len(rows)), start(*rows), relax).state[0][-1]
            wanted = torch.tensor([9.0], dtype=torch.float64)
            errors.append(float((found - torch.cat([wanted.cos(), wanted.sin()])).norm()))
        assert errors[0] == pytest.approx(errors[1], rel=1e-6)


class TestEvent:
    @pytest.mark.parametrize("method", AdaptiveMethod)
    @pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-8])
    def test_it_ends_at_the_first_accepted_state_within_the_tolerance(
        self, tolerance: float, method: AdaptiveMethod
    ) -> None:
        """Its own residual is the last evaluation but for the solver's look, and no earlier end of a step had it."""
        problem = linear(1.0, 0.8, 0.5)
        relax = AdaptiveFlow(method=method, tolerance=tolerance, time=1e3)
        solution = solve(problem, start([0.2, -1.0, 3.0]), relax)
        *seen, look = problem.residuals()
        assert len(seen) % PER_STEP[method] == 1
        ends = seen[:: PER_STEP[method]]
        assert solution.outcome is Outcome.CONVERGED and solution.taken == 1
        assert ends[-1] <= tolerance < min(ends[:-1])
        assert torch.equal(problem.asked[-2], solution.state[0])
        assert look == ends[-1] == pytest.approx(float(solution.residual), rel=1e-12)

    def test_of_the_field_and_not_of_the_state(self) -> None:
        """A small state is no equilibrium, and a large one may be."""
        small = linear(1.0)
        assert solve(small, start([1e-9]), AdaptiveFlow(time=0.1, max_steps=1)).outcome is Outcome.BUDGET
        large = Field(lambda s: 1000 - s)
        solution = solve(large, start([999.9999]), AdaptiveFlow(tolerance=1e-3))
        assert solution.outcome is Outcome.CONVERGED and len(large.asked) == 2  # the start, and the look

    def test_of_every_sample(self) -> None:
        """The slow one decides, and the fast one is within the tolerance then too."""
        rate = torch.tensor([[1.0], [0.2]], dtype=torch.float64)
        problem = Field(lambda s: rate * (1 - s), 2)
        solution = solve(problem, start([0.0], [0.0]), AdaptiveFlow(tolerance=1e-3, time=1e3))
        assert solution.outcome is Outcome.CONVERGED
        assert 1e-4 < solution.residual[1] <= 1e-3 > solution.residual[0]

    def test_windows_go_on_from_each_other(self) -> None:
        """The field at the seam is not evaluated again, and the step does not start small again."""
        whole, parts = linear(1.0, 0.5), linear(1.0, 0.5)
        solve(whole, start([0.0, 3.0]), AdaptiveFlow(tolerance=0.0, time=12.0, max_steps=1))
        solve(parts, start([0.0, 3.0]), AdaptiveFlow(tolerance=0.0, time=4.0, max_steps=3))
        assert len(parts.asked) % 6 == 1
        assert len(parts.asked) <= len(whole.asked) + 2 * 2 * 6  # each seam shortens a step, and grows it again

    def test_a_state_that_was_changed_between_two_steps_is_looked_at_anew(self) -> None:
        problem, relax = linear(1.0), AdaptiveFlow(time=1.0, tolerance=0.0)
        state, memory = relax.step(problem, start([0.0]), None)
        other, _ = relax.step(problem, State([state[0] + 5.0]), memory)
        wanted = 1 + (state[0] + 4.0) * torch.tensor(-1.0, dtype=torch.float64).exp()
        torch.testing.assert_close(other[0], wanted, rtol=2e-3, atol=0)


class TestEnds:
    @pytest.mark.parametrize("cap", [1, 2, 6, 7, 13, 40])
    def test_the_last_evaluation(self, cap: int) -> None:
        """Then the last accepted state stays: the end of a step, or the start."""
        problem = linear(1.0, 0.7)
        relax = AdaptiveFlow(max_evaluations=cap, tolerance=1e-12, max_steps=5)
        solution = solve(problem, start([0.0, 4.0]), relax)
        assert solution.outcome is Outcome.BUDGET
        evaluated = problem.asked[:cap]
        assert any(torch.equal(one, solution.state[0]) for one in evaluated[::6])
        assert len(problem.asked) <= cap + 5  # looks of the solver
        assert len(problem.asked) >= cap

    def test_spent(self) -> None:
        problem, relax = linear(1.0), AdaptiveFlow(max_evaluations=9, tolerance=1e-12)
        state, memory = relax.step(problem, start([0.0]), None)
        assert isinstance(memory, Progress) and memory.evaluations == 9 and relax.spent(memory)
        again, after = relax.step(problem, state, memory)
        assert again is state and after.evaluations == 9 == len(problem.asked) and after.windows == 2
        assert not relax.spent(None)

    STIFF = (200.0, 30.0, 5.0, 1.0)

    @pytest.mark.parametrize("method", AdaptiveMethod)
    def test_a_stiff_flow_comes_to_rest(self, method: AdaptiveMethod) -> None:
        problem = linear(*self.STIFF)
        relax = AdaptiveFlow(method=method, tolerance=1e-3, max_evaluations=10**6)
        solution = solve(problem, start([2.0, -1.0, 0.5, 0.0]), relax)
        assert solution.outcome is Outcome.CONVERGED and len(problem.asked) < 10**4
        assert problem.residuals()[-1] <= 1e-3

    def test_which_it_would_not_by_rtol_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Explicit steps then stay at the end of their stability, and the state at a distance of its equilibrium."""

        def plain(path: Trajectory, length: float) -> Tensor:
            return path.accuracy.atol + path.accuracy.rtol * path.accepted.state.norms()

        monkeypatch.setattr(Trajectory, "_scale", plain)
        problem = linear(*self.STIFF)
        relax = AdaptiveFlow(tolerance=1e-3, max_evaluations=10**5, max_steps=2)
        assert solve(problem, start([2.0, -1.0, 0.5, 0.0]), relax).outcome is Outcome.BUDGET
        assert len(problem.asked) > 5000

    def test_a_stiff_one_with_few_evaluations(self) -> None:
        problem = linear(1e12, 1.0)
        solution = solve(problem, start([2.0, 0.0]), AdaptiveFlow(max_steps=3))
        assert solution.outcome is Outcome.BUDGET and len(problem.asked) <= 1000 + 3
        assert bool(solution.state[0].isfinite().all())

    def test_one_that_turns_for_ever(self) -> None:
        problem = Field(lambda s: torch.stack([-s[:, 1], s[:, 0]], 1))
        solution = solve(problem, start([1.0, 0.0]), AdaptiveFlow(max_steps=10))
        assert solution.outcome is Outcome.BUDGET
        assert float(solution.state[0].norm()) == pytest.approx(1.0, abs=0.1)

    def test_one_that_explodes(self) -> None:
        """ds/dt = s³ is infinite at a finite time."""
        problem = Field(lambda s: s**3)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            solution = solve(problem, start([1.0, 0.5]), AdaptiveFlow())
        assert solution.outcome in (Outcome.DIVERGED, Outcome.BUDGET)
        assert len(problem.asked) <= 1100
        grows = solve(Field(lambda s: s), start([1.0]), AdaptiveFlow(time=50.0))
        assert grows.outcome is Outcome.DIVERGED and grows.layer == "tensor0"

    def test_a_response_that_is_no_number_at_an_accepted_state_names_its_layer(self) -> None:
        class Two(Field):
            def response(self, state: State) -> State:
                self.asked.append(state[1])
                return State([state[0], state[1] * torch.nan])

        problem = Two(lambda s: s)
        state = State([torch.ones(1, 2, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)])
        for relax in (AdaptiveFlow(max_steps=3), AdaptiveFlow(max_steps=3, tolerance=0.0)):
            solution = solve(problem, state, relax)
            assert solution.outcome is Outcome.DIVERGED and solution.layer == "tensor1"

    def test_a_wall_that_no_try_gets_over(self) -> None:
        """No number everywhere but at the start: the step shrinks until it moves no time, and the start is returned."""
        problem = Field(lambda s: torch.where(s == 1, 1.0, torch.nan))
        solution = solve(problem, start([1.0]), AdaptiveFlow(max_steps=3))
        assert solution.outcome is Outcome.BUDGET and torch.equal(solution.state[0], start([1.0])[0])
        assert len(problem.asked) < 300

    def test_a_jump_is_no_end(self) -> None:
        """The field changes its sign at 1: the state slides along there."""
        problem = Field(lambda s: torch.sign(1 - s) + 1e-3)
        solution = solve(problem, start([0.0]), AdaptiveFlow(max_steps=3))
        assert solution.outcome is Outcome.BUDGET and len(problem.asked) <= 1003
        assert abs(float(solution.state[0]) - 1) < 0.1


class TestProjection:
    def test_no_argument_and_no_state_leaves_the_interval(self) -> None:
        """At a tolerance at which, without projection, steps do."""
        network = nets.mlp(HardSigmoid(), gain=5.0)
        for bounded in (True, False):
            problem, state = free(network)
            asked: list[State] = []
            plain = problem.response
            problem.response = lambda s, plain=plain, asked=asked: asked.append(s) or plain(s)  # type: ignore[method-assign]
            if not bounded:
                problem.domain = lambda index: (-torch.inf, torch.inf)  # type: ignore[method-assign]
            relax = AdaptiveFlow(rtol=0.5, atol=0.5, time=3.0, max_steps=5, tolerance=0.0)
            asked.append(solve(problem, state, relax).state)
            inside = all(bool(((t >= 0) & (t <= 1)).all()) for state in asked for t in state.tensors[:-1])
            assert inside is bounded

    def test_an_output_that_is_held_beyond_the_bounds_of_its_units_stays_there(self) -> None:
        network = nets.mlp(HardSigmoid(), output=HardSigmoid(), norm=0.3)
        x, _ = nets.batch(network)
        target = torch.full((4, 3), 9.0, dtype=torch.float64)
        relax = AdaptiveFlow(tolerance=1e-6)
        settled = CoupledLearning(relax=relax, nudged=relax, beta=0.9).settle(network, x, target, nets.FROZEN)
        assert all(one.outcome is Outcome.CONVERGED for one in settled.solutions.values())
        assert float(settled.solutions["nudged"].state[-1].min()) > 7.0

    def test_differences_have_no_bounds(self) -> None:
        network = nets.mlp(HardSigmoid(), norm=0.4)
        x, target = nets.batch(network)
        ends = []
        for relax in (AdaptiveFlow(tolerance=1e-9), nets.once(200)):
            settler = EquilibriumPropagation(relax=relax, nudged=relax, freeze_mean=False, beta=0.3)
            settled = settler.settle(network, x, target, nets.FROZEN)
            ends.append([d for d in settled.delta if d is not None])  # type: ignore[attr-defined]
        assert distance(*ends) < 1e-7
        assert any(bool((d < 0).any()) for d in ends[0])


@pytest.mark.parametrize("method", [AdaptiveMethod.BOSH3, pytest.param(AdaptiveMethod.DOPRI8, marks=pytest.mark.slow)])
def test_the_contract(method: AdaptiveMethod) -> None:
    check_relaxation(AdaptiveFlow(method=method))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rtol", [1e-2, 1e-9])
def test_narrow_states(dtype: torch.dtype, rtol: float) -> None:
    """An rtol below their rounding asks for no more than that, and does not hold the path up."""
    network = nets.mlp(Tanh(), norm=0.5).to(torch.float32)
    x = nets.batch(network)[0].to(dtype)
    problem = SinglePhase(network, x, 1.0, Ledger())
    loose = 1e-5 if dtype is torch.float32 else 2e-2
    solution: Solution = solve(problem, problem.initial_state(), AdaptiveFlow(rtol=rtol, tolerance=loose))
    assert solution.outcome is Outcome.CONVERGED
    assert all(tensor.dtype == dtype for tensor in solution.state)


def test_in_inference_mode_and_with_a_tape() -> None:
    network = nets.mlp(Tanh(), norm=0.5)
    x, settler = nets.batch(network)[0], EquilibriumPropagation(relax=AdaptiveFlow(tolerance=1e-6))
    plain = settler.predict(network, x).output
    with torch.inference_mode():
        assert torch.equal(settler.predict(network, x.clone()).output, plain)
    with torch.enable_grad():
        assert torch.equal(settler.predict(network, x).output, plain)


def test_a_step_of_it_is_not_recorded_and_says_so_once() -> None:
    relax = AdaptiveFlow(max_steps=2)
    pair = Pair(NETWORKS["mlp"](), EquilibriumPropagation(relax=relax, nudged=relax), Contrast())
    with pytest.warns(UserWarning, match="this step stays plain: .*adaptive_flow: cannot be recorded") as said:
        pair.run(*batches(pair.plain, count=3))
    assert len(said) == 1 and pair.recorded == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("time", 0.0),
        ("time", float("inf")),
        ("rtol", 0.0),
        ("rtol", 1.0),
        ("atol", 0.0),
        ("max_evaluations", 0),
        ("method", "rk4"),
        ("method", "adaptive_heun"),
    ],
)
def test_ranges(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=field):
        from_dict(Relaxation, {"name": "adaptive_flow", field: value})
