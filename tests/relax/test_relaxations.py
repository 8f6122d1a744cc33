"""Ways down the energy: one equilibrium, an energy that does not rise, an honest end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError, from_dict
from energy.couplings import Dense
from energy.ledger import Ledger
from energy.network import Network
from energy.potentials import HardSigmoid, Identity, Potential, ReLU, Sigmoid, Tanh
from energy.relax.adaptive_flow import AdaptiveFlow, AdaptiveMethod
from energy.relax.anderson import Anderson
from energy.relax.flow import Flow, Method
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Outcome, Solution
from energy.relax.solver import solve
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.zebra import Zebra
from energy.settle.dyadic import EquilibriumPropagation
from energy.settle.settled import SettledDyad
from energy.settle.settler import solve_layers
from energy.state import State
from tests.relax.newton import NewtonKrylov
from tests.settle import nets
from tests.settle.oracles import equilibrium, gap

TIGHT: dict[str, Any] = {"max_steps": 500, "tolerance": 1e-13, "check_every": 5}
RELAXATIONS: dict[str, Relaxation] = {
    "sweep": Sweep(**TIGHT),
    "momentum": Sweep(**TIGHT, momentum=0.8),
    "zebra": Zebra(**TIGHT),
    "anderson": Anderson(**TIGHT),
    "newton": NewtonKrylov(**TIGHT),
    "synchronous": Synchronous(**TIGHT),
    "damped": Synchronous(**TIGHT, damping=0.5),
    "flow": Flow(**TIGHT, time=1.0),
    "euler": Flow(**TIGHT, method=Method.EULER),
    "adaptive": AdaptiveFlow(**TIGHT, method=AdaptiveMethod.BOSH3),
}
NETWORKS: dict[str, Callable[[], Network]] = {
    "mlp": lambda: nets.mlp(Tanh(), norm=0.5),
    "hard": lambda: nets.mlp(HardSigmoid(), norm=0.5),
    "graph": lambda: nets.skips(Sigmoid(), norm=0.8),
    "average": lambda: nets.cnn(HardSigmoid(), nets.POOLS["average"], norm=0.5),
    "max": lambda: nets.cnn(Tanh(), nets.POOLS["max"], norm=0.4),
    "curved": lambda: nets.curved(Tanh(), norm=0.7),
    "readout": lambda: nets.mlp(Tanh(), norm=0.5, readout=True),
}


def free(network: Network, relax: Relaxation, gamma: float = 1.0, samples: int = 4) -> Solution:
    problem = SinglePhase(network, nets.batch(network, samples)[0], gamma, Ledger())
    return solve(problem, problem.initial_state(), relax)


class TestAgreement:
    @pytest.mark.thinned(by=3)
    @pytest.mark.parametrize("gamma", [0.3, 1.0])
    @pytest.mark.parametrize("relax", RELAXATIONS.values(), ids=RELAXATIONS)
    @pytest.mark.parametrize("name", NETWORKS)
    def test_every_relaxation_reaches_the_equilibrium(self, name: str, relax: Relaxation, gamma: float) -> None:
        network = NETWORKS[name]()
        solution = free(network, relax, gamma)
        assert solution.outcome is Outcome.CONVERGED
        for found, wanted in zip(solution.state, equilibrium(network, nets.batch(network)[0], gamma), strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=2e-12)

    @pytest.mark.thinned(by=4)
    @pytest.mark.parametrize("relax", [r for n, r in RELAXATIONS.items() if n != "sweep"], ids=lambda r: r.name)
    @pytest.mark.parametrize("freeze_mean", [False, True])
    @pytest.mark.parametrize("name", ["mlp", "graph", "max", "curved", "readout"])
    def test_and_the_same_dyad(self, name: str, freeze_mean: bool, relax: Relaxation) -> None:
        network = NETWORKS[name]()
        x, target = nets.batch(network)
        ends = []
        for way in (relax, RELAXATIONS["sweep"]):
            settler = EquilibriumPropagation(beta=0.3, relax=way, nudged=way, freeze_mean=freeze_mean)
            settled = settler.settle(network, x, target, nets.FROZEN)
            assert isinstance(settled, SettledDyad)
            assert settled.solutions["nudged"].outcome is Outcome.CONVERGED
            ends.append([*settled.mean, *(d for d in settled.delta if d is not None)])
        assert gap(ends[0], ends[1]) < 1e-11

    def test_a_relaxation_of_ones_own(self) -> None:
        """Heavy-ball momentum in the form the README shows: `problem.response` is all it needs."""

        class HeavyBall(Relaxation, name=""):
            momentum: float = 0.2

            def step(self, problem: Problem, state: State, memory: State | None) -> tuple[State, State]:
                push = problem.response(state) - state
                velocity = push if memory is None else push + memory * self.momentum
                return state + velocity * 0.5, velocity

        network = NETWORKS["mlp"]()
        solution = free(network, HeavyBall(**TIGHT))
        assert solution.outcome is Outcome.CONVERGED
        assert gap(list(solution.state), equilibrium(network, nets.batch(network)[0], 1.0)) < 1e-11

    def test_at_equilibrium_the_gradient_of_the_energy_vanishes(self) -> None:
        """Optimality, from `Network.energy` alone, at any γ (units inside their bounds)."""
        for gamma in (0.3, 1.0):
            network = nets.mlp(Tanh(), norm=0.5)
            state = State(s.clone().requires_grad_() for s in free(network, RELAXATIONS["sweep"], gamma).state)
            energy = network.energy(nets.batch(network)[0], state, gamma).sum()
            for gradient in torch.autograd.grad(energy, list(state)):
                assert float(gradient.abs().max()) < 1e-12


def energies(network: Network, relax: Relaxation, gamma: float, steps: int, start: State | None = None) -> Tensor:
    """E after every step: (steps + 1, B)."""
    x = nets.batch(network)[0]
    problem = SinglePhase(network, x, gamma, Ledger())
    state = problem.initial_state() if start is None else start
    values, memory = [network.energy(x, state, gamma)], None
    with torch.no_grad():
        for _ in range(steps):
            state, memory = relax.step(problem, state, memory)
            values.append(network.energy(x, state, gamma))
    return torch.stack([v.detach() for v in values])


class TestEnergy:
    @pytest.mark.thinned(by=3)
    @pytest.mark.parametrize("relax", [Sweep(), Zebra()], ids=["sweep", "zebra"])
    @pytest.mark.parametrize("hidden", [HardSigmoid(), Tanh(), Sigmoid()], ids=lambda p: p.name)
    @pytest.mark.parametrize("gamma", [0.5, 1.0])
    @pytest.mark.parametrize("gain", [0.6, 1.5, 4.0])
    def test_it_never_rises_without_max_pooling(
        self, gain: float, gamma: float, hidden: Potential, relax: Relaxation
    ) -> None:
        """Each visit minimises E over that layer exactly, contracting or not, from any start."""
        stream = torch.Generator().manual_seed(3)
        for make in (nets.mlp, nets.skips, lambda h, gain: nets.cnn(h, nets.POOLS["average"], gain=gain)):
            network = make(hidden, gain=gain)
            noise = [torch.randn(4, *layer.shape, generator=stream, dtype=torch.float64) for layer in network.layers]
            start = State(map(hidden.response, noise))
            for begin in (None, start):
                values = energies(network, relax, gamma, 25, begin)
                assert bool((values.diff(dim=0) <= 1e-12 * values.abs().amax().clamp_min(1)).all())
                assert bool((values[-1] < values[0]).all())

    def test_with_max_pooling_rises_are_possible_and_are_counted_here(self) -> None:
        """The feedback through fixed switches minimises a bound of E, not E: most steps descend, and a rise is no
        error."""
        rises = steps = 0
        for seed in range(3):
            for gain in (0.5, 1.0, 2.0):
                network = nets.cnn(HardSigmoid(), nets.POOLS["max"], gain=gain, seed=seed)
                change = energies(network, Sweep(), 1.0, 20).diff(dim=0)
                rises, steps = rises + int((change > 1e-12).sum()), steps + change.numel()
        assert steps == 9 * 20 * 4
        assert rises / steps < 0.05


class TestOutcomes:
    def test_samples_converge_one_by_one(self) -> None:
        """A sample at rest from the start converges at the first look; the harder one later; residuals are of each
        alone."""
        network = nets.mlp(Tanh(), norm=0.6, bias=0.0)
        x = nets.batch(network, samples=2)[0]
        x[0] = 0  # with no bias the zero state is its equilibrium
        relax = Sweep(max_steps=200, tolerance=1e-6, check_every=1)
        problem = SinglePhase(network, x, 1.0, Ledger())
        solution = solve_layers(problem, problem.initial_state(), relax)
        assert solution.outcome is Outcome.CONVERGED
        assert solution.steps[0] == 1 < solution.steps[1]
        assert solution.residual[0] == 0 < solution.residual[1] <= 1e-6
        alone = SinglePhase(network, x[1:], 1.0, Ledger())
        other = solve(alone, alone.initial_state(), relax)
        assert other.steps[0] == solution.steps[1]
        assert problem.ledger.sweeps["free"] == solution.taken == int(solution.steps.max())

    def test_the_budget_ends_honestly(self) -> None:
        solution = free(nets.mlp(Tanh(), norm=0.6), Sweep(max_steps=3, tolerance=1e-12, check_every=2))
        assert solution.outcome is Outcome.BUDGET
        assert not solution.converged.any()
        assert bool((solution.residual > 1e-12).all())
        assert bool((solution.steps == 3).all())
        assert "budget" in str(solution)

    def test_a_budget_that_only_some_samples_needed(self) -> None:
        network = nets.mlp(Tanh(), norm=0.6, bias=0.0)
        x = nets.batch(network, samples=3)[0]
        x[1] = 0
        problem = SinglePhase(network, x, 1.0, Ledger())
        solution = solve(problem, problem.initial_state(), Sweep(max_steps=4, tolerance=1e-12))
        assert solution.outcome is Outcome.BUDGET
        assert solution.converged.tolist() == [False, True, False]

    def test_a_fixed_number_of_steps_makes_no_claim(self) -> None:
        solution = free(nets.mlp(Tanh(), norm=0.6), Sweep(max_steps=7, tolerance=0.0))
        assert solution.outcome is Outcome.FIXED
        assert bool(solution.residual.isnan().all())
        assert not solution.converged.any()

    @pytest.mark.parametrize("relax", RELAXATIONS.values(), ids=RELAXATIONS)
    def test_the_residual_is_response_minus_state(self, relax: Relaxation) -> None:
        """At convergence the true residual, recomputed from J, is as small as was asked, for every relaxation."""
        network = NETWORKS["hard"]()
        x = nets.batch(network)[0]
        loose = type(relax)(max_steps=500, tolerance=1e-5, check_every=3)
        solution = free(network, loose)
        assert solution.outcome is Outcome.CONVERGED
        drives = network.drive(x, solution.state)
        for layer, drive, state in zip(network.layers, drives, solution.state, strict=True):
            change = (layer.potential.response(drive) - state).flatten(1).norm(dim=1)
            assert bool((change <= 1.2e-5 * state.flatten(1).norm(dim=1).clamp_min(1e-12)).all())

    @pytest.mark.parametrize(
        "relax",
        [
            Sweep(),
            Zebra(),
            Synchronous(),
            Synchronous(damping=0.5),
            Flow(),
            AdaptiveFlow(),
            Sweep(max_steps=60, tolerance=0.0),
        ],
        ids=lambda r: f"{r.name}-{r.tolerance:g}",
    )
    def test_units_without_a_bound_and_strong_couplings_diverge_and_name_the_layer(self, relax: Relaxation) -> None:
        """ReLU with W > 0 and ‖W‖ > 1: J is positive and expanding, so there is no equilibrium at γ = 1."""
        network = Network((3,))
        network.add(Dense(3, 4), ReLU(), name="first")
        network.add(Dense(4, 4), ReLU(), name="second")
        network.add(Dense(4, 2), Identity(), name="output")
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(1.0 if parameter.ndim > 1 else 0.0)
        problem = SinglePhase(network, torch.ones(2, 3), 1.0, Ledger())
        solution = solve(problem, problem.initial_state(), relax)
        assert solution.outcome is Outcome.DIVERGED
        assert solution.layer in {"first", "second", "output"}
        assert solution.layer in str(solution)
        assert not solution.converged.any()

    def test_a_dyad_that_diverges_names_a_layer_too(self) -> None:
        network = nets.mlp(ReLU(), gain=4.0)
        x, target = nets.batch(network)
        settled = EquilibriumPropagation().settle(network, x, target, nets.FROZEN)
        assert settled.solutions["free"].outcome is Outcome.DIVERGED
        assert settled.solutions["nudged"].outcome is Outcome.DIVERGED
        assert settled.solutions["nudged"].layer.startswith("layer")

    def test_one_sample_that_diverges_does_not_pass_for_convergence(self) -> None:
        network = nets.mlp(ReLU(), gain=4.0, bias=0.0)
        x = nets.batch(network, samples=3)[0]
        x[:2] = 0
        problem = SinglePhase(network, x, 1.0, Ledger())
        solution = solve(problem, problem.initial_state(), Sweep(max_steps=400))
        assert solution.outcome is Outcome.DIVERGED
        assert not bool(solution.converged[2])

    def test_a_sample_does_not_depend_on_its_neighbors(self) -> None:
        network = NETWORKS["max"]()
        relax = Sweep(max_steps=15, tolerance=0.0)
        whole = free(network, relax).state
        problem = SinglePhase(network, nets.batch(network)[0][2:3], 1.0, Ledger())
        alone = solve(problem, problem.initial_state(), relax).state
        assert gap(list(alone), [s[2:3] for s in whole]) < 1e-14


class TestRanges:
    @pytest.mark.parametrize("kind", [Sweep, Zebra, Synchronous, Flow, AdaptiveFlow])
    @pytest.mark.parametrize(
        ("field", "value"),
        [("max_steps", 0), ("tolerance", -1e-3), ("tolerance", 1.0), ("tolerance", math.nan), ("check_every", 0)],
    )
    def test_common_fields(self, kind: type[Relaxation], field: str, value: float) -> None:
        with pytest.raises(ConfigurationError, match=field):
            from_dict(Relaxation, {"name": kind.name, field: value})

    @pytest.mark.parametrize(
        ("kind", "field", "value"),
        [
            (Synchronous, "damping", 1.0),
            (Synchronous, "damping", -0.1),
            (Flow, "time", 0.0),
            (Flow, "time", math.nan),
        ],
    )
    def test_their_own_fields(self, kind: type[Relaxation], field: str, value: float) -> None:
        with pytest.raises(ConfigurationError, match=field):
            from_dict(Relaxation, {"name": kind.name, field: value})


def test_the_first_half_sweep_after_a_bottom_up_start_changes_nothing_and_costs_nothing() -> None:
    network = NETWORKS["mlp"]()
    problem = SinglePhase(network, nets.batch(network)[0], 1.0, Ledger())
    state = problem.initial_state()
    spent = problem.ledger.multiply_adds
    assert problem.bottom_up(state) is state
    problem.receive_from_below(state, 1)
    again = state.replace(problem.update(1))
    assert all(torch.equal(a, b) for a, b in zip(state, again, strict=True))
    assert problem.ledger.multiply_adds == spent  # the input is heard once


def test_layers_of_one_color_are_never_joined() -> None:
    network = nets.skips(Tanh())
    problem = SinglePhase(network, nets.batch(network)[0], 1.0, Ledger())
    for layers in problem.colors:
        assert not any(e.source in layers and e.target in layers for e in network.edges)
    assert sorted(k for layers in problem.colors for k in layers) == [1, 2, 3, 4]
    chain = nets.mlp(Tanh())
    assert SinglePhase(chain, nets.batch(chain)[0], 1.0, Ledger()).colors == [[1, 3], [2, 4]]


class TestFlow:
    """One step against torchdiffeq's own integrators, whose tableaux these are."""

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    @pytest.mark.parametrize("method", Method)
    @pytest.mark.parametrize("name", NETWORKS)
    def test_a_step_is_torchdiffeqs(self, name: str, method: Method, dtype: torch.dtype) -> None:
        from torchdiffeq import odeint

        network = NETWORKS[name]().to(dtype)
        x = nets.batch(network)[0].to(dtype)
        problem = SinglePhase(network, x, 0.7, Ledger())
        with torch.no_grad():
            start = problem.initial_state() * 0.5

            def velocity(_: Tensor, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
                now = State(tensors)
                return (problem.response(now) - now).tensors

            span = torch.tensor([0.0, 0.4], dtype=dtype)
            wanted = odeint(velocity, tuple(t.contiguous() for t in start), span, method=method.value)
            found, _ = Flow(time=0.4, method=method).step(problem, start, None)
        for mine, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(
                mine, theirs[-1], rtol=4 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps
            )

    @pytest.mark.parametrize(("method", "order"), [(Method.EULER, 1), (Method.MIDPOINT, 2), (Method.RK4, 4)])
    def test_their_orders(self, method: Method, order: int) -> None:
        """Of a linear flow ṡ = W s + b − s, whose solution is an exponential: the error falls as time^order."""
        network = nets.mlp(Identity(), norm=0.5)
        x = nets.batch(network)[0]
        problem = SinglePhase(network, x, 1.0, Ledger())
        ends = []
        with torch.no_grad():
            start = problem.initial_state() * 0.0
            for steps in (8, 16, 128):  # by the method of fourth order, at 128
                state, flow = start, Flow(time=1 / steps, method=method if steps < 128 else Method.RK4)
                for _ in range(steps):
                    state, _ = flow.step(problem, state, None)
                ends.append(torch.cat([t.flatten(1) for t in state], 1))
        ratio = float((ends[0] - ends[2]).norm() / (ends[1] - ends[2]).norm())
        assert ratio == pytest.approx(2**order, rel=0.15)

    @pytest.mark.parametrize("time", [math.inf, -1.0])
    def test_a_step_is_finite(self, time: float) -> None:
        with pytest.raises(ConfigurationError, match=r"flow\.time"):
            Flow(time=time)
