"""Spikes, synaptic operations and multiply-adds against counts by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from energy.couplings import Convolution, Dense, Module, Skip
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import CrossEntropy
from energy.pooling import AveragePool
from energy.potentials import ReLU
from energy.rules.contrast import Contrast
from energy.settle.reference import exact_settler
from energy.settle.spiking import Spiking, TemporalCredit
from energy.spiking.cost import fan_out, synaptic
from energy.spiking.encoders import Rate
from energy.spiking.monitor import record
from tests.spiking.oracle import NETWORKS, STEPS, Unrolled, batch, convolutional, dense


def test_a_dense_layer_by_hand() -> None:
    """Fan-outs 15 and 4; the output's spikes go nowhere. Spikes from the network written out in time."""
    network = dense()
    x, target = batch(network)
    spikes = [int(torch.stack(s).sum()) for s in Unrolled(network, [x] * STEPS).spikes]
    ledger = Ledger()
    Spiking().settle(network, x, target, CrossEntropy(), ledger)
    counts = ledger.read()
    assert counts["spikes"] == {"layer1": spikes[0], "layer2": spikes[1], "layer3": spikes[2]}
    assert counts["synaptic"] == {"layer1": 15 * spikes[0], "layer2": 4 * spikes[1], "layer3": 0}


@pytest.mark.parametrize(
    ("coupling", "shape"),
    [
        (Convolution(3, 4, 3, padding=1), (3, 5, 6)),
        (Convolution(4, 6, 3, stride=2, padding=1, groups=2), (4, 7, 6)),
        (Convolution(2, 3, 3, pool=AveragePool(2)), (2, 6, 6)),
        (Convolution(2, 3, 1), (2, 3, 3)),
        (Convolution(2, 3, 3, padding=1, dilation=2), (2, 6, 5)),
    ],
    ids=["padded", "stride and groups", "pooled", "one by one", "dilated"],
)
def test_the_fan_out_of_a_convolution_is_counted_output_by_output(
    coupling: Convolution, shape: tuple[int, ...]
) -> None:
    """An input unit reaches those outputs, before pooling, that change when it does."""
    with torch.no_grad():
        coupling.weight.fill_(1.0)
    pool, coupling.pool = coupling.pool, None
    still = torch.zeros(1, *shape)
    wanted = torch.zeros(shape)
    with torch.no_grad():
        for unit in range(math.prod(shape)):
            moved = still.clone()
            moved.view(-1)[unit] = 1.0
            wanted.view(-1)[unit] = (coupling(moved) != coupling(still)).sum()
    coupling.pool = pool
    found = fan_out(coupling, shape)
    assert isinstance(found, torch.Tensor) and torch.equal(found.float(), wanted)


def test_other_couplings() -> None:
    assert fan_out(Skip(), (3, 4)) == 1
    assert fan_out(Dense(12, 7), (3, 4)) == 7
    assert fan_out(Module(nn.Linear(6, 4)), (6,)) == 4  # its multiply-adds over its inputs


def test_units_at_the_border_have_fewer_synapses() -> None:
    """A corner of a padded 3×3 convolution reaches four positions, the middle nine."""
    network = Network((1, 4, 4))
    network.add(Convolution(1, 2, 3, padding=1), ReLU())
    fired = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    fired[0, 0, 0, 0] = fired[0, 0, 1, 1] = True
    assert [int(n) for n in synaptic(network, 0, fired)] == [2, 2 * 4 + 2 * 9]


def test_spikes_of_the_input_count_where_it_has_any() -> None:
    network = dense()
    x, target = batch(network)
    ledger, encoder = Ledger(), Rate(gain=0.3)
    Spiking(encoder=encoder).settle(network, x, target, CrossEntropy(), ledger)
    fired = int(encoder.encode(x, STEPS).sum())
    assert ledger.read()["spikes"]["input"] == fired > 0
    assert ledger.read()["synaptic"]["input"] == 20 * fired


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("credit", [TemporalCredit.ADJOINT, TemporalCredit.CAUSAL])
def test_multiply_adds_by_hand(name: str, credit: TemporalCredit) -> None:
    """T times those of back-propagation, but for the couplings of a constant input, which are applied once."""
    network = NETWORKS[name]()
    x, target = batch(network)
    ledger = Ledger()
    Contrast().gradients(network, Spiking(credit=credit).settle(network, x, target, CrossEntropy(), ledger))
    first, *others = [edge.multiply_adds * len(x) for edge in network.edges]
    assert ledger.multiply_adds_by_phase == {
        "free": first + STEPS * sum(others),
        "nudged": STEPS * sum(others),
        "products": first + STEPS * sum(others),
    }


def test_the_reference_by_hand() -> None:
    network = dense()
    x, target = batch(network)
    ledger = Ledger()
    Contrast().gradients(network, exact_settler(Spiking()).settle(network, x, target, CrossEntropy(), ledger))
    every = STEPS * len(x) * sum(edge.multiply_adds for edge in network.edges)
    first = STEPS * len(x) * network.edges[0].multiply_adds
    assert ledger.multiply_adds_by_phase == {"free": every, "nudged": every - first, "products": every}


def test_a_recording_agrees_with_the_ledger() -> None:
    network = convolutional(AveragePool(2))
    x, _ = batch(network)
    ledger = Ledger()
    seen = record(network, Spiking().simulate(network, x, ledger))
    assert seen.spikes["layer1"].shape == (STEPS, len(x), *network.shape(1))
    assert {name: int(s.sum()) for name, s in seen.spikes.items()} == dict(ledger.read()["spikes"])
    assert seen.spikes_per_sample == ledger.read()["spikes"].total() / len(x)
    assert seen.rates["layer1"] == pytest.approx(seen.spikes["layer1"].double().mean().item())
    unrolled = Unrolled(network, [x] * STEPS)
    for k, name in enumerate(seen.spikes):
        torch.testing.assert_close(seen.membranes[name], torch.stack(unrolled.membranes[k]).detach())
        torch.testing.assert_close(seen.traces[name], torch.stack(unrolled.traces[k]).detach())


def test_a_ledger_adds_up_and_reads_numbers() -> None:
    one, other = Ledger(), Ledger()
    one.count_spikes("a", torch.tensor(3), torch.tensor(30))
    other.count_spikes("a", 2, 20.5)
    other.count_spikes("b", torch.tensor(1), 7)
    one.update(other)
    one.update(other)
    assert one.read()["spikes"] == {"a": 7, "b": 2} and one.read()["synaptic"] == {"a": 71, "b": 14}
    assert other.read()["spikes"] == {"a": 2, "b": 1}
