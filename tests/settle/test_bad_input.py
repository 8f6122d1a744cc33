"""What cannot be settled is refused or ends as diverged, by name."""

from __future__ import annotations

import math

import pytest
import torch

from energy.couplings import Dense
from energy.network import Network
from energy.potentials import HardSigmoid, Identity, Tanh
from energy.relax.solution import Outcome
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation, EquilibriumPropagation
from energy.settle.feedforward import Feedforward
from energy.settle.settler import Settler
from energy.settle.two_phase import CoupledLearning, TwoPhase
from tests.settle import nets

WITHOUT_FEEDBACK = [DualPropagation(), Backprop(), Feedforward(), EquilibriumPropagation(gamma=0.0)]
WITH_FEEDBACK = [EquilibriumPropagation(), EquilibriumPropagation(gamma=0.3), TwoPhase(), CoupledLearning()]


@pytest.mark.parametrize("settler", WITHOUT_FEEDBACK, ids=lambda s: s.name)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_without_feedback_what_is_not_finite_is_named(settler: Settler, value: float) -> None:
    network = nets.mlp(Tanh())
    x, target = nets.batch(network)
    broken = x.clone()
    broken[1, 2] = math.nan
    with pytest.raises(ValueError, match=r"^x: not finite"):
        settler.settle(network, broken, target, nets.FROZEN)
    with torch.no_grad():
        network.get_parameter("couplings.3.weight")[0, 0] = value
    with pytest.raises(ValueError, match=r"couplings\.3\.weight: not finite"):
        settler.settle(network, x, target, nets.FROZEN)


@pytest.mark.parametrize("settler", WITH_FEEDBACK, ids=lambda s: f"{s.name}-{s.gamma}")
@pytest.mark.parametrize("where", ["x", "weight"])
def test_with_feedback_it_ends_as_diverged_and_names_a_layer(settler: Settler, where: str) -> None:
    network = nets.mlp(Tanh(), norm=0.5)
    x, target = nets.batch(network)
    if where == "x":
        x[1, 2] = math.nan
    else:
        with torch.no_grad():
            network.get_parameter("couplings.1.weight")[0, 0] = math.nan
    try:
        settled = settler.settle(network, x, target, nets.FROZEN)
    except ValueError as error:
        assert "not finite" in str(error)
        return
    for solution in settled.solutions.values():
        assert solution.outcome is Outcome.DIVERGED
        assert solution.layer in {layer.name for layer in network.layers}


def test_one_bad_sample_leaves_the_others_alone() -> None:
    network = nets.mlp(HardSigmoid(), norm=0.5)
    x, target = nets.batch(network, samples=3)
    good = EquilibriumPropagation(relax=nets.once(30)).settle(network, x, target, nets.FROZEN).output
    x[1, 0] = math.nan
    bad = EquilibriumPropagation(relax=nets.once(30)).settle(network, x, target, nets.FROZEN).output
    torch.testing.assert_close(bad[[0, 2]], good[[0, 2]])


@pytest.mark.parametrize("settler", [*WITHOUT_FEEDBACK, *WITH_FEEDBACK], ids=lambda s: f"{s.name}-{s.gamma}")
def test_wrong_shapes_and_types_say_what_was_expected(settler: Settler) -> None:
    network = nets.mlp(Tanh(), norm=0.5)
    x, target = nets.batch(network)
    for bad in (x[:, :4], x[0], x[:0], x.unsqueeze(1)):
        with pytest.raises(ValueError, match=r"^x has shape .*must be \(B, 6\)"):
            settler.settle(network, bad, target, nets.FROZEN)
    for bad in (target[:, :2], target[:0], target.argmax(1)):
        with pytest.raises(ValueError, match=r"^target has shape .*must be \(B, 3\)"):
            settler.settle(network, x, bad, nets.FROZEN)
    with pytest.raises(ValueError, match="target has 2 samples and x 4"):
        settler.settle(network, x, target[:2], nets.FROZEN)
    with pytest.raises(ValueError, match="floating point"):
        settler.settle(network, x.long(), target, nets.FROZEN)
    with pytest.raises(ValueError, match="floating point"):
        settler.settle(network, x, target.long(), nets.FROZEN)


def test_predicting_checks_its_input_too() -> None:
    network = nets.mlp(Tanh())
    for settler in (DualPropagation(), EquilibriumPropagation()):
        with pytest.raises(ValueError, match="x has shape"):
            settler.predict(network, torch.zeros(2, 5))


def test_a_network_that_does_not_fit_together_is_refused_while_it_is_built() -> None:
    network = Network((6,))
    network.add(Dense(6, 5), Tanh())
    with pytest.raises(ValueError, match="cannot read a layer of shape"):
        network.add(Dense(6, 4), Tanh())
    with pytest.raises(ValueError, match="disagree on its shape"):
        network.add({0: Dense(6, 4), 1: Dense(5, 3)}, Tanh())
    with pytest.raises(ValueError, match="must be one of"):
        network.add({2: Dense(5, 3)}, Identity())
    assert len(network.layers) == 1
