"""What a step costs: the ledger against hand counts and against torch's own counter on the computations as they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from energy.couplings import BatchNorm, Convolution, Dense
from energy.ledger import Ledger, backprop_multiply_adds
from energy.models import VGG, VGG16
from energy.network import Network
from energy.pooling import MaxPool
from energy.potentials import HardSigmoid, ReLU
from energy.relax.sweep import Sweep
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.settle.dyadic import ContrastiveHebbian, DualPropagation, EquilibriumPropagation, Implicit
from energy.settle.feedforward import Feedforward
from energy.settle.settler import Settler
from energy.settle.two_phase import CoupledLearning, PhaseContrast, TwoPhase, TwoPhaseContrastiveHebbian
from tests.settle import nets

BATCH = 5
NETWORKS: dict[str, Callable[[], Network]] = {
    "mlp": lambda: nets.mlp(HardSigmoid(), norm=0.3),
    "cnn": lambda: nets.cnn(HardSigmoid(), nets.POOLS["max"], norm=0.3),
    "average": lambda: nets.cnn(HardSigmoid(), nets.POOLS["average"], norm=0.3),
    "graph": lambda: nets.skips(HardSigmoid(), norm=0.3),
    "vgg": lambda: VGG(plan=[4, 0, 6, 0], dense=[7], hidden=ReLU()).build((3, 8, 8), 5, seed=0).double(),
}


def units(network: Network) -> tuple[int, int]:
    """U and U₁ for the batch, from the shapes of the weights: outputs × fan-in."""
    total, first = 0, 0
    for edge in network.edges:
        weight = dict(edge.coupling.named_parameters()).get("weight")
        if weight is None:
            continue
        positions = 1
        if weight.ndim == 4:
            pre = torch.zeros(1, *network.shape(edge.source), dtype=weight.dtype)
            pool, edge.coupling.pool = edge.coupling.pool, None  # type: ignore[union-attr]
            positions = edge.coupling(pre)[0, 0].numel()
            edge.coupling.pool = pool  # type: ignore[union-attr]
        cost = weight.numel() * positions * BATCH
        total += cost
        first += cost if edge.source == 0 else 0
    return total, first


def spend(settler: Settler, network: Network) -> tuple[Ledger, int]:
    """The ledger of one step, and torch's count of multiply-adds of the same step."""
    x, target = nets.batch(network, samples=BATCH)
    ledger = Ledger()
    with FlopCounterMode(display=False) as counter:
        Contrast().gradients(network, settler.settle(network, x, target, nets.FROZEN, ledger))
    return ledger, counter.get_total_flops() // 2


def check(settler: Settler, network: Network, phases: dict[str, int]) -> None:
    ledger, counted = spend(settler, network)
    assert dict(ledger.multiply_adds_by_phase) == phases
    assert ledger.multiply_adds == sum(phases.values()) == counted


@pytest.mark.parametrize("name", NETWORKS)
class TestCounts:
    def test_back_propagation(self, name: str) -> None:
        network = NETWORKS[name]()
        u, first = units(network)
        check(Backprop(), network, {"free": u, "nudged": u - first, "products": u})
        assert spend(Backprop(), network)[0].backprop_steps(network, BATCH) == 1

    @pytest.mark.thinned(by=2)
    @pytest.mark.parametrize("sweeps", [1, 2, 5])
    @pytest.mark.parametrize("alpha", [0.0, 0.5])
    def test_dual_propagation(self, name: str, alpha: float, sweeps: int) -> None:
        """3U − U₁ + 2(n − 1)(U − U₁); at n = 1 the ratio to back-propagation is 1."""
        network = NETWORKS[name]()
        u, first = units(network)
        settler = DualPropagation(alpha=alpha, nudged=nets.once(sweeps))
        check(settler, network, {"free": u, "nudged": (2 * sweeps - 1) * (u - first), "products": u})
        ledger = spend(settler, network)[0]
        assert ledger.sweeps == {"nudged": sweeps}
        assert ledger.multiply_adds == 3 * u - first + 2 * (sweeps - 1) * (u - first)
        if sweeps == 1:
            assert ledger.multiply_adds == spend(Backprop(), network)[0].multiply_adds
            assert ledger.backprop_steps(network, BATCH) == 1

    @pytest.mark.thinned(by=2)
    @pytest.mark.parametrize(("free", "both"), [(1, 1), (7, 1), (5, 3)])
    def test_a_dyad_with_feedback(self, name: str, free: int, both: int) -> None:
        """Start U; the first free sweep only comes down; a dyad sweep carries m and δ both ways; products U + (U −
        U₁)."""
        network = NETWORKS[name]()
        u, first = units(network)
        spent = {"free": u + (2 * free - 1) * (u - first), "nudged": 4 * both * (u - first), "products": 2 * u - first}
        fields: dict[str, Any] = {"relax": nets.once(free), "nudged": nets.once(both)}
        joint = EquilibriumPropagation(**fields, freeze_mean=False)
        for settler in (joint, ContrastiveHebbian(**fields), Implicit(**fields)):
            check(settler, network, spent)
            assert spend(settler, network)[0].sweeps == {"free": free, "nudged": both}

    @pytest.mark.parametrize("momentum", [0.0, 0.9])
    @pytest.mark.parametrize(("free", "delta"), [(1, 1), (7, 1), (5, 3)])
    def test_a_held_mean(self, name: str, free: int, delta: int, momentum: float) -> None:
        """The mean climbs once more when it is free; then δ alone, down, and up and down. Extrapolation is free."""
        network = NETWORKS[name]()
        u, first = units(network)
        spent = {"free": u + 2 * free * (u - first), "nudged": (2 * delta - 1) * (u - first), "products": 2 * u - first}
        relax, nudged = (Sweep(max_steps=n, tolerance=0.0, momentum=momentum) for n in (free, delta))
        check(EquilibriumPropagation(relax=relax, nudged=nudged), network, spent)

    @pytest.mark.parametrize(("free", "more"), [(1, 1), (6, 4)])
    def test_stored_phases(self, name: str, free: int, more: int) -> None:
        """The free phase as above, 2K(U − U₁) each perturbed phase, U of products a phase contrasted."""
        network = NETWORKS[name]()
        u, first = units(network)
        spent = {"free": u + (2 * free - 1) * (u - first), "products": 2 * u}
        each = 2 * more * (u - first)
        fields: dict[str, Any] = {"relax": nets.once(free), "nudged": nets.once(more)}
        check(TwoPhase(**fields), network, {**spent, "nudged": each, "nudged_down": each})
        check(TwoPhase(**fields, kind=PhaseContrast.POSITIVE), network, {**spent, "nudged": each})
        check(CoupledLearning(**fields), network, {**spent, "nudged": each, "nudged_down": each})
        check(TwoPhaseContrastiveHebbian(**fields), network, {**spent, "clamped": each})

    def test_one_bottom_up_pass(self, name: str) -> None:
        network = NETWORKS[name]()
        u, _ = units(network)
        ledger, _ = spend(Feedforward(), network)
        assert ledger.multiply_adds_by_phase["free"] == u
        prediction = Ledger()
        DualPropagation().predict(network, nets.batch(network, samples=BATCH)[0], prediction)
        assert dict(prediction.multiply_adds_by_phase) == {"free": u}


def test_the_papers_vgg16_on_the_meta_device() -> None:
    """332.1 M multiply-adds forward for a 32×32 image, 33.64 M parameters: the note's own counts, no arithmetic
    done."""
    with torch.device("meta"), patch("energy.models.vgg.normal"):
        network = VGG16().build((3, 32, 32), 10, seed=0)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(33.64e6, rel=1e-3)
    assert sum(edge.multiply_adds for edge in network.edges) == pytest.approx(332.1e6, rel=1e-3)
    assert 2 * backprop_multiply_adds(network) == pytest.approx(1.99e9, rel=5e-3)


def test_twice_the_samples_cost_twice_and_ledgers_add_up() -> None:
    network = nets.mlp(HardSigmoid(), norm=0.3)
    one, two = Ledger(), Ledger()
    x, target = nets.batch(network, samples=BATCH)
    EquilibriumPropagation().settle(network, x, target, nets.FROZEN, one)
    EquilibriumPropagation().settle(network, torch.cat([x, x]), torch.cat([target, target]), nets.FROZEN, two)
    assert two.multiply_adds == 2 * one.multiply_adds
    assert two.sweeps == one.sweeps
    one.update(one)
    assert one.multiply_adds_by_phase == two.multiply_adds_by_phase


def normalized() -> Network:
    network = Network((2, 6, 6))
    network.add(BatchNorm(Convolution(2, 4, 3, padding=1, bias=False), 4, pool=MaxPool(2)), ReLU())
    network.add(BatchNorm(Convolution(4, 5, 3, padding=1, bias=False, pool=MaxPool(2)), 5), ReLU())
    network.add(Dense(5, 3), HardSigmoid())
    return nets.draw(network.double(), 0.3, 0)


FIRST, CURVED, DENSE = BATCH * 4 * 36 * 18, BATCH * 5 * 9 * 36, BATCH * 15  # multiply-adds of its three couplings


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize(("free", "delta"), [(1, 1), (2, 1), (3, 4)])
def test_a_curved_coupling_with_feedback(free: int, delta: int, held: bool) -> None:
    """A curvature, of which a first downward half has none since δ is zero, takes a tangent and an adjoint, and a
    second product a tangent; a mean that moves has its filters applied anew, and a product of the curvature alone."""
    u, above = FIRST + CURVED + DENSE, CURVED + DENSE
    spent = {"free": u + 2 * free * above, "nudged": (2 * delta - 1) * above, "products": u + above + CURVED}
    if not held:
        spent |= {"free": u + (2 * free - 1) * above, "nudged": 4 * delta * above}
        spent["products"] += 2 * CURVED
    spent["nudged"] += 2 * CURVED * (delta - 1)
    fields: dict[str, Any] = {"relax": nets.once(free), "nudged": nets.once(delta)}
    settler, network = EquilibriumPropagation(gamma=0.1, freeze_mean=held, **fields), normalized()
    spend(settler, network)  # a network is tried on two samples when it is first used
    check(settler, network, spent)


@pytest.mark.parametrize("held", [True, False])
def test_a_curved_coupling_without_feedback(held: bool) -> None:
    u, above = FIRST + CURVED + DENSE, CURVED + DENSE
    settler, network = DualPropagation(alpha=1.0, freeze_mean=held), normalized()
    spend(settler, network)
    check(settler, network, {"free": u, "nudged": above, "products": u if held else u + CURVED})
