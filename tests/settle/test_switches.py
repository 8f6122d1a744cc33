"""Max-pooling of a state: which unit wins depends on where the state is. A dyad takes the winners of its mean for both
replicas and for the products; stored phases have winners of their own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from energy.couplings.convolution import ConvolutionLinearization
from energy.network import Network
from energy.potentials import HardSigmoid
from energy.relax.solution import Outcome
from energy.rules.contrast import Contrast
from energy.settle.dyadic import EquilibriumPropagation, Implicit
from energy.settle.settled import SettledDyad, SettledPhases
from energy.settle.two_phase import TwoPhase
from tests.settle import nets
from tests.settle.oracles import exact, gap, heard, learn, pair, products

BETA, FAR = 1.0, 6.0  # a nudge this strong towards a target this far away changes winners


def example() -> tuple[Network, Tensor, Tensor]:
    network = nets.pooled(HardSigmoid(), nets.POOLS["max"], norm=0.4)
    x, target = nets.batch(network)
    return network, x, FAR * target


def winners(network: Network, state: Tensor) -> Tensor:
    """Where each pooled value comes from when layer 1 is in `state`."""
    linear = network.edges[1].coupling.linearize(state)[1]
    assert isinstance(linear, ConvolutionLinearization) and linear.switches is not None
    return linear.switches


@pytest.mark.parametrize("gamma", [0.25, 1.0])
def test_the_limit_is_the_dense_solve(gamma: float) -> None:
    network, x, target = example()
    settler = Implicit(gamma=gamma, relax=nets.FIXED, nudged=nets.FIXED)
    assert gap(learn(settler, network, x, target, nets.FROZEN), exact(network, x, target, nets.FROZEN, gamma)) < 1e-9


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_both_replicas_hear_through_the_winners_of_their_mean(gamma: float) -> None:
    """s± = f(a ± ½βh) with a = J(m) and h = ∂⟨δ, J(m)⟩/∂m − ∇C, by autograd, although the replicas' own winners
    differ."""
    network, x, target = example()
    settler = EquilibriumPropagation(gamma=gamma, beta=BETA, freeze_mean=False, relax=nets.FIXED, nudged=nets.FIXED)
    settled = settler.settle(network, x, target, nets.FROZEN)
    assert isinstance(settled, SettledDyad)
    assert settled.solutions["nudged"].outcome is Outcome.CONVERGED
    upper, lower = pair(settled, 0.5, BETA)
    assert not torch.equal(winners(network, upper[0]), winners(network, lower[0]))
    mean = [m.clone().requires_grad_() for m in settled.mean]
    drives = heard(network, x, mean, gamma)
    pairs = zip(settled.delta, drives, strict=True)
    total = sum(((d * a).sum() for d, a in pairs if d is not None), torch.zeros(()).to(x))
    gradient = torch.autograd.grad(-total, list(network.parameters()), retain_graph=True)
    assert gap(Contrast().gradients(network, settled), gradient) < 1e-12
    h = list(torch.autograd.grad(total, mean))
    h[-1] = h[-1] - (settled.output - target)
    for k, layer in enumerate(network.layers):
        for found, sign in ((upper[k], 1), (lower[k], -1)):
            wanted = layer.potential.response(drives[k].detach() + sign * BETA / 2 * h[k])
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_every_stored_phase_keeps_winners_of_its_own() -> None:
    network, x, target = example()
    settled = TwoPhase(beta=BETA / 2, relax=nets.FIXED, nudged=nets.FIXED).settle(network, x, target, nets.FROZEN)
    assert isinstance(settled, SettledPhases)
    upper, lower = settled.phases
    assert not torch.equal(winners(network, upper.state[0]), winners(network, lower.state[0]))
    parts = [[phase.weight * g for g in products(network, x, list(phase.state))] for phase in settled.phases]
    assert gap(Contrast().gradients(network, settled), [a + b for a, b in zip(*parts, strict=True)]) < 1e-12


def test_the_two_agree_until_a_winner_changes() -> None:
    network, x, target = example()

    def difference(beta: float) -> float:
        one = EquilibriumPropagation(beta=beta, relax=nets.FIXED, nudged=nets.FIXED)
        two = TwoPhase(beta=beta / 2, relax=nets.FIXED, nudged=nets.FIXED)
        return gap(learn(one, network, x, target, nets.FROZEN), learn(two, network, x, target, nets.FROZEN))

    assert difference(1e-4) < 1e-9
    assert difference(BETA) > 1e-6
