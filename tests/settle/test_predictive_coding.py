"""Predictive coding beside back-propagation: limits, and where it is exact."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from energy.network import Network
from energy.objectives import Objective
from energy.potentials import Identity, Potential, ReLU, Sigmoid, Tanh
from energy.relax.predictive import SiteUpdate
from energy.relax.predictive_states import predictive_energy
from energy.relax.relaxation import Relaxation
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.zebra import Zebra
from energy.rules.contrast import Contrast
from energy.settle.predictive_coding import ErrorPredictiveCoding, PredictiveCoding
from energy.settle.predictive_ep import PredictiveCodingEP
from energy.settle.settled import SettledDyad
from energy.settle.two_phase import PhaseContrast
from energy.state import State
from tests.settle import nets
from tests.settle.oracles import autograd, cosines, flatten, gap, learn, slope

LONG = Sweep(max_steps=500, tolerance=1e-14, check_every=10)
NETWORKS = {
    "mlp": lambda hidden: nets.mlp(hidden, gain=0.8),
    "cnn": lambda hidden: nets.cnn(hidden, nets.POOLS["max"], gain=0.8),
    "graph": lambda hidden: nets.skips(hidden, gain=0.7),
    "curved": lambda hidden: nets.curved(hidden, gain=0.8),
}
OBJECTIVES = {"proximal": nets.PROXIMAL, "frozen": nets.FROZEN, "live": nets.LIVE, "cross_entropy": nets.CROSS}
every_network = pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
every_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
ONE_SIGN = (PhaseContrast.POSITIVE, PhaseContrast.NEGATIVE, PhaseContrast.RANDOM_SIGN)


def sweeps(steps: int) -> Sweep:
    return Sweep(max_steps=steps, tolerance=0.0)


def error(network: Network, objective: Objective, **fields: Any) -> float:
    x, target = nets.batch(network)
    settler = PredictiveCodingEP(**fields)
    return gap(learn(settler, network, x, target, objective), autograd(network, x, target, objective))


@pytest.mark.thinned(by=3)
@every_objective
@every_network
def test_ep_meets_back_propagation_with_order_one_or_two(build: nets.Build, objective: Objective) -> None:
    network, betas = build(Sigmoid()), (1e-2, 3e-3, 1e-3)
    for kind in PhaseContrast:
        order = 2 if kind is PhaseContrast.CENTERED else 1
        found = [error(network, objective, kind=kind, beta=beta, nudged=LONG) for beta in betas]
        assert slope(dict(zip(betas, found, strict=True)).__getitem__, betas) == pytest.approx(order, abs=0.15)
        assert found[-1] < (1e-4 if order == 2 else 1e-2)


@pytest.mark.parametrize("site", SiteUpdate)
@every_network
def test_rectified_units_meet_back_propagation_too(build: nets.Build, site: SiteUpdate) -> None:
    network = build(ReLU())
    assert error(network, nets.CROSS, beta=1e-7, site=site, nudged=LONG) < 1e-6


@pytest.mark.parametrize("kind", ONE_SIGN)
def test_a_sweep_less_than_the_equilibrium_has_the_same_limit(kind: PhaseContrast) -> None:
    network = nets.skips(Tanh())
    assert slope(lambda b: error(network, nets.FROZEN, kind=kind, beta=b, nudged=sweeps(1)), (1e-3, 1e-5)) > 0.9


@every_network
def test_the_contrast_is_the_gradient_of_the_nudged_energy(build: nets.Build) -> None:
    network = build(Tanh())
    x, target = nets.batch(network)
    settler = PredictiveCodingEP(kind=PhaseContrast.POSITIVE, beta=0.2, nudged=LONG, site=SiteUpdate.PROJECTED)
    settled = settler.settle(network, x, target, nets.PROXIMAL)
    assert isinstance(settled, SettledDyad)
    with torch.enable_grad():
        energy = predictive_energy(network, x, settled.mean).sum() / 0.2
        wanted = torch.autograd.grad(energy, list(network.parameters()))
    assert gap(Contrast().gradients(network, settled), wanted) < 1e-9


@every_network
def test_that_gradient_is_of_the_nudged_minimum_of_the_energy(build: nets.Build) -> None:
    """dL_β/dθ by finite differences of the minimum, L_β = [E + βC]/β at s^β."""
    network, beta = build(Tanh()), 0.2
    x, target = nets.batch(network)
    settler = PredictiveCodingEP(kind=PhaseContrast.POSITIVE, beta=beta, nudged=LONG)

    def minimum() -> float:
        settled = settler.settle(network, x, target, nets.PROXIMAL)
        assert isinstance(settled, SettledDyad)
        energy = predictive_energy(network, x, settled.mean) / beta
        return float((energy + nets.PROXIMAL.value(settled.mean[-1], target)).sum())

    gradient = flatten(learn(settler, network, x, target, nets.PROXIMAL))
    parameter, step = next(network.parameters()), 1e-5
    with torch.no_grad():
        for at in (0, 7):
            values = []
            for move in (step, -2 * step):
                parameter.view(-1)[at] += move
                values.append(minimum())
            parameter.view(-1)[at] += step
            assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(gradient[at]), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("relax", [Sweep(max_steps=3, tolerance=0.0), Zebra(max_steps=4, tolerance=0.0)])
def test_centered_is_the_mean_of_both_signs(relax: Relaxation) -> None:
    network = nets.cnn(ReLU(), nets.POOLS["max"])
    x, target = nets.batch(network)
    one, other, both = (
        learn(PredictiveCodingEP(kind=kind, nudged=relax), network, x, target, nets.PROXIMAL)
        for kind in (PhaseContrast.POSITIVE, PhaseContrast.NEGATIVE, PhaseContrast.CENTERED)
    )
    assert gap(both, [(a + b) / 2 for a, b in zip(one, other, strict=True)]) < 1e-14


def test_the_random_sign_is_one_of_the_two_and_takes_both() -> None:
    network, seen = nets.mlp(ReLU()), set[int]()
    for seed in range(12):
        x, target = nets.batch(network, seed=seed)
        drawn, *fixed = (
            learn(PredictiveCodingEP(kind=kind, beta=0.2), network, x, target, nets.PROXIMAL)
            for kind in (PhaseContrast.RANDOM_SIGN, PhaseContrast.POSITIVE, PhaseContrast.NEGATIVE)
        )
        gaps = [gap(drawn, one) for one in fixed]
        assert min(gaps) < 1e-14 < 1e-6 < max(gaps)
        seen.add(gaps.index(min(gaps)))
    assert seen == {0, 1}


@every_objective
@every_network
@pytest.mark.parametrize("hidden", [ReLU(), Tanh()])
def test_one_step_of_errors_is_back_propagation(build: nets.Build, hidden: Potential, objective: Objective) -> None:
    network = build(hidden)
    x, target = nets.batch(network)
    wanted = autograd(network, x, target, objective)
    for beta, rate in itertools.product((1.0, 0.05), (1.0, 0.3)):
        settler = ErrorPredictiveCoding(beta=beta, rate=rate, nudged=sweeps(1))
        for one, other in zip(learn(settler, network, x, target, objective), wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@every_network
def test_further_steps_of_errors_have_the_length_of_the_gradient(build: nets.Build) -> None:
    network = build(Sigmoid())
    x, target = nets.batch(network)
    wanted = autograd(network, x, target, nets.LIVE)
    for steps, rate in ((2, 0.3), (5, 0.5), (7, 1.0)):
        nudged = sweeps(steps)

        def bias(beta: float, rate: float = rate, nudged: Sweep = nudged) -> float:
            settler = ErrorPredictiveCoding(beta=beta, rate=rate, nudged=nudged)
            return gap(learn(settler, network, x, target, nets.LIVE), wanted)

        assert slope(bias, (1e-2, 1e-4)) == pytest.approx(1.0, abs=0.1)


@every_network
def test_errors_and_ep_end_in_the_same_contrast(build: nets.Build) -> None:
    network = build(Tanh())
    x, target = nets.batch(network)
    fields = {"kind": PhaseContrast.POSITIVE, "site": SiteUpdate.UNCONSTRAINED, "nudged": LONG}
    wanted = learn(PredictiveCodingEP(beta=0.3, **fields), network, x, target, nets.FROZEN)
    found = learn(ErrorPredictiveCoding(beta=0.3, rate=0.8, nudged=LONG), network, x, target, nets.FROZEN)
    assert gap(found, wanted) < 1e-10


def clamped_products(network: Network, x: Tensor, target: Tensor, steps: int, rate: float) -> list[Tensor]:
    """∂E/∂θ after gradient steps in the activities by autograd, the output held at the target."""
    state = State([*list(network.activity(x).map(Tensor.detach))[:-1], target])
    with torch.enable_grad():
        for _ in range(steps):
            leaves = [tensor.detach().requires_grad_() for tensor in state]
            found = torch.autograd.grad(predictive_energy(network, x, State(leaves)).sum(), leaves)
            moves = [*found[:-1], torch.zeros_like(target)]
            state = State(one.detach() - rate * move for one, move in zip(leaves, moves, strict=True))
        return list(torch.autograd.grad(predictive_energy(network, x, state).sum(), list(network.parameters())))


@every_network
def test_the_classical_method_is_gradient_descent_of_the_energy(build: nets.Build) -> None:
    network = build(Tanh())
    x, target = nets.batch(network)
    for steps, rate in ((1, 0.2), (6, 0.1)):
        nudged = Synchronous(damping=1 - rate, max_steps=steps, tolerance=0.0)
        found = learn(PredictiveCoding(nudged=nudged), network, x, target, nets.PROXIMAL)
        assert gap(found, clamped_products(network, x, target, steps, rate)) < 1e-12


def test_short_first_steps_have_the_directions_of_back_propagation() -> None:
    """After T steps of length η → 0 the errors of layer L − j are those of back-propagation times binom(T, j) η^j."""
    network, steps, rate = nets.mlp(Tanh()), 5, 1e-4
    x, target = nets.batch(network)
    nudged = Synchronous(damping=1 - rate, max_steps=steps, tolerance=0.0)
    found = learn(PredictiveCoding(nudged=nudged), network, x, target, nets.PROXIMAL)
    wanted = autograd(network, x, target, nets.PROXIMAL)
    assert min(cosines(network, found, wanted)) > 1 - 1e-6
    weights = [(a, b) for a, b in zip(found, wanted, strict=True) if a.ndim == 2]
    for j, (one, other) in enumerate(reversed(weights)):
        share = math.comb(steps, j) * rate**j
        assert float(one.norm() / other.norm()) == pytest.approx(share, rel=1e-2)


def test_fixed_predictions_give_the_errors_of_back_propagation() -> None:
    """ε_k = J_{k+1}ᵀ ε_{k+1} with all predictions and slopes held: the first pass down of the errors."""
    network = nets.mlp(Tanh())
    x, target = nets.batch(network)
    settled = ErrorPredictiveCoding(nudged=sweeps(1)).settle(network, x, target, nets.PROXIMAL)
    assert isinstance(settled, SettledDyad)
    with torch.enable_grad():
        states = [x]
        drives = []
        for coupling, layer in zip(network.couplings, network.layers, strict=True):
            drives.append(coupling(states[-1]))
            states.append(layer.potential.response(drives[-1]))
        wanted = torch.autograd.grad(-nets.PROXIMAL.value(states[-1], target).sum(), drives)
    for one, other in zip(settled.delta, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_a_clamped_linear_network_shares_the_error_out() -> None:
    """At the minimum ε_L = (1 + Σ_k J_k J_kᵀ)⁻¹ (y − W_L … W_1 x), J_k = W_L … W_{k+1}."""
    network = nets.mlp(Identity(), bias=0.0, norm=0.8)
    x, target = nets.batch(network)
    settled = PredictiveCoding(nudged=LONG).settle(network, x, target, nets.PROXIMAL)
    assert isinstance(settled, SettledDyad)
    *below, top = [parameter.detach() for parameter in network.parameters() if parameter.ndim == 2]
    spread, jacobian = torch.eye(len(top), dtype=x.dtype), top
    for weight in reversed(below):
        spread, jacobian = spread + jacobian @ jacobian.T, jacobian @ weight
    wanted = torch.linalg.solve(spread, (target - network(x)).detach().T).T
    torch.testing.assert_close(settled.delta[-1], wanted, rtol=1e-9, atol=1e-11)
