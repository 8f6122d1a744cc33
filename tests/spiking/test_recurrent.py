"""Layers that hear themselves: the gradient against autograd, what is truncated, what is counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from energy.component import from_dict
from energy.couplings import Dense
from energy.couplings.recurrent import Recurrent
from energy.feedback import Feedback
from energy.ledger import Ledger
from energy.models import SpikingNet
from energy.network import Network
from energy.objectives import CrossEntropy
from energy.potentials import Identity, ReLU
from energy.rules.contrast import Contrast
from energy.settle import DualPropagation, EquilibriumPropagation
from energy.settle.reference import exact_settler
from energy.settle.spiking import Spiking, TemporalCredit
from energy.spiking.adaptive import AdaptiveLIF
from energy.spiking.encoders import Latency
from energy.spiking.errors import VanRossum
from energy.spiking.neuron import Neuron
from energy.spiking.neurons import LIF, Reset
from energy.testing import check_coupling
from tests.spiking.oracle import SLOPES, STEPS, TAU_S, Unrolled, autograd, batch, gap, gradients, recurrent, wired

RUNNING = [TemporalCredit.CAUSAL, TemporalCredit.INSTANT, TemporalCredit.ONLINE]


def laterals(network: Network, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Those of recurrent synapses."""
    names = [name for name, _ in network.named_parameters()]
    return [one for name, one in zip(names, tensors, strict=True) if "lateral" in name]


@pytest.mark.parametrize("reset", Reset)
@pytest.mark.parametrize("detach", [True, False])
def test_the_gradient_is_that_of_the_network_written_out_in_time(reset: Reset, detach: bool) -> None:
    network = recurrent()
    x, target = batch(network)
    settler = Spiking(neuron=LIF(reset=reset, detach_reset=detach))
    unrolled = Unrolled(network, [x] * STEPS, reset=reset.name.lower(), detach=detach)
    wanted = autograd(unrolled.van_rossum(target), network)
    assert all(float(g.norm()) > 0 for g in laterals(network, wanted))
    assert gap(gradients(settler, network, x, target), wanted) < 1e-12
    assert gap(gradients(exact_settler(settler), network, x, target), wanted) < 1e-12


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_other_neurons_and_any_number_of_steps(steps: int) -> None:
    network = recurrent()
    x, target = batch(network)
    settler = Spiking(steps=steps, neuron=AdaptiveLIF(), encoder=Latency(), error=VanRossum(pattern=[1]))
    found = gradients(settler, network, x, target)
    assert gap(found, gradients(exact_settler(settler), network, x, target)) < 1e-12
    assert any(bool(g.any()) for g in laterals(network, found)) == (steps > 1)


def test_without_recurrent_weights_it_is_a_dense_network() -> None:
    """And V = 0 has a gradient, so that it leaves 0."""
    network = recurrent()
    with torch.no_grad():
        for p in laterals(network, list(network.parameters())):
            p.zero_()
    plain = Network((8,))
    for a, b in ((8, 20), (20, 15), (15, 4)):
        plain.add(Dense(a, b), ReLU() if b > 4 else Identity())
    plain.double().load_state_dict({k: v for k, v in network.state_dict().items() if "lateral" not in k})
    x, target = batch(network)
    for credit in TemporalCredit:
        settler = Spiking(credit=credit)
        found, wanted = gradients(settler, network, x, target), gradients(settler, plain, x, target)
        names = [name for name, _ in network.named_parameters()]
        kept = [g for name, g in zip(names, found, strict=True) if "lateral" not in name]
        assert gap(kept, wanted) < 1e-12
        assert all(bool(g.any()) for g in laterals(network, found))


@pytest.mark.parametrize("kind", ["sign", "random"])
def test_feedback_weights_replace_w_and_not_v(kind: str) -> None:
    network, feedback = recurrent(), from_dict(Feedback, kind)
    back = wired(network, feedback)
    x, target = batch(network)
    wanted = autograd(Unrolled(network, [x] * STEPS, back=back).van_rossum(target), network)
    assert gap(gradients(Spiking(feedback=feedback), network, x, target), wanted) < 1e-12


@pytest.mark.parametrize("credit", RUNNING)
def test_running_credit_from_its_definition(credit: TemporalCredit) -> None:
    """V by δ[t] with what it heard at t − 1, faded; no error goes through V, so W learns as if V were a constant."""
    network = recurrent(bias=False)
    x, target = batch(network)
    run, depth = Unrolled(network, [x] * STEPS), 3
    pre = [[x] * STEPS, *run.traces[:-1]]
    couplings: list[Any] = [edge.coupling for edge in network.edges]
    total = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    wanted, before = torch.zeros_like(target), [torch.zeros(6, n).double() for n in (20, 15, 4)]
    for t in range(STEPS):
        wanted = (1 - 1 / TAU_S) * wanted + target * (0, 1, 1, 1, 1)[t] / TAU_S
        delta: list[torch.Tensor] = [torch.zeros(0)] * depth
        for k in reversed(range(depth)):
            above = before if credit is TemporalCredit.ONLINE else delta
            apical = run.traces[-1][t] - wanted if k == depth - 1 else above[k + 1] @ couplings[k + 1].weight
            delta[k] = SLOPES["logistic"](run.membranes[k][t] - 1) * apical
            past = range(t, t + 1) if credit is TemporalCredit.INSTANT else range(t + 1)
            total[f"couplings.{k}.weight"] += delta[k].T @ sum(0.8 ** (t - i) * pre[k][i] for i in past)
            if k < depth - 1 and t:
                heard = sum(0.8 ** (t - i) * run.traces[k][i - 1] for i in past if i)
                total[f"couplings.{k}.lateral.weight"] += delta[k].T @ heard
        before = delta
    found = gradients(Spiking(credit=credit), network, x, target)
    assert all(bool(g.any()) for g in laterals(network, found))
    assert gap(found, [one.detach() for one in total.values()]) < 1e-12
    assert gap(found, gradients(Spiking(), network, x, target)) > 1e-2


@pytest.mark.parametrize("neuron", [LIF(), AdaptiveLIF()], ids=lambda n: n.name)
@pytest.mark.parametrize("credit", RUNNING)
def test_running_credit_simulates_the_same_network(credit: TemporalCredit, neuron: Neuron) -> None:
    network = recurrent()
    x, target = batch(network)
    exact, running = (
        Spiking(neuron=neuron, credit=one).settle(network, x, target, CrossEntropy())
        for one in (TemporalCredit.ADJOINT, credit)
    )
    for settled in (exact, running):
        Contrast().gradients(network, settled)
    torch.testing.assert_close(running.output, exact.output)
    assert running.ledger.read()["synaptic"] == exact.ledger.read()["synaptic"]
    assert running.ledger.multiply_adds_by_phase["free"] == exact.ledger.multiply_adds_by_phase["free"]


def test_counts_by_hand() -> None:
    """V acts at all steps but the first; a spike reaches the units above and those of its own layer."""
    network = recurrent()
    x, target = batch(network)
    ledger, taped = Ledger(), Ledger()
    Contrast().gradients(network, Spiking().settle(network, x, target, CrossEntropy(), ledger))
    Contrast().gradients(network, exact_settler(Spiking()).settle(network, x, target, CrossEntropy(), taped))
    again = (STEPS - 1) * len(x) * (20 * 20 + 15 * 15)
    up, first = STEPS * len(x) * (20 * 15 + 15 * 4), len(x) * 8 * 20
    assert ledger.multiply_adds_by_phase == {
        "free": first + up + again,
        "nudged": up + again,
        "products": first + up + again,
    }
    assert (
        taped.multiply_adds_by_phase["free"] == STEPS * first + up + again
        and taped.multiply_adds_by_phase["nudged"] == up + again
    )
    counts = ledger.read()
    spikes = counts["spikes"]
    assert counts["synaptic"] == {"layer1": 35 * spikes["layer1"], "layer2": 19 * spikes["layer2"], "layer3": 0}
    assert taped.read()["synaptic"] == counts["synaptic"]


def test_the_coupling_outside_time() -> None:
    """A(m) = Wm + b by its contract; methods of rates leave V alone."""
    assert check_coupling(Recurrent(6, 4), (6,)) == []
    network = recurrent()
    x, target = batch(network)
    for settler in (DualPropagation(), EquilibriumPropagation()):
        found = Contrast().gradients(network, settler.settle(network, x, target, CrossEntropy()))
        names = [name for name, _ in network.named_parameters()]
        moved = {name: bool(g.any()) for name, g in zip(names, found, strict=True)}
        assert moved["couplings.0.weight"] and moved["couplings.0.bias"]
        assert not any(bool(g.any()) for g in laterals(network, found))


def test_the_model_has_them_on_request() -> None:
    network = SpikingNet(dense=[20, 15], recurrent=True).build((1, 8, 8), 10, seed=0)
    kinds = [type(edge.coupling).__name__ for edge in network.edges]
    assert kinds == ["Recurrent", "Recurrent", "Dense"]
    assert [tuple(v.shape) for v in laterals(network, list(network.parameters()))] == [(20, 20), (15, 15)]


def test_the_circuit_cell_by_cell_refuses_them() -> None:
    from energy.spiking.microcircuit import Microcircuit

    with pytest.raises(ValueError, match="no recurrent synapses"):
        Microcircuit(recurrent(), LIF(), Spiking().surrogate, 0.5)
