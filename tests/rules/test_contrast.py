"""From settled states to `.grad`: the products against autograd of F, and what an optimiser is handed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network
from energy.potentials import HardSigmoid, Tanh
from energy.rules.contrast import Contrast
from energy.rules.rule import Rule
from energy.settle.backprop import Backprop
from energy.settle.dyadic import ContrastiveHebbian, DualPropagation, EquilibriumPropagation
from energy.settle.feedforward import Feedforward
from energy.settle.settled import Settled, SettledDyad, SettledPhases
from energy.settle.settler import Settler
from energy.settle.two_phase import CoupledLearning, TwoPhase, TwoPhaseContrastiveHebbian
from tests.settle import nets
from tests.settle.oracles import autograd, gap, heard, products

NETWORKS = {
    "mlp": lambda: nets.mlp(Tanh(), norm=0.5),
    "graph": lambda: nets.skips(Tanh(), norm=0.4),
    "average": lambda: nets.cnn(HardSigmoid(), nets.POOLS["average"], norm=0.4),
    "max": lambda: nets.cnn(HardSigmoid(), nets.POOLS["max"], norm=0.4),
    "curved": lambda: nets.curved(Tanh(), norm=0.7),
    "readout": lambda: nets.mlp(Tanh(), norm=0.5, readout=True),
}
SETTLERS: list[Settler] = [
    DualPropagation(),
    EquilibriumPropagation(),
    EquilibriumPropagation(gamma=0.3),
    ContrastiveHebbian(),
    TwoPhase(),
    TwoPhaseContrastiveHebbian(),
    CoupledLearning(),
    Feedforward(),
    Backprop(),
]


def free_energy(network: Network, settled: SettledDyad) -> list[Tensor]:
    """−∂θ⟨δ, J(m)⟩ with the states held, by autograd of the drive operator."""
    mean = [m.detach().requires_grad_() for m in settled.mean]
    drives = heard(network, settled.x, mean, float(settled.gamma))
    pairs = zip(settled.delta, drives, strict=True)
    total = sum(((d * a).sum() for d, a in pairs if d is not None), torch.zeros(()).to(settled.x))
    parameters = list(network.parameters())
    return list(torch.autograd.grad(-total, parameters, allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("sweeps", [1, 6])
@pytest.mark.parametrize("gamma", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_dyads_products_are_the_derivative_of_f(name: str, gamma: float, sweeps: int) -> None:
    network = NETWORKS[name]()
    x, target = nets.batch(network)
    settler = EquilibriumPropagation(gamma=gamma, beta=0.7, relax=nets.once(30), nudged=nets.once(sweeps))
    settled = settler.settle(network, x, target, nets.FROZEN)
    assert isinstance(settled, SettledDyad)
    if name in {"max", "curved"}:  # linearised where A was last applied: settle until that point and m agree
        settled = EquilibriumPropagation(gamma=gamma, beta=0.7, relax=nets.FIXED, nudged=nets.FIXED).settle(
            network, x, target, nets.FROZEN
        )
        assert isinstance(settled, SettledDyad)
    assert gap(Contrast().gradients(network, settled), free_energy(network, settled)) < 1e-12


@pytest.mark.parametrize("name", ["mlp", "graph", "average", "curved"])
def test_stored_phases_are_weighted_derivatives_of_the_energy(name: str) -> None:
    network = NETWORKS[name]()
    x, target = nets.batch(network)
    settled = TwoPhase(beta=0.3, relax=nets.once(9), nudged=nets.once(4)).settle(network, x, target, nets.FROZEN)
    assert isinstance(settled, SettledPhases)
    parts = [[w * g for g in products(network, x, list(p.state))] for p in settled.phases for w in (p.weight,)]
    wanted = [torch.stack(part).sum(0) for part in zip(*parts, strict=True)]
    assert gap(Contrast().gradients(network, settled), wanted) < 1e-12


@pytest.mark.parametrize("settler", SETTLERS, ids=lambda s: f"{s.name}-{s.gamma}")
def test_apply_writes_the_mean_over_the_batch_and_replaces_what_was_there(settler: Settler) -> None:
    network = NETWORKS["mlp"]()
    x, target = nets.batch(network, samples=5)
    summed = Contrast().gradients(network, settler.settle(network, x, target, nets.FROZEN))
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    Contrast().apply(network, settler.settle(network, x, target, nets.FROZEN))
    for parameter, total in zip(network.parameters(), summed, strict=True):
        assert parameter.grad is not None
        assert parameter.grad.dtype is parameter.dtype
        assert not parameter.grad.requires_grad
        torch.testing.assert_close(parameter.grad, total / 5)


@pytest.mark.parametrize(
    "settler", [s for s in SETTLERS if not isinstance(s, Feedforward)], ids=lambda s: f"{s.name}-{s.gamma}"
)
def test_any_optimizer_descends_the_objective_with_it(settler: Settler) -> None:
    network = nets.mlp(HardSigmoid(), norm=0.5, bias=0.3)
    x, target = nets.batch(network, samples=8)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.2, momentum=0.5)

    def cost() -> float:
        return float(nets.FROZEN.value(settler.predict(network, x).output, target).sum())

    before = cost()
    for _ in range(20):
        Contrast().apply(network, settler.settle(network, x, target, nets.FROZEN))
        optimizer.step()
    assert cost() < 0.9 * before


def test_settling_and_learning_leave_weights_and_inputs_alone() -> None:
    for settler in SETTLERS:
        network = NETWORKS["mlp"]()
        x, target = nets.batch(network)
        before = [t.clone() for t in (x, target, *network.parameters())]
        Contrast().gradients(network, settler.settle(network, x, target, nets.FROZEN))
        assert all(torch.equal(a, b) for a, b in zip(before, (x, target, *network.parameters()), strict=True))
        assert all(p.grad is None for p in network.parameters())


def test_no_tape_is_kept_but_by_back_propagation() -> None:
    for settler in SETTLERS:
        network = NETWORKS["mlp"]()
        settled = settler.settle(network, *nets.batch(network), nets.FROZEN)
        assert not settled.output.requires_grad
        if isinstance(settled, SettledDyad):
            assert not any(t.requires_grad for t in (*settled.mean, *(d for d in settled.delta if d is not None)))


def test_back_propagation_hands_over_autograds_gradient() -> None:
    network = NETWORKS["graph"]()
    x, target = nets.batch(network)
    found = Contrast().gradients(network, Backprop().settle(network, x, target, nets.CROSS))
    assert all(torch.equal(a, b) for a, b in zip(found, autograd(network, x, target, nets.CROSS), strict=True))


def test_a_rule_of_ones_own() -> None:
    """The signs of the contrast, as a user would write it; `apply` negates and divides whatever `update` returns."""

    class Signs(Rule, name=""):
        def update(self, network: Network, settled: Settled) -> list[Tensor]:
            return [g.sign() for g in Contrast().update(network, settled)]

    network = NETWORKS["mlp"]()
    Signs().apply(network, DualPropagation().settle(network, *nets.batch(network), nets.FROZEN))
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert set((parameter.grad * 4).unique().tolist()) <= {-1.0, 0.0, 1.0}
    found = Contrast().gradients(network, DualPropagation().settle(network, *nets.batch(network), nets.FROZEN))
    for parameter, gradient in zip(network.parameters(), found, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad * 4, gradient.sign())


def test_what_no_rule_knows_is_refused_by_name() -> None:
    network = NETWORKS["mlp"]()
    x, _ = nets.batch(network)
    with pytest.raises((TypeError, NotImplementedError), match="Settled"):
        Contrast().gradients(network, Settled(x=x, output=x, ledger=Ledger()))
