"""Steps of predictive coding: what they cost, read once, as programs, and on every kind of network."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest
import torch
from torch import nn

from energy.component import ConfigurationError
from energy.couplings import BatchNorm, Block, Dense
from energy.ledger import Ledger, backprop_multiply_adds
from energy.models import MLP, VGG
from energy.network import Network
from energy.potentials import HardSigmoid, Identity, ReLU, Tanh
from energy.program import Program
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.zebra import Zebra
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.settle.predictive_coding import ErrorPredictiveCoding, PredictiveCoding
from energy.settle.predictive_ep import PredictiveCodingEP
from energy.settle.settled import SettledDyads
from energy.settle.settler import Settler
from energy.settle.two_phase import PhaseContrast
from tests.program.pairs import Pair
from tests.settle import nets
from tests.settle.oracles import autograd, cosines, gap, learn

NETWORKS = {
    "mlp": lambda hidden: nets.mlp(hidden, gain=0.8),
    "cnn": lambda hidden: nets.cnn(hidden, nets.POOLS["max"], gain=0.8),
    "graph": lambda hidden: nets.skips(hidden, gain=0.7),
}


def sweeps(steps: int) -> Sweep:
    return Sweep(max_steps=steps, tolerance=0.0)


SETTLERS: dict[str, Callable[[], Settler]] = {
    "centered": lambda: PredictiveCodingEP(beta=0.2),
    "random_sign": lambda: PredictiveCodingEP(beta=0.2, kind=PhaseContrast.RANDOM_SIGN),
    "zebra": lambda: PredictiveCodingEP(beta=0.2, nudged=Zebra(max_steps=4, tolerance=0.0)),
    "tolerance": lambda: PredictiveCodingEP(beta=0.2, nudged=Zebra(max_steps=40, tolerance=1e-3)),
    "errors": lambda: ErrorPredictiveCoding(),
    "one_step": lambda: ErrorPredictiveCoding(rate=1.0, nudged=sweeps(1)),
    "errors_tolerance": lambda: ErrorPredictiveCoding(nudged=Sweep(max_steps=40, tolerance=1e-3)),
    "classical": lambda: PredictiveCoding(),
    "classical_zebra": lambda: PredictiveCoding(nudged=Zebra(max_steps=6, tolerance=0.0)),
}
every_settler = pytest.mark.parametrize("settler", SETTLERS.values(), ids=SETTLERS)


@every_settler
@pytest.mark.parametrize("build", [NETWORKS["cnn"], NETWORKS["graph"]], ids=["cnn", "graph"])
def test_learning_once_is_settling_and_reading(build: nets.Build, settler: Callable[[], Settler]) -> None:
    network, one = build(ReLU()), settler()
    x, target = nets.batch(network)
    wanted = learn(one, network, x, target, nets.PROXIMAL)
    again = Contrast().gradients(network, one.settle_once(network, x, target, nets.PROXIMAL))
    assert gap(again, wanted) < 1e-14
    twice = one.settle(network, x, target, nets.PROXIMAL)
    assert all(map(torch.equal, Contrast().gradients(network, twice), Contrast().gradients(network, twice)))


@pytest.mark.thinned(by=2)
@every_settler
@pytest.mark.parametrize("build", [NETWORKS["mlp"], NETWORKS["graph"]], ids=["mlp", "graph"])
def test_a_program_is_the_plain_step(build: nets.Build, settler: Callable[[], Settler]) -> None:
    network = build(ReLU())
    pair = Pair(network, settler(), Contrast(), nets.PROXIMAL)
    pair.run(*(nets.batch(network, seed=seed) for seed in range(4)))
    assert isinstance(pair.program, Program) and pair.recorded


def units(network: Network) -> tuple[int, int]:
    every = sum(edge.multiply_adds for edge in network.edges)
    return every, every - sum(edge.multiply_adds for edge in network.edges if edge.source)


def spent(settler: Settler, network: Network) -> int:
    ledger, (x, target) = Ledger(), nets.batch(network, samples=3)
    Contrast().gradients(network, settler.settle(network, x, target, nets.CROSS, ledger))
    assert ledger.multiply_adds % 3 == 0
    return ledger.multiply_adds // 3


@pytest.mark.parametrize("build", [NETWORKS["mlp"], NETWORKS["cnn"], NETWORKS["graph"]], ids=["mlp", "cnn", "graph"])
def test_the_price_is_the_one_that_is_stated(build: nets.Build) -> None:
    network = build(ReLU())
    every, first = units(network)
    inner, ep = every - first, PredictiveCodingEP
    for steps in (1, 2, 5):
        for kind, n in ((PhaseContrast.RANDOM_SIGN, 1), (PhaseContrast.NEGATIVE, 1), (PhaseContrast.CENTERED, 2)):
            assert spent(ep(kind=kind, nudged=sweeps(steps)), network) == every + n * ((2 * steps - 1) * inner + every)
        assert spent(ErrorPredictiveCoding(nudged=sweeps(steps)), network) == 2 * every + (2 * steps - 1) * inner
        nudged = Synchronous(damping=0.8, max_steps=steps, tolerance=0.0)
        assert spent(PredictiveCoding(nudged=nudged), network) == 2 * every + 2 * steps * inner
    assert spent(ErrorPredictiveCoding(nudged=sweeps(1)), network) == backprop_multiply_adds(network)


def test_zebra_costs_what_the_change_has_reached() -> None:
    """On a chain the change goes down a layer per half-step: a layer that it has not reached sends nothing."""
    network = MLP(sizes=[7, 6, 5, 4], hidden=ReLU()).build((1, 2, 4), 3, seed=0).double()
    costs, depth = [edge.multiply_adds for edge in network.edges], len(network.layers)
    for steps in range(1, 7):
        moved, total = {depth + 1}, 2 * sum(costs)
        for color in itertools.chain.from_iterable([(1, 0)] * steps):
            due = [k for k in range(1, depth + 1) if k % 2 == color and (k == depth or {k - 1, k + 1} & moved)]
            total += sum(costs[k - 1] for k in due if k - 1 in moved)  # from below
            total += sum(costs[k] for k in due if k < depth and k + 1 in moved)  # from above
            moved |= set(due)
        settler = PredictiveCodingEP(kind=PhaseContrast.POSITIVE, nudged=Zebra(max_steps=steps, tolerance=0.0))
        assert spent(settler, network) == total
        every, first = units(network)
        assert total < 2 * every + 2 * steps * (every - first)


def test_the_schedules_of_the_literature_cost_no_more_than_theirs() -> None:
    """Kerjan's VGG5: centered K = 5 about 7.6 steps of back-propagation, K = 10 14, random sign K = 10 7.7."""
    network = VGG(plan=[16, 32, 0, 64, 0, 64, 0, 64, 0], dense=[]).build((3, 32, 32), 10, seed=0).double()
    step = backprop_multiply_adds(network)
    for kind, steps, theirs in (("CENTERED", 5, 7.6), ("CENTERED", 10, 14.0), ("RANDOM_SIGN", 10, 7.7)):
        settler = PredictiveCodingEP(kind=PhaseContrast[kind], nudged=Zebra(max_steps=steps, tolerance=0.0))
        assert spent(settler, network) / step < 0.8 * theirs


@pytest.mark.parametrize("name", ["centered", "random_sign", "errors", "classical"])
def test_batches_are_normalized_as_by_back_propagation(name: str) -> None:
    network = Network((6,))
    network.add(BatchNorm(Dense(6, 7, bias=False), 7), ReLU())
    network.add(BatchNorm(Dense(7, 5, bias=False), 5), Tanh())
    network.add(Dense(5, 3), Identity())
    nets.draw(network, 1.0, 0)
    x, target = nets.batch(network, samples=8)
    wanted = Contrast().gradients(network, Backprop().settle(network, x, target, nets.FROZEN))
    settler = SETTLERS[name]()
    if name != "classical":
        settler = dataclasses.replace(settler, beta=1e-6)
        assert gap(learn(settler, network, x, target, nets.FROZEN), wanted) < 1e-5
    else:
        assert min(cosines(network, learn(settler, network, x, target, nets.FROZEN), wanted)) > 0.3


@every_settler
def test_without_feedback_in_the_mean_a_read_out_is_a_layer_like_any_other(settler: Callable[[], Settler]) -> None:
    found = []
    for readout in (False, True):
        network = nets.mlp(ReLU(), readout=readout)
        x, target = nets.batch(network)
        found.append(learn(settler(), network, x, target, nets.CROSS))
    assert all(map(torch.equal, *found))


def test_blocks_take_part() -> None:
    network = Network((6,))
    network.add(Dense(6, 7), ReLU())
    network.add(Block(Dense(7, 5), nn.LayerNorm(7, elementwise_affine=False), centered=True), ReLU())
    network.add(Dense(5, 3), Identity())
    nets.draw(network, 1.0, 0)
    x, target = nets.batch(network)
    wanted = autograd(network, x, target, nets.FROZEN)
    for settler in (PredictiveCodingEP(beta=1e-7), ErrorPredictiveCoding(beta=1e-7)):
        assert gap(learn(settler, network, x, target, nets.FROZEN), wanted) < 1e-5


def test_narrow_states_keep_the_contrast_at_a_small_nudge() -> None:
    """ε/β has a closed form: in bfloat16 a difference of activities would be zero at this β."""
    network = nets.mlp(HardSigmoid(), sizes=(20, 30, 30, 10)).float()
    x, target = nets.batch(network, samples=32, dtype=torch.bfloat16)
    wanted = autograd(network, x.float(), target.float(), nets.FROZEN)
    settler = PredictiveCodingEP(beta=1e-4, kind=PhaseContrast.POSITIVE)
    assert min(cosines(network, learn(settler, network, x, target, nets.FROZEN), wanted)) > 0.99


def test_two_equilibria_are_kept_apart() -> None:
    network = nets.mlp(ReLU())
    x, target = nets.batch(network)
    settled = PredictiveCodingEP().settle(network, x, target, nets.PROXIMAL)
    assert isinstance(settled, SettledDyads) and set(settled.solutions) == {"nudged", "nudged_down"}
    torch.testing.assert_close(settled.output, network(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PredictiveCodingEP(gamma=0.5), "gamma"),
        (lambda: PredictiveCodingEP(beta=-0.1), "the sign is chosen by kind"),
        (lambda: PredictiveCoding(gamma=1.0), "gamma"),
        (lambda: ErrorPredictiveCoding(rate=0.0), "rate"),
        (lambda: ErrorPredictiveCoding(nudged=Sweep(momentum=0.5)), "without momentum"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], Settler], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()
