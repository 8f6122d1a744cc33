"""`Rule.learn` against `settle` and `apply`: the same gradients, the same count, less memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch

from energy.kernels import fused
from energy.ledger import Ledger
from energy.models import VGG
from energy.network import Network
from energy.objectives import CrossEntropy, one_hot
from energy.potentials import HardSigmoid, ReLU
from energy.relax.dyad import Dyad
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.settle.dyadic import ContrastiveHebbian, DualPropagation, EquilibriumPropagation
from energy.settle.feedforward import Feedforward
from energy.settle.settled import SettledDyad
from energy.settle.settler import Settler
from energy.settle.two_phase import TwoPhase
from energy.study.memory import peak_bytes
from tests.settle import nets

NETWORKS: dict[str, Callable[[], Network]] = {
    "mlp": lambda: nets.mlp(HardSigmoid(), norm=0.5),
    "max": lambda: nets.cnn(HardSigmoid(), nets.POOLS["max"], norm=0.4),
    "graph": lambda: nets.skips(HardSigmoid(), norm=0.4),
    "curved": lambda: nets.curved(HardSigmoid(), norm=0.4),
    "readout": lambda: nets.mlp(HardSigmoid(), norm=0.5, readout=True),
}
SETTLERS: list[Settler] = [
    DualPropagation(),
    DualPropagation(alpha=0.0),
    DualPropagation(nudged=nets.once(3)),
    DualPropagation(gamma=0.5, relax=nets.once(2)),  # one dyad sweep with feedback: two products an edge
    EquilibriumPropagation(),
    EquilibriumPropagation(nudged=nets.once(1)),
    Feedforward(),
    Backprop(),
    TwoPhase(),
]


@pytest.mark.parametrize("settler", SETTLERS, ids=lambda s: s.name)
@pytest.mark.parametrize("name", NETWORKS)
def test_learning_is_settling_and_applying(name: str, settler: Settler) -> None:
    network, rule, one, two = NETWORKS[name](), Contrast(), Ledger(), Ledger()
    x, target = nets.batch(network)
    settled = settler.settle(network, x, target, nets.FROZEN, one)
    wanted = rule.gradients(network, settler.settle(network, x, target, nets.FROZEN))
    rule.apply(network, settled)
    applied = [p.grad for p in network.parameters()]
    learned = rule.learn(network, settler, x, target, nets.FROZEN, two)
    for parameter, once, first in zip(network.parameters(), applied, wanted, strict=True):
        assert parameter.grad is not None and once is not None
        assert torch.equal(parameter.grad, once)
        torch.testing.assert_close(parameter.grad, first / len(x), rtol=0, atol=1e-15)
    assert one.multiply_adds_by_phase == two.multiply_adds_by_phase and one.sweeps == two.sweeps
    assert torch.equal(learned.output, settled.output)


def test_neither_gradients_nor_apply_touch_the_states() -> None:
    network = NETWORKS["mlp"]()
    x, target = nets.batch(network)
    settled = ContrastiveHebbian().settle(network, x, target, nets.PROXIMAL)
    assert isinstance(settled, SettledDyad)
    before = [t.clone() for t in (*settled.mean, *settled.delta) if t is not None]
    first = Contrast().gradients(network, settled)
    Contrast().apply(network, settled)
    assert all(torch.equal(a, b) for a, b in zip(first, Contrast().gradients(network, settled), strict=True))
    after = [t for t in (*settled.mean, *settled.delta) if t is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_frozen_parameter_gets_no_gradient() -> None:
    network = NETWORKS["mlp"]()
    x, target = nets.batch(network)
    frozen = next(network.parameters()).requires_grad_(False)
    Contrast().learn(network, DualPropagation(), x, target, nets.FROZEN)
    assert frozen.grad is None and all(p.grad is not None for p in network.parameters() if p is not frozen)


@pytest.mark.parametrize("kernels", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_step_works_in_no_more_memory_than_back_propagation(kernels: bool) -> None:
    """The small VGG, batch 32, float32: peaks of the allocator, gradients included."""
    network = VGG(hidden=ReLU()).build((3, 32, 32), 10, seed=0).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(32, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    target, rule = one_hot(torch.arange(32) % 10, 10), Contrast()
    peaks = []
    for settler in (Backprop(), DualPropagation()):
        for measured in (False, True):  # the first time a kernel is compiled
            network.zero_grad()
            with fused(kernels):
                step = lambda s=settler: rule.learn(network, s, x, target, CrossEntropy())  # noqa: E731
                peaks.append(peak_bytes(step, x.device) if measured else step())
    assert 0 < peaks[3] <= peaks[1]


@pytest.mark.parametrize("settler", [DualPropagation(), EquilibriumPropagation()], ids=lambda s: s.name)
def test_nothing_of_a_step_waits_for_the_garbage_collector(settler: Settler) -> None:
    """A ring of references would keep the states of many steps alive."""
    network = NETWORKS["max"]()
    x, target = nets.batch(network)
    seen = weakref.WeakSet[Dyad]()
    real = Dyad.__init__

    def watched(self: Dyad, *given: object, **named: object) -> None:
        real(self, *given, **named)  # type: ignore[arg-type]
        seen.add(self)

    gc.disable()
    try:
        with patch.object(Dyad, "__init__", watched):
            Contrast().learn(network, settler, x, target, nets.FROZEN)
        assert not len(seen)
    finally:
        gc.enable()


def test_an_empty_batch_is_refused() -> None:
    network = NETWORKS["mlp"]()
    x, target = nets.batch(network)
    with pytest.raises(ValueError, match="B ≥ 1"):
        Contrast().learn(network, DualPropagation(), x[:0], target[:0], nets.FROZEN)
