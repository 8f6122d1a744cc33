"""One dyad against two relaxations: where centred equilibrium propagation and its relatives are the same thing, to
rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from energy.network import Network
from energy.objectives import Objective
from energy.potentials import HardSigmoid, Potential, Sigmoid, Tanh
from energy.relax.dyad import NudgeForm
from energy.settle.dyadic import ContrastiveHebbian, DualPropagation, EquilibriumPropagation
from energy.settle.settled import SettledDyad
from energy.settle.two_phase import PhaseContrast, TwoPhase, TwoPhaseContrastiveHebbian
from tests.settle import nets
from tests.settle.oracles import equilibrium, gap, learn, pair, products, slope

HIDDEN = {"hard_sigmoid": HardSigmoid(), "tanh": Tanh(), "sigmoid": Sigmoid()}
Top = Callable[[Tensor], Tensor]


def graph(hidden: Potential, norm: float = 0.0) -> Network:
    """Every jump weighted: an identity shortcut at γ = 1 is a loop of gain one, beyond what surely contracts."""
    return nets.skips(hidden, norm=norm * 0.8, identity=False)


def proximal(beta: float, target: Tensor) -> Top:
    """argmin ½s² − ⟨s, u⟩ + ½β‖s − y‖²."""
    return lambda u: (u + beta * target) / (1 + beta)


def pushed(beta: float, error: Tensor) -> Top:
    return lambda u: u - beta * error


def dyad(
    settler: EquilibriumPropagation, network: Network, objective: Objective
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """s⁺, s⁻ and the gradient."""
    x, target = nets.batch(network)
    settled = settler.settle(network, x, target, objective)
    return (*pair(settled, settler.alpha, settler.beta), learn(settler, network, x, target, objective))


def close(found: list[Tensor], wanted: list[Tensor], tolerance: float) -> None:
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("frozen", [False, True], ids=["proximal", "frozen"])
@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("build", [nets.mlp, graph], ids=["chain", "graph"])
@pytest.mark.parametrize("beta", [0.8, 0.02])
def test_the_dyad_is_centered_equilibrium_propagation(
    build: nets.Build, hidden: Potential, frozen: bool, beta: float
) -> None:
    """γ = 1, α = ½, affine couplings: states and gradient of two relaxations at ±β/2, found here by plain iteration."""
    network = build(hidden, norm=0.4)
    x, target = nets.batch(network)
    settler = EquilibriumPropagation(beta=beta, freeze_mean=False, relax=nets.FIXED, nudged=nets.FIXED)
    plus, minus, found = dyad(settler, network, nets.FROZEN if frozen else nets.PROXIMAL)
    error = equilibrium(network, x, 1.0)[-1] - target
    states = [
        equilibrium(network, x, 1.0, pushed(nudge, error) if frozen else proximal(nudge, target))
        for nudge in (beta / 2, -beta / 2)
    ]
    close(plus, states[0], 2e-14)
    close(minus, states[1], 2e-14)
    contrast = [(a - b) / beta for a, b in zip(*(products(network, x, s) for s in states), strict=True)]
    assert gap(found, contrast) < 1e-13 / beta
    phases = learn(
        TwoPhase(beta=beta / 2, relax=nets.FIXED, nudged=nets.FIXED),
        network,
        x,
        target,
        nets.FROZEN if frozen else nets.PROXIMAL,
    )
    assert gap(phases, contrast) < 1e-13 / beta


def test_a_live_linearization_differs_at_second_order() -> None:
    """The dyad takes ∇C at the drive of the mean, each phase at its own: both are exact as β → 0."""
    network = nets.mlp(Tanh(), norm=0.5)
    x, target = nets.batch(network)

    def difference(beta: float) -> float:
        one = EquilibriumPropagation(beta=beta, freeze_mean=False, relax=nets.FIXED, nudged=nets.FIXED)
        two = TwoPhase(beta=beta / 2, relax=nets.FIXED, nudged=nets.FIXED)
        return gap(learn(one, network, x, target, nets.LIVE), learn(two, network, x, target, nets.LIVE))

    assert difference(0.4) > 1e-4
    assert slope(difference, (0.2, 0.02)) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize(
    ("alpha", "kind"), [(0.0, PhaseContrast.POSITIVE), (1.0, PhaseContrast.NEGATIVE)], ids=["positive", "negative"]
)
def test_the_ends_of_the_adjoint_family_hold_the_states_of_one_sided_propagation(
    hidden: Potential, alpha: float, kind: PhaseContrast
) -> None:
    """States: the relaxations at +(1 − α)β and −αβ. Products: m in place of (s⁺ + s⁻)/2, so they differ by ±½β δδᵀ
    twice."""
    network, beta = nets.mlp(hidden, norm=0.5), 0.4
    x, target = nets.batch(network)
    settler = EquilibriumPropagation(alpha=alpha, beta=beta, freeze_mean=False, relax=nets.FIXED, nudged=nets.FIXED)
    plus, minus, found = dyad(settler, network, nets.PROXIMAL)
    states = [equilibrium(network, x, 1.0, proximal(nudge, target)) for nudge in ((1 - alpha) * beta, -alpha * beta)]
    close(plus, states[0], 2e-14)
    close(minus, states[1], 2e-14)
    contrast = [(a - b) / beta for a, b in zip(*(products(network, x, s) for s in states), strict=True)]
    two = TwoPhase(beta=beta, kind=kind, relax=nets.FIXED, nudged=nets.FIXED)
    assert gap(learn(two, network, x, target, nets.PROXIMAL), contrast) < 1e-12
    settled = settler.settle(network, x, target, nets.PROXIMAL)
    assert isinstance(settled, SettledDyad)
    shift = (0.5 - alpha) * beta  # m = (s⁺ + s⁻)/2 − shift · δ
    for edge in network.edges[1:]:
        pre, post = settled.delta[edge.source - 1], settled.delta[edge.target - 1]
        assert pre is not None
        assert post is not None
        contrast[2 * edge.index] = contrast[2 * edge.index] + 2 * shift * post.T @ pre
    assert gap(found, contrast) < 1e-12


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("build", [nets.mlp, graph], ids=["chain", "graph"])
def test_without_feedback_equilibrium_propagation_is_dual_propagation(build: nets.Build, hidden: Potential) -> None:
    network = build(hidden)
    x, target = nets.batch(network)
    for alpha in (0.0, 0.5, 1.0):
        for form in NudgeForm:
            for sweeps in (1, 3):
                fields: dict[str, Any] = {"alpha": alpha, "beta": 0.6, "form": form, "nudged": nets.once(sweeps)}
                one, two = EquilibriumPropagation(gamma=0.0, freeze_mean=False, **fields), DualPropagation(**fields)
                found = learn(one, network, x, target, nets.PROXIMAL)
                assert all(
                    torch.equal(a, b) for a, b in zip(found, learn(two, network, x, target, nets.PROXIMAL), strict=True)
                )


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("build", [nets.mlp, graph], ids=["chain", "graph"])
def test_contrastive_hebbian_learning_is_a_dyad_of_the_free_and_the_clamped_state(
    build: nets.Build, hidden: Potential
) -> None:
    """γ = 1, β = 1: s⁻ is the free equilibrium, s⁺ the one with the output at y; the gradient is E(clamped) −
    E(free)."""
    network = build(hidden, norm=0.4)
    x, target = nets.batch(network)
    settler = ContrastiveHebbian(relax=nets.FIXED, nudged=nets.FIXED)
    plus, minus = pair(settler.settle(network, x, target, nets.FROZEN), 0.5, 1.0)
    free, clamped = equilibrium(network, x, 1.0), equilibrium(network, x, 1.0, lambda _: target)
    close(minus, free, 2e-14)
    close(plus, clamped, 2e-14)
    contrast = [a - b for a, b in zip(products(network, x, clamped), products(network, x, free), strict=True)]
    assert gap(learn(settler, network, x, target, nets.FROZEN), contrast) < 1e-12
    two = TwoPhaseContrastiveHebbian(relax=nets.FIXED, nudged=nets.FIXED)
    assert gap(learn(two, network, x, target, nets.FROZEN), contrast) < 1e-12
