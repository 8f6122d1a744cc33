"""NIR: the graph that is written, run by an interpreter of NIR's own equations, spikes as the network does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from energy.component import ConfigurationError
from energy.couplings import Dense
from energy.ledger import Ledger
from energy.models import ResNet, SpikingNet
from energy.models.spiking import Pooling
from energy.network import Network
from energy.potentials import Identity
from energy.settle.spiking import Spiking
from energy.spiking.adaptive import AdaptiveLIF
from energy.spiking.export import to_nir
from energy.spiking.monitor import record
from energy.spiking.neuron import Neuron
from energy.spiking.neurons import LIF, Reset
from tests.spiking.oracle import dense, recurrent

nir = pytest.importorskip("nir")
DT = 1e-3


class Interpreter:
    """Forward Euler over dt, node by node, on one sample; synapse, membrane, spike and reset in this order."""

    def __init__(self, graph: Any) -> None:
        self.nodes, self.next = graph.nodes, dict(graph.edges)
        self.current: dict[str, Any] = {}
        self.membrane: dict[str, Any] = {}

    def step(self, shown: np.ndarray[Any, Any]) -> dict[str, Any]:
        """The output of every node."""
        name, value, found = "input", shown, {}
        while name in self.next:
            name = self.next[name]
            value = found[name] = self.pass_through(name, self.nodes[name], value)
        return found

    def pass_through(self, name: str, node: Any, value: Any) -> Any:
        if isinstance(node, nir.LIF | nir.CubaLIF | nir.IF):
            return self.unit(name, node, value)
        if isinstance(node, nir.LI):
            before = self.current.get(name, 0 * value)
            self.current[name] = before + DT / node.tau * (node.v_leak - before + node.r * value)
            return self.current[name]
        if isinstance(node, nir.Affine):
            return node.weight @ value + node.bias
        if isinstance(node, nir.Flatten):
            return value.reshape(-1)
        one = torch.as_tensor(value)[None]
        if isinstance(node, nir.Conv2d):
            weight, bias = torch.as_tensor(node.weight), torch.as_tensor(node.bias)
            stride, padding = (tuple(int(n) for n in np.broadcast_to(part, 2)) for part in (node.stride, node.padding))
            return F.conv2d(one, weight, bias, stride, padding, groups=int(node.groups))[0].numpy()
        if isinstance(node, nir.AvgPool2d):
            return F.avg_pool2d(one, tuple(map(int, node.kernel_size)), tuple(map(int, node.stride)))[0].numpy()
        return value

    def unit(self, name: str, node: Any, value: Any) -> Any:
        if isinstance(node, nir.CubaLIF):
            before = self.current.get(name, 0 * value)
            value = self.current[name] = before + DT / node.tau_syn * (node.w_in * value - before)
        tau = node.tau_mem if isinstance(node, nir.CubaLIF) else getattr(node, "tau", None)
        v = self.membrane.get(name, 0 * value)
        v = v + (DT * node.r * value if tau is None else DT / tau * (node.v_leak - v + node.r * value))
        spike = v > node.v_threshold
        self.membrane[name] = np.where(spike, node.v_reset, v)
        return spike.astype(float)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (SpikingNet(dense=[20, 15]), (8,)),
        (SpikingNet(dense=[20]), (1, 4, 4)),
        (SpikingNet(plan=[4, 0, 6, 0], dense=[12]), (2, 8, 8)),
    ],
    ids=["dense", "dense on images", "convolutions"],
)
@pytest.mark.parametrize(
    "neuron",
    [
        LIF(tau_s=3.0),
        LIF(tau_s=1.0),
        LIF(tau_m=math.inf),
        LIF(tau_m=math.inf, tau_s=1.0, threshold=0.7),
        LIF(tau_m=1.0, threshold=0.1),
        LIF(tau_m=1e12, tau_s=1e3, threshold=1e-3),
    ],
    ids=str,
)
def test_the_graph_spikes_as_the_network_does(
    model: SpikingNet, shape: tuple[int, ...], neuron: LIF, tmp_path: Path
) -> None:
    network = model.build(shape, 4, seed=0).double()
    settler = Spiking(steps=12, neuron=neuron)
    nir.write(tmp_path / "net.nir", to_nir(network, settler.neuron, dt=DT))
    graph = nir.read(tmp_path / "net.nir")
    x = 2 * torch.rand(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    seen, running = record(network, settler.simulate(network, x, Ledger())), Interpreter(graph)
    for t in range(12):
        found = running.step(x[0].numpy())
        for name, spikes in seen.spikes.items():
            assert np.array_equal(found[name], spikes[t, 0].double().numpy()), f"{name}, step {t}"
    assert all(int(seen.spikes[layer.name].sum()) > 0 for layer in network.layers[:-1])


@pytest.mark.parametrize(
    ("network", "neuron", "words"),
    [
        (lambda: dense(bias=False), LIF(reset=Reset.SUBTRACT), "neuron.reset=subtract: must be zero"),
        (dense, LIF(), "layer2.bias: must be zero"),
        (
            lambda: SpikingNet(plan=[4, 0], pool=Pooling.MAX).build((2, 8, 8), 4, seed=0),
            LIF(),
            "MaxPool has no counterpart",
        ),
        (dense, AdaptiveLIF(), "neuron=alif: must be lif"),
        (lambda: recurrent(bias=False), LIF(), "layer1: a Recurrent has no counterpart"),
        (lambda: ResNet(channels=[3]).build((2, 8, 8), 4, seed=0), LIF(), "must read the layer below alone"),
    ],
    ids=["reset", "bias", "max-pooling", "another neuron", "recurrence", "skips"],
)
def test_what_nir_has_no_node_for_is_named(network: Any, neuron: Neuron, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        to_nir(network(), neuron)


@pytest.mark.parametrize("dt", [0.0, -1e-3, math.inf, math.nan])
def test_a_step_has_a_length(dt: float) -> None:
    with pytest.raises(ValueError, match=r"^dt=.*: must be above 0 and finite$"):
        to_nir(dense(bias=False), LIF(), dt=dt)


def test_a_bias_of_the_first_layer_is_a_current() -> None:
    network = Network((3,))
    network.add(Dense(3, 2), Identity())
    with torch.no_grad():
        network.edges[0].coupling.get_parameter("bias").fill_(0.7)
    graph = to_nir(network.double(), LIF(), dt=DT)
    running, states = Interpreter(graph), LIF().run(torch.full((1, 2), 0.7).double(), 5).states
    fired = LIF().spikes(states)
    for t in range(5):
        assert np.array_equal(running.step(np.zeros(3))["layer1"], fired[t].double().numpy())
