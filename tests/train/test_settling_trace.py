"""The course of a settling: by hand, at its end, without a trace left behind, and in the records of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.analysis.gradient_alignment import gradient_alignment
from energy.analysis.settling_trace import settling_trace
from energy.command.figures import draw_folder
from energy.couplings import Dense
from energy.io.record import RECORD, read_lines
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import SquaredError
from energy.plots.settling import last_trace
from energy.potentials import HardSigmoid, Identity, ReLU, Tanh
from energy.relax import AdaptiveFlow, Flow, Sweep, Synchronous
from energy.relax.custom import EnergyProblem
from energy.relax.single_phase import PhaseNudge, SinglePhase
from energy.relax.solver import solve
from energy.rules import Contrast
from energy.rules.oja import Oja
from energy.settle import Backprop, DualPropagation, EnergyTwoPhase, EquilibriumPropagation, Feedforward, TwoPhase
from energy.state import State
from energy.testing.small import coding
from energy.train.fit import fit
from energy.train.run import Run, identity
from tests.program.cases import normalized
from tests.settle import nets

Maker = Callable[..., Run]
MOMENTUM = Sweep(max_steps=9, tolerance=0.0, momentum=0.9)


def traced(network: Network, settler: Any, **others: Any) -> dict[str, Any]:
    x, target = nets.batch(network)
    return settling_trace(network, settler, others.get("rule", Contrast()), nets.FROZEN, x, target)


def test_a_chain_of_two_layers_by_hand() -> None:
    """E = ½s₁² + ½s₂² − ⟨s₁, a₁⟩ − ⟨s₂, W₂s₁ + b₂⟩; a sweep sets s₂ to its response, and then s₁."""
    network = Network((2,))
    network.add(Dense(2, 3), HardSigmoid())
    network.add(Dense(3, 1), Identity())
    nets.draw(network, 0.5, 4, bias=0.4)
    first, second = (edge.coupling for edge in network.edges)
    x, target = nets.batch(network)[0], torch.ones(4, 1, dtype=torch.float64)
    settler = EquilibriumPropagation(relax=Sweep(max_steps=5, tolerance=0.0), nudged=Sweep(max_steps=2, tolerance=0.0))
    found = settling_trace(network, settler, Contrast(), SquaredError(), x, target)["phases"]["free"]

    w2, b2 = second.weight.detach(), second.bias.detach()  # type: ignore[union-attr, operator]
    a1 = (x @ first.weight.T + first.bias).detach()  # type: ignore[union-attr, operator]
    s1, s2 = a1.clamp(0, 1), a1.clamp(0, 1) @ w2.T + b2
    for step in range(5):
        s2 = s1 @ w2.T + b2
        s1 = (a1 + s2 @ w2).clamp(0, 1)
        energy = (s1.square().sum(1) + s2.square().sum(1)) / 2 - (s1 * a1).sum(1) - (s2 * (s1 @ w2.T + b2)).sum(1)
        residual = ((s1 @ w2.T + b2 - s2).norm(dim=1) / s2.norm(dim=1)).sort().values
        assert found["energy"][step] == pytest.approx(float(energy.mean()), rel=1e-12)
        assert found["residual_max"][step] == pytest.approx(float(residual[-1]), rel=1e-9)
        assert found["residual_median"][step] == pytest.approx(float(residual[1]), rel=1e-9)  # torch's, the lower one
    assert found["outcome"] == "fixed" and len(found["energy"]) == len(found["cosine"]) == 5


SETTLERS = {
    "momentum": EquilibriumPropagation(relax=MOMENTUM, nudged=MOMENTUM),
    "asked": EquilibriumPropagation(gamma=0.5),
    "free mean": EquilibriumPropagation(freeze_mean=False),
    "synchronous": EquilibriumPropagation(relax=Synchronous(tolerance=1e-3), nudged=Synchronous(tolerance=1e-3)),
    "flow": EquilibriumPropagation(relax=Flow(tolerance=0.05), nudged=AdaptiveFlow(tolerance=0.05, time=1.0)),
    "two phases": TwoPhase(),
    "forward": DualPropagation(nudged=nets.once(3)),
}


@pytest.mark.parametrize("name", SETTLERS)
def test_the_last_step_is_what_the_settler_returns(name: str) -> None:
    """Its energy, its number of steps, and the cosine that `gradient_alignment` measures; looking changes no path."""
    network, settler = nets.mlp(Tanh(), norm=0.5), SETTLERS[name]
    x, target = nets.batch(network)
    settled = settler.settle(network, x, target, nets.FROZEN)
    found = traced(network, settler)
    assert found["gamma"] == settler.gamma and found["samples"] == 4
    assert list(found["phases"]) == list(settled.solutions)
    angle = gradient_alignment(network, settler, Contrast(), nets.FROZEN, x, target)
    for phase, columns in found["phases"].items():
        solution = settled.solutions[phase]
        columns = dict(columns)
        assert columns.pop("outcome") == solution.outcome.name.lower()
        assert {len(column) for column in columns.values()} == {solution.taken}
        assert columns["cosine"][-1] == pytest.approx(angle["cosine_worst"], rel=1e-12)
    assert found["reference"] == angle["reference"]
    if "free" in settled.solutions:
        energy = network.energy(x, settled.solutions["free"].state, settler.gamma).mean().detach()
        assert found["phases"]["free"]["energy"][-1] == pytest.approx(float(energy), rel=1e-14)


def test_the_residual_is_that_of_the_solver() -> None:
    """Where a step does not set the layers to their responses itself, so that its look evaluates them."""
    network, settler = nets.mlp(Tanh(), norm=0.5), SETTLERS["flow"]
    solutions = settler.settle(network, *nets.batch(network), nets.FROZEN).solutions
    for phase, columns in traced(network, settler)["phases"].items():
        assert columns["residual_max"][-1] == pytest.approx(float(solutions[phase].residual.max()), rel=1e-12)


@pytest.mark.parametrize("field", ["relax", "nudged"])
def test_a_cosine_is_that_of_a_settler_with_so_many_steps(field: str) -> None:
    network, settler = nets.mlp(Tanh(), norm=0.6), SETTLERS["free mean"]
    x, target = nets.batch(network)
    found = traced(network, settler)["phases"]["free" if field == "relax" else "nudged"]["cosine"]
    wanted = []
    for steps in range(1, len(found) + 1):
        other = replace(settler, **{field: replace(getattr(settler, field), max_steps=steps)})
        wanted.append(gradient_alignment(network, other, Contrast(), nets.FROZEN, x, target)["cosine_worst"])
    assert found == pytest.approx(wanted, rel=1e-5)  # whose reference is settled from the same settler, not further
    assert len(found) > 2 and found[0] < found[-1]


def test_phases_of_one_relaxation_stop_together() -> None:
    found = traced(nets.mlp(Tanh(), norm=0.5), SETTLERS["two phases"])["phases"]
    shorter = min(len(found[name]["cosine"]) for name in ("nudged", "nudged_down"))
    assert found["nudged"]["cosine"][:shorter] == found["nudged_down"]["cosine"][:shorter]


class TestEnergies:
    """At the end of a solve the gradient of what its flow descends vanishes, and nothing else's does."""

    @pytest.mark.parametrize("gamma", [0.3, 1.0])
    @pytest.mark.parametrize("how", [nets.FROZEN, nets.PROXIMAL], ids=["frozen", "proximal"])
    @pytest.mark.parametrize("sign", [None, -1.0])
    def test_of_a_nudged_phase(self, sign: float | None, how: SquaredError, gamma: float) -> None:
        network = nets.mlp(Tanh(), norm=0.4)
        x, target = nets.batch(network)
        still = target * 0.3 if how is nets.FROZEN else None
        turned = None if sign is None else torch.tensor(sign, dtype=torch.float64)
        nudge = PhaseNudge(0.5, how, target, still, turned)
        problem = SinglePhase(network, x, gamma, Ledger(), nudge=nudge)
        end = solve(problem, problem.initial_state(), Sweep(max_steps=500, tolerance=1e-14)).state
        self._vanishes(problem, end)

    @pytest.mark.parametrize("nudged", [True, False])
    def test_of_an_energy_of_ones_own(self, nudged: bool) -> None:
        x, target = torch.randn(3, 2, dtype=torch.float64), torch.ones(3, 2, dtype=torch.float64)
        nudge = PhaseNudge(0.5, SquaredError(), target) if nudged else None
        problem = EnergyProblem(lambda x, s, _: (s[0] - x.tanh()).square().sum(1), x, {}, nudge=nudge)
        end = solve(problem, State([x]), Synchronous(damping=0.7, max_steps=300, tolerance=1e-14)).state
        self._vanishes(problem, end)

    def _vanishes(self, problem: Any, end: State) -> None:
        for point, least, most in ((end, 0, 1e-12), (end * 1.1, 1e-3, 1e3)):
            leaves = [tensor.detach().clone().requires_grad_() for tensor in point]
            slopes = torch.autograd.grad(problem.energies(State(leaves)).sum(), leaves)
            assert least <= max(float(slope.abs().max()) for slope in slopes) <= most

    def test_there_is_none_for_a_live_nudge_of_a_layer(self) -> None:
        """Its gradient is taken at f(a), which is not the state that it leads to."""
        network = nets.mlp(Tanh(), norm=0.4)
        x, target = nets.batch(network)
        problem = SinglePhase(network, x, 1.0, Ledger(), nudge=PhaseNudge(0.5, nets.LIVE, target))
        end = solve(problem, problem.initial_state(), Sweep(max_steps=500, tolerance=1e-14)).state
        assert problem.energies(end) is None
        plain = SinglePhase(network, x, 1.0, Ledger(), nudge=PhaseNudge(0.5, nets.PROXIMAL, target))
        with pytest.raises(AssertionError):
            self._vanishes(plain, end)

    def test_there_is_none_without_feedback_or_for_a_dyad(self) -> None:
        network = nets.mlp(Tanh(), norm=0.5)
        problem = SinglePhase(network, nets.batch(network)[0], 0.0, Ledger())
        assert problem.energies(problem.initial_state()) is None
        assert set(traced(network, EquilibriumPropagation())["phases"]["nudged"]["energy"]) == {None}

    def test_they_fall(self) -> None:
        network = coding()
        x, target = nets.batch(network)
        found = settling_trace(network, EnergyTwoPhase(), Contrast(), SquaredError(), x, target)["phases"]
        for columns in found.values():
            assert columns["energy"] == sorted(columns["energy"], reverse=True)


def test_nothing_is_changed() -> None:
    """Weights, buffers (a batch norm's statistics among them), gradients, and the state of every generator."""
    network = normalized()
    x, target = nets.batch(network)
    settler = EquilibriumPropagation(relax=Sweep(max_steps=6), nudged=Sweep(max_steps=3))
    settler.settle(network, x, target, nets.FROZEN)
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    generator = torch.get_rng_state()
    found = settling_trace(network, settler, Contrast(), nets.FROZEN, x, target)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(bool((p.grad == 7.0).all()) for p in network.parameters() if p.grad is not None)
    assert torch.equal(torch.get_rng_state(), generator)
    assert found["phases"]["free"]["residual_max"][0] is None  # its next pass would depend on this one
    assert found["phases"]["free"]["energy"][0] is not None


def test_it_is_json_even_where_activity_has_no_bound() -> None:
    network = nets.mlp(ReLU(), gain=9.0)
    found = traced(network, EquilibriumPropagation(relax=Sweep(max_steps=300, tolerance=1e-3)))
    assert found["phases"]["free"]["outcome"] == "diverged"
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_settles_by_no_relaxation_has_no_phases() -> None:
    network = nets.mlp(Tanh(), norm=0.5)
    assert traced(network, Backprop()) == {"gamma": 0.0, "samples": 4, "reference": {}, "phases": {}}


def test_a_rule_that_does_not_descend_has_no_cosine() -> None:
    network = nets.mlp(Tanh(), norm=0.5)
    found = traced(network, DualPropagation(nudged=nets.once(2)), rule=Oja())
    assert found["phases"]["nudged"]["cosine"] == [None, None] and found["reference"] == {}
    assert traced(network, Feedforward(), rule=Oja())["phases"] == {}


EQUILIBRIUM = {"name": "equilibrium_propagation"}


class TestRun:
    def test_the_record_has_it_in_the_epochs_that_trace(self, make_run: Maker) -> None:
        run = make_run(settler=EQUILIBRIUM, train={"epochs": 3, "trace_every": 2, "probe_every": 0})
        fit(run)
        lines = read_lines(run.folder / RECORD)
        assert ["settling_trace" in line for line in lines] == [True, False, True]
        trace = lines[-1]["settling_trace"]
        assert trace["samples"] == 8 and list(trace["phases"]) == ["free", "nudged"]
        assert last_trace(lines) == (2, trace)
        drawn = [path.name for path in draw_folder(run.folder)]
        assert "settling.png" in drawn and (run.folder / "settling.png").stat().st_size > 10_000

    def test_it_is_no_part_of_the_numbers(self, make_run: Maker, final_tensors: Callable[[Run], bytes]) -> None:
        runs = [make_run(f"every{n}", settler=EQUILIBRIUM, train={"trace_every": n}) for n in (0, 1)]
        for run in runs:
            fit(run)
        assert final_tensors(runs[0]) == final_tensors(runs[1])
        assert identity(runs[0]) == identity(runs[1])
        assert all("settling_trace" not in line for line in read_lines(runs[0].folder / RECORD))

    def test_there_is_no_figure_without_one(self, make_run: Maker) -> None:
        run = make_run(settler={"name": "backprop"}, train={"epochs": 1, "trace_every": 1})
        fit(run)
        lines = read_lines(run.folder / RECORD)
        assert lines[0]["settling_trace"]["phases"] == {} and last_trace(lines) is None
        assert "settling.png" not in [path.name for path in draw_folder(run.folder)]


def test_a_picture_of_any_trace(tmp_path: Path) -> None:
    """One step, no energy, residuals of zero, and no cosine."""
    from energy.plots.settling import draw_settling

    columns: dict[str, Any] = {"energy": [None], "residual_median": [0.0], "residual_max": [0.0], "cosine": [None]}
    trace = {"gamma": 0.0, "samples": 1, "phases": {"nudged": {"outcome": "fixed", **columns}}}
    assert draw_settling(trace, tmp_path / "one.svg").read_text().count("<svg") == 1
