"""Layers that lead nowhere: no error reaches them, at γ > 0 they take part, and the rest learns as if by autograd."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from energy.couplings import Convolution, Dense
from energy.feedback import DirectFeedback, Feedback, KolenPollack, Random, Sign, SignBatch, SignUnit
from energy.network import Network
from energy.pooling import AveragePool, MaxPool, Pool
from energy.potentials import Identity, Sigmoid, Tanh
from energy.relax.relaxation import Relaxation
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.zebra import Zebra
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.settle.dyadic import ContrastiveHebbian, DualPropagation, EquilibriumPropagation, Implicit
from energy.settle.feedforward import Feedforward
from energy.settle.settler import Settler
from energy.settle.two_phase import TwoPhase
from tests.settle import nets
from tests.settle.oracles import Tensors, exact, gap

MAX = MaxPool(2)


def beside() -> Network:
    """5 – 6 – 3, and four units that hear the six."""
    network = Network((5,))
    network.add(Dense(5, 6), Tanh())
    network.add({1: Dense(6, 4)}, Tanh())
    network.add({1: Dense(6, 3)}, Identity())
    return nets.draw(network, 1.0, 3, norm=0.35)


def several() -> Network:
    """A dead end of two layers from the input, which ends in one with two sources, and the output above all."""
    network = Network((5,))
    first = network.add(Dense(5, 6), Tanh())
    second = network.add({0: Dense(5, 4)}, Tanh())
    third = network.add({second: Dense(4, 4)}, Sigmoid())
    fourth = network.add({first: Dense(6, 4)}, Tanh())
    network.add({first: Dense(6, 4), third: Dense(4, 4)}, Tanh())
    network.add({first: Dense(6, 3), fourth: Dense(4, 3)}, Identity())
    return nets.draw(network, 1.0, 3, norm=0.3)


def images(pool: Pool = MAX) -> Network:
    """Pooled maps that lead nowhere, above a layer and above the input."""
    network = Network((2, 4, 4))
    network.add(Convolution(2, 3, 3, padding=1), Tanh())
    network.add({1: Convolution(3, 3, 3, padding=1, pool=pool)}, Tanh())
    network.add({0: Convolution(2, 2, 3, pool=pool)}, Tanh())
    network.add({1: Dense(48, 3)}, Identity())
    return nets.draw(network, 1.0, 3, norm=0.15)


GRAPHS: dict[str, Callable[[], Network]] = {"beside": beside, "several": several, "images": images}
DEAD = {"beside": [1], "several": [1, 2, 4, 5], "images": [1, 2]}  # edges that no error reaches at γ = 0


def both(network: Network, settler: Settler) -> list[Tensors]:
    """The gradient of settled states, and what `learn` writes, where layers are let go of as they come to rest."""
    x, target = nets.batch(network)
    found = Contrast().gradients(network, settler.settle(network, x, target, nets.FROZEN))
    network.zero_grad()
    Contrast().learn(network, settler, x, target, nets.FROZEN)
    return [found, [p.grad * len(x) for p in network.parameters() if p.grad is not None]]


def edges(network: Network, tensors: Tensors) -> list[Tensors]:
    return [tensors[2 * edge.index : 2 * edge.index + 2] for edge in network.edges]


RELAXATIONS: list[Relaxation] = [
    nets.FIXED,
    nets.once(60),
    Sweep(max_steps=400, tolerance=1e-14, momentum=0.3),
    Zebra(max_steps=400, tolerance=1e-14),
    Synchronous(max_steps=800, tolerance=1e-14),
]


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("gamma", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("name", GRAPHS)
def test_every_settler_against_a_dense_solve(name: str, gamma: float) -> None:
    network = images(AveragePool(2)) if name == "images" and gamma else GRAPHS[name]()  # switches may go round in rings
    x, target = nets.batch(network)
    wanted = exact(network, x, target, nets.FROZEN, gamma)
    if gamma == 0:
        unreached = [
            edge.index for edge, parts in zip(network.edges, edges(network, wanted), strict=True) if not parts[0].any()
        ]
        assert unreached == DEAD[name]
    settlers: list[Settler] = [Implicit(gamma=gamma, relax=nets.FIXED, nudged=nets.FIXED)]
    settlers += [
        EquilibriumPropagation(gamma=gamma, beta=1e-4, freeze_mean=freeze_mean, relax=nets.FIXED, nudged=nudged)
        for nudged in RELAXATIONS
        for freeze_mean in (False, True)
    ]
    settlers += [DualPropagation(beta=1e-4), Backprop()] if gamma == 0 else []
    settlers += [TwoPhase(gamma=gamma, beta=1e-4, relax=nets.FIXED, nudged=nets.FIXED)] if gamma else []
    for settler in settlers:
        for found in both(network, settler):
            assert gap(found, wanted) < 1e-7, settler
            for mine, theirs in zip(found, wanted, strict=True):
                rounding = 1e-12 if isinstance(settler, TwoPhase) else 0.0  # of two products that are subtracted
                assert theirs.any() or float(mine.abs().max()) <= rounding, settler


@pytest.mark.parametrize(
    "feedback", [Random(), DirectFeedback(), Sign(), SignBatch(), SignUnit(), KolenPollack()], ids=str
)
@pytest.mark.parametrize("name", GRAPHS)
def test_with_other_wires_dead_ends_learn_nothing(name: str, feedback: Feedback) -> None:
    network = GRAPHS[name]()
    feedback.attach(network, seed=0)
    for settler in (
        DualPropagation(feedback=feedback),
        EquilibriumPropagation(gamma=0.0, freeze_mean=True, feedback=feedback),
        EquilibriumPropagation(gamma=0.0, freeze_mean=False, feedback=feedback, nudged=nets.once(3)),
    ):
        for found in both(network, settler):
            learned = [bool(parts[0].any()) for parts in edges(network, found)]
            assert learned == [edge.index not in DEAD[name] for edge in network.edges]


def test_settlers_that_follow_no_gradient_pass_too() -> None:
    """Without feedback contrastive Hebbian learning reaches what the error reaches; the delta rule the output alone."""
    for name, build in GRAPHS.items():
        network = build()
        for found in both(network, ContrastiveHebbian(gamma=0.0)):
            assert [
                e.index for e, parts in zip(network.edges, edges(network, found), strict=True) if not parts[0].any()
            ] == DEAD[name]
        for found in both(network, Feedforward()):
            top = len(network.layers)
            assert all(
                bool(parts[0].any()) == (e.target == top)
                for e, parts in zip(network.edges, edges(network, found), strict=True)
            )
