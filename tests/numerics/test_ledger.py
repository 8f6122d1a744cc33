"""What settling costs, by hand. U: every coupling once to one sample; U₁: the part that reads the input."""

import pytest
import torch

from energy.couplings import Convolution, Dense, Skip
from energy.ledger import Ledger, backprop_multiply_adds
from energy.network import Network
from energy.objectives import SquaredError, one_hot
from energy.pooling import MaxPool
from energy.potentials import Identity, Tanh
from energy.relax.sweep import Sweep
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation, EquilibriumPropagation
from energy.settle.settler import Settler
from energy.stream import stream

BATCH = 7


def network() -> Network:
    """1×6×6 – conv 3×3, 2 channels, pooled – dense 5 – dense 3, and a skip without weights."""
    net = Network((1, 6, 6))
    net.add(Convolution(1, 2, 3, padding=1, pool=MaxPool(2)), Tanh())
    net.add(Dense(18, 5), Tanh())
    net.add({2: Dense(5, 5), 1: Dense(18, 5)}, Tanh())
    net.add({3: Skip(), 2: Skip()}, Tanh())
    net.add(Dense(5, 3), Identity())
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(0.2 * torch.randn(p.shape, generator=stream(0, name)))
    return net


FIRST = 6 * 6 * 2 * 9
EVERY = FIRST + 18 * 5 + 5 * 5 + 18 * 5 + 0 + 0 + 5 * 3
REST = EVERY - FIRST


def spent(settler: Settler) -> Ledger:
    net, ledger = network(), Ledger()
    x = torch.rand(BATCH, 1, 6, 6, generator=stream(0, "x"))
    target = one_hot(torch.arange(BATCH) % 3, 3)
    settled = settler.settle(net, x, target, SquaredError(), ledger)
    Contrast().gradients(net, settled)
    return ledger


def test_every_edge_by_hand() -> None:
    assert sum(edge.multiply_adds for edge in network().edges) == EVERY
    assert backprop_multiply_adds(network()) == 3 * EVERY - FIRST


@pytest.mark.parametrize("settler", [Backprop(), DualPropagation(), DualPropagation(alpha=0.0, beta=1.0)])
def test_dual_propagation_costs_what_back_propagation_costs(settler: Settler) -> None:
    ledger = spent(settler)
    assert ledger.multiply_adds == (3 * EVERY - FIRST) * BATCH
    assert ledger.backprop_steps(network(), BATCH) == 1
    assert ledger.multiply_adds_by_phase == {"free": EVERY * BATCH, "nudged": REST * BATCH, "products": EVERY * BATCH}


@pytest.mark.parametrize("sweeps", [1, 2, 5])
def test_further_sweeps_without_feedback(sweeps: int) -> None:
    """3U − U₁ + 2(n − 1)(U − U₁)."""
    ledger = spent(DualPropagation(nudged=Sweep(max_steps=sweeps, tolerance=0.0)))
    assert ledger.multiply_adds == (3 * EVERY - FIRST + 2 * (sweeps - 1) * REST) * BATCH
    assert ledger.sweeps == {"nudged": sweeps}


@pytest.mark.parametrize(("mean", "both"), [(1, 1), (3, 2), (10, 4)])
def test_equilibrium_propagation(mean: int, both: int) -> None:
    """U for the start; T sweeps of the mean at 2(U − U₁), the first upward half being free; K of both at 4(U − U₁);
    products 2U − U₁."""
    relax, nudged = (Sweep(max_steps=steps, tolerance=0.0) for steps in (mean, both))
    settler = EquilibriumPropagation(relax=relax, nudged=nudged, freeze_mean=False)
    ledger = spent(settler)
    assert ledger.multiply_adds_by_phase["free"] == (EVERY + (2 * mean - 1) * REST) * BATCH
    assert ledger.multiply_adds_by_phase["nudged"] == 4 * both * REST * BATCH
    assert ledger.multiply_adds_by_phase["products"] == (EVERY + REST) * BATCH
    assert ledger.sweeps == {"free": mean, "nudged": both}


def test_the_input_is_heard_once() -> None:
    few = spent(
        EquilibriumPropagation(relax=Sweep(max_steps=1, tolerance=0.0), nudged=Sweep(max_steps=1, tolerance=0.0))
    )
    many = spent(
        EquilibriumPropagation(relax=Sweep(max_steps=9, tolerance=0.0), nudged=Sweep(max_steps=9, tolerance=0.0))
    )
    assert (many.multiply_adds - few.multiply_adds) % REST == 0


def test_ledgers_add_up() -> None:
    one, two = Ledger(), Ledger()
    one.apply("free", 10, 3)
    two.apply("free", 5, 2)
    two.apply("nudged", 7, 1)
    two.sweeps["free"] += 4
    one.update(two)
    assert (one.multiply_adds_by_phase, one.applications, one.sweeps) == (
        {"free": 40, "nudged": 7},
        {"free": 5, "nudged": 1},
        {"free": 4},
    )
    assert one.multiply_adds == 47
