"""0 ≤ γ ≤ 1: every dyad meets the gradient through the fixed point, which is computed here by a dense solve and by
differences."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor

from energy.couplings import Dense
from energy.network import Network
from energy.potentials import HardSigmoid, Identity, Potential, Sigmoid, Softplus, Tanh
from energy.relax.dyad import NudgeForm
from energy.settle.dyadic import EquilibriumPropagation, Implicit
from energy.settle.settler import Settler
from energy.settle.two_phase import CoupledLearning, PhaseContrast, TwoPhase
from tests.settle import nets
from tests.settle.oracles import equilibrium, exact, finite_difference, flatten, gap, learn, slope

GAINS = (0.0, 0.25, 0.5, 1.0)
NETWORKS = {
    "mlp": nets.mlp(Tanh(), norm=0.5),
    "sigmoid": nets.mlp(Sigmoid(), norm=1.5),
    "graph": nets.skips(Tanh(), norm=0.4),
    "average": nets.cnn(Tanh(), nets.POOLS["average"], norm=0.5),
    "max": nets.cnn(Tanh(), nets.POOLS["max"], norm=0.4),
    "curved": nets.curved(Tanh(), norm=0.8),
    "readout": nets.mlp(Tanh(), norm=0.5, readout=True),
    "bounded_output": nets.mlp(Tanh(), norm=0.5, output=Sigmoid()),
}
OBJECTIVES = {
    "frozen": nets.FROZEN,
    "proximal": nets.PROXIMAL,
    "live": nets.LIVE,
    "ce": nets.CROSS,
    "ce_live": nets.CROSS_LIVE,
}


@lru_cache
def reference(name: str, objective: str, gamma: float) -> list[Tensor]:
    network = NETWORKS[name]
    return exact(network, *nets.batch(network, samples=3), OBJECTIVES[objective], gamma)


def error(settler: Settler, name: str, objective: str = "frozen") -> float:
    network = NETWORKS[name]
    x, target = nets.batch(network, samples=3)
    return gap(learn(settler, network, x, target, OBJECTIVES[objective]), reference(name, objective, settler.gamma))


def dyad(gamma: float, beta: float, **fields: Any) -> Settler:
    return EquilibriumPropagation(gamma=gamma, beta=beta, relax=nets.FIXED, nudged=nets.FIXED, **fields)


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("gamma", GAINS)
@pytest.mark.parametrize("name", NETWORKS)
def test_implicit_is_the_dense_solve(name: str, gamma: float) -> None:
    assert error(Implicit(gamma=gamma, relax=nets.FIXED, nudged=nets.FIXED), name) < 1e-9


@pytest.mark.parametrize("objective", ["proximal", "ce"])
@pytest.mark.parametrize("gamma", GAINS)
def test_the_limit_does_not_know_how_it_was_nudged(objective: str, gamma: float) -> None:
    assert error(Implicit(gamma=gamma, relax=nets.FIXED, nudged=nets.FIXED), "mlp", objective) < 1e-9


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("gamma", GAINS)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_centered_dyad_converges_at_second_order(name: str, gamma: float) -> None:
    assert error(dyad(gamma, 1e-3), name) < 1e-5
    assert slope(lambda beta: error(dyad(gamma, beta), name), (0.1, 0.01)) == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("objective", ["proximal", "live", "ce", "ce_live"])
@pytest.mark.parametrize("gamma", GAINS)
def test_the_order_does_not_depend_on_the_nudge(objective: str, gamma: float) -> None:
    found = slope(lambda beta: error(dyad(gamma, beta), "mlp", objective), (0.1, 0.01))
    assert found == pytest.approx(2, abs=0.15)


@pytest.mark.thinned(by=4)
@pytest.mark.parametrize("gamma", GAINS)
@pytest.mark.parametrize("form", NudgeForm)
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("name", ["mlp", "graph", "max", "curved", "readout"])
def test_off_center_the_order_is_one(name: str, alpha: float, form: NudgeForm, gamma: float) -> None:
    assert slope(lambda beta: error(dyad(gamma, beta, alpha=alpha, form=form), name), (1e-3, 1e-4)) == pytest.approx(
        1, abs=0.1
    )


def test_the_published_errors_of_a_contracting_network_shrink_fourfold_as_beta_halves() -> None:
    for gamma in GAINS:
        errors = [error(dyad(gamma, beta), "mlp") for beta in (0.4, 0.2, 0.1, 0.05)]
        assert all(3.3 < a / b < 4.7 for a, b in itertools.pairwise(errors)), errors


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("gamma", GAINS)
@pytest.mark.parametrize("name", ["mlp", "graph", "max", "curved", "readout"])
def test_finite_differences_of_the_settled_objective(name: str, gamma: float) -> None:
    """The derivative of C(s*(θ)) along a random direction, by settling twice: knows of no adjoint at all."""
    network = NETWORKS[name]
    x, target = nets.batch(network, samples=3)
    stream = torch.Generator().manual_seed(7)
    direction = [torch.randn(p.shape, generator=stream, dtype=p.dtype) for p in network.parameters()]
    found = finite_difference(network, x, target, nets.FROZEN, gamma, direction, 1e-6)
    settler = Implicit(gamma=gamma, relax=nets.FIXED, nudged=nets.FIXED)
    gradient = flatten(learn(settler, network, x, target, nets.FROZEN))
    assert float(gradient @ flatten(direction)) == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.25, 1.0])
def test_the_dense_solve_agrees_with_autograd_through_a_long_iteration(gamma: float) -> None:
    """Checks the reference of this file, not the library."""
    network = NETWORKS["graph"]
    x, target = nets.batch(network, samples=3)
    from tests.settle.oracles import respond

    states = [s.requires_grad_() for s in equilibrium(network, x, gamma)]
    for _ in range(120):
        states = respond(network, x, states, gamma)
    cost = nets.FROZEN.value(states[-1], target).sum()
    unrolled = torch.autograd.grad(cost, list(network.parameters()))
    assert gap(unrolled, reference("graph", "frozen", gamma)) < 1e-10


@pytest.mark.parametrize(
    ("hidden", "gamma"),
    [(HardSigmoid(), 1.0), (Softplus(), 0.5), (HardSigmoid(), 0.25)],
    ids=["hard", "softplus", "hard_low"],
)
def test_kinked_and_unbounded_units(hidden: Potential, gamma: float) -> None:
    network = nets.mlp(hidden, norm=0.4, bias=0.3)
    x, target = nets.batch(network, samples=3)
    wanted = exact(network, x, target, nets.FROZEN, gamma)
    assert (
        gap(learn(Implicit(gamma=gamma, relax=nets.FIXED, nudged=nets.FIXED), network, x, target, nets.FROZEN), wanted)
        < 1e-9
    )
    assert gap(learn(dyad(gamma, 1e-4), network, x, target, nets.FROZEN), wanted) < 1e-7


class TestTwoPhases:
    @pytest.mark.thinned(by=4)
    @pytest.mark.parametrize("gamma", [0.25, 0.5, 1.0])
    @pytest.mark.parametrize("name", ["mlp", "graph", "average", "max", "bounded_output"])
    @pytest.mark.parametrize(
        ("kind", "order"),
        [
            (PhaseContrast.POSITIVE, 1),
            (PhaseContrast.NEGATIVE, 1),
            (PhaseContrast.RANDOM_SIGN, 1),
            (PhaseContrast.CENTERED, 2),
        ],
        ids=["positive", "negative", "random_sign", "centered"],
    )
    def test_the_order_of_each_kind(self, kind: PhaseContrast, order: int, name: str, gamma: float) -> None:
        def at(beta: float) -> float:
            return error(TwoPhase(gamma=gamma, beta=beta, kind=kind, relax=nets.FIXED, nudged=nets.FIXED), name)

        betas = (1e-2, 1e-3) if order == 1 else (0.1, 0.01)
        assert slope(at, betas) == pytest.approx(order, abs=0.15)
        assert at(betas[1]) < 1e-2

    @pytest.mark.parametrize("gamma", [0.5, 1.0])
    @pytest.mark.parametrize("objective", ["frozen", "live", "ce"])
    def test_a_readout_outside_the_dynamics(self, objective: str, gamma: float) -> None:
        def at(beta: float) -> float:
            return error(TwoPhase(gamma=gamma, beta=beta, relax=nets.FIXED, nudged=nets.FIXED), "readout", objective)

        assert at(1e-3) < 1e-4
        assert slope(at, (0.1, 0.01)) == pytest.approx(2, abs=0.15)

    @pytest.mark.parametrize("gamma", [0.25, 0.5, 1.0])
    def test_a_readout_of_two_layers_of_different_depth(self, gamma: float) -> None:
        """The term β γ^(d_L − 1) C of the energy pushes layer k, which weighs γ^(d_k − 1), by γ to the edge's span."""
        network = Network((6,))
        network.add(Dense(6, 5), Tanh())
        network.add(Dense(5, 4), Tanh())
        network.add({2: Dense(4, 3), 1: Dense(5, 3)}, Identity(), feedback=False)
        nets.draw(network, 1.0, 0, norm=0.5)
        x, target = nets.batch(network, samples=3)
        wanted = exact(network, x, target, nets.FROZEN, gamma)
        settler = TwoPhase(gamma=gamma, beta=1e-3, relax=nets.FIXED, nudged=nets.FIXED)
        assert gap(learn(settler, network, x, target, nets.FROZEN), wanted) < 1e-5

    @pytest.mark.parametrize("gamma", [0.5, 1.0])
    @pytest.mark.parametrize("kind", [PhaseContrast.POSITIVE, PhaseContrast.NEGATIVE, PhaseContrast.CENTERED])
    def test_coupled_learning_with_a_small_step_descends_the_settled_objective(
        self, kind: PhaseContrast, gamma: float
    ) -> None:
        """Holding the output at o − β∇C is a nudge whose strength solves (∂o/∂nudge)β′ = β: as β → 0 the direction
        is that
        of −∇C seen through the response of the output, and only for one output unit a multiple of the gradient."""
        network = nets.mlp(Tanh(), norm=0.5, sizes=(6, 5, 4, 1))
        x, _ = nets.batch(network, samples=1)
        target = torch.full((1, 1), 0.9, dtype=x.dtype)
        wanted = flatten(exact(network, x, target, nets.FROZEN, gamma))

        def at(beta: float) -> float:
            settler = CoupledLearning(gamma=gamma, beta=beta, kind=kind, relax=nets.FIXED, nudged=nets.FIXED)
            found = flatten(learn(settler, network, x, target, nets.FROZEN))
            return 1 - float(found @ wanted / (found.norm() * wanted.norm()))

        assert at(1e-3) < 1e-5
