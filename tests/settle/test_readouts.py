"""Read-outs outside the dynamics under separately settled phases, against the exact gradient at the equilibrium."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from energy.component import ConfigurationError
from energy.couplings import Dense
from energy.network import Network
from energy.objectives import CrossEntropy, Nudge, Objective, SquaredError
from energy.potentials import HalfHardSigmoid, Identity, Potential, Sigmoid, Softmax, Tanh
from energy.settle.dyadic import Implicit
from energy.settle.settler import Settler
from energy.settle.two_phase import CoupledLearning, PhaseContrast, TwoPhase, TwoPhaseContrastiveHebbian
from tests.settle import nets
from tests.settle.oracles import gap, learn

EXACT: dict[str, Any] = {"relax": nets.FIXED, "nudged": nets.FIXED}


def one(output: Potential) -> Network:
    """One read-out above two layers."""
    network = Network((5,))
    network.add(Dense(5, 6), Tanh())
    network.add(Dense(6, 6), Sigmoid())
    network.add(Dense(6, 3), output, feedback=False)
    return nets.draw(network, 0.5, 0, norm=0.5)


def chain(output: Potential) -> Network:
    """Two read-outs, one above the other."""
    network = Network((5,))
    network.add(Dense(5, 6), Tanh())
    network.add(Dense(6, 6), Sigmoid())
    network.add(Dense(6, 4), Tanh(), feedback=False)
    network.add(Dense(4, 3), output, feedback=False)
    return nets.draw(network, 0.5, 0, norm=0.5)


def wide(output: Potential) -> Network:
    """Two of one width, and the upper one hears two layers inside the dynamics too, of different depth."""
    network = Network((5,))
    network.add(Dense(5, 6), Tanh())
    network.add(Dense(6, 6), Sigmoid())
    network.add(Dense(6, 3), Tanh(), feedback=False)
    network.add({1: Dense(6, 3), 2: Dense(6, 3), 3: Dense(3, 3)}, output, feedback=False)
    return nets.draw(network, 0.5, 0, norm=0.5)


def beside(output: Potential) -> Network:
    """One that leads nowhere beside the output."""
    network = Network((5,))
    network.add(Dense(5, 6), Tanh())
    network.add(Dense(6, 6), Sigmoid())
    network.add(Dense(6, 3), Tanh(), feedback=False)
    network.add({2: Dense(6, 3)}, output, feedback=False)
    return nets.draw(network, 0.5, 0, norm=0.5)


def error(settler: Settler, network: Network, objective: Objective) -> float:
    """Of the gradient against the exact one at the same γ; of a layer that has none, how great it is."""
    x, target = nets.batch(network)
    target = target.softmax(1)
    found = learn(settler, network, x, target, objective)
    wanted = learn(Implicit(gamma=settler.gamma, **EXACT), network, x, target, objective)
    kept = [(a, b) for a, b in zip(found, wanted, strict=True) if b.abs().max() > 0]
    assert all(not a.any() for a, b in zip(found, wanted, strict=True) if not b.any())
    return max(gap([a], [b]) for a, b in kept)


OUTPUTS = [Identity(), Sigmoid(), Tanh(), Softmax(), HalfHardSigmoid()]
FORMS = [one, chain, wide, beside]


@pytest.mark.thinned(by=4)
@pytest.mark.parametrize("nudge", Nudge)
@pytest.mark.parametrize("gamma", [1.0, 0.5])
@pytest.mark.parametrize("output", OUTPUTS, ids=lambda p: p.name)
@pytest.mark.parametrize("form", FORMS)
def test_the_gradient_is_exact_as_the_nudge_shrinks(
    form: Callable[[Potential], Network], output: Potential, gamma: float, nudge: Nudge
) -> None:
    """Of order β² for the centred contrast."""
    network, objective = form(output), SquaredError(nudge=nudge)
    if nudge is Nudge.PROXIMAL and not output.quadratic:
        with pytest.raises(ConfigurationError, match="closed step"):
            error(TwoPhase(gamma=gamma, **EXACT), network, objective)
        return
    centered = [error(TwoPhase(gamma=gamma, beta=beta, **EXACT), network, objective) for beta in (0.2, 0.02)]
    assert centered[1] < 5e-4
    assert centered[1] < centered[0] / 50 or centered[1] < 1e-9


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("kind", [PhaseContrast.POSITIVE, PhaseContrast.NEGATIVE, PhaseContrast.RANDOM_SIGN])
@pytest.mark.parametrize("form", FORMS)
def test_a_one_sided_contrast_is_of_first_order(form: Callable[[Potential], Network], kind: PhaseContrast) -> None:
    for nudge in (Nudge.LIVE, Nudge.FROZEN):
        network, objective = form(Tanh()), SquaredError(nudge=nudge)
        sided = [error(TwoPhase(beta=beta, kind=kind, **EXACT), network, objective) for beta in (0.2, 0.02)]
        assert sided[1] < 2e-2
        assert sided[1] < sided[0] / 7


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("nudge", [Nudge.LIVE, Nudge.FROZEN])
def test_under_cross_entropy(form: Callable[[Potential], Network], nudge: Nudge) -> None:
    assert error(TwoPhase(beta=1e-3, **EXACT), form(Identity()), CrossEntropy(nudge=nudge)) < 1e-5


@pytest.mark.parametrize("settler", [TwoPhase(), TwoPhaseContrastiveHebbian(), CoupledLearning()], ids=lambda s: s.name)
def test_a_layer_inside_the_dynamics_above_one_outside_them_is_refused(settler: Settler) -> None:
    network = Network((5,))
    network.add(Dense(5, 6), Tanh())
    network.add(Dense(6, 6), Tanh(), name="middle", feedback=False)
    network.add(Dense(6, 3), Identity(), name="top")
    x, target = nets.batch(network)
    with pytest.raises(ConfigurationError, match=r"middle is outside the dynamics .* and top above it inside them"):
        settler.settle(network.double(), x, target, nets.FROZEN)


@pytest.mark.parametrize("settler", [TwoPhaseContrastiveHebbian(gamma=0.1, **EXACT), CoupledLearning(**EXACT)])
def test_a_clamp_teaches_no_layer_that_leads_nowhere(settler: Settler) -> None:
    """And the others as if it were not there."""

    found = []
    for extra in (False, True):
        network = Network((5,))
        network.add(Dense(5, 6), Tanh())
        if extra:
            network.add(Dense(6, 3), Tanh(), feedback=False)
        network.add({1: Dense(6, 3)}, Identity())
        stream, parameters = torch.Generator().manual_seed(3), list(network.double().parameters())
        with torch.no_grad():
            for parameter in [*parameters[:2], *parameters[-2:]]:
                parameter.copy_(torch.randn(parameter.shape, generator=stream, dtype=torch.float64) / 3)
        found.append(learn(settler, network, *nets.batch(network), nets.FROZEN))
    plain, more = found
    assert gap([*more[:2], *more[4:]], plain) < 1e-12
    assert not more[2].any()
    assert not more[3].any()
