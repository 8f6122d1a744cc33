"""Networks in the common shapes of spiking networks: convolutions with some pooling, dense layers, no biases."""

from __future__ import annotations

import enum
import math
from dataclasses import field

from energy.component import require
from energy.couplings import Convolution, Dense
from energy.couplings.recurrent import Recurrent
from energy.model import Model
from energy.network import Network
from energy.pooling import AveragePool, MaxPool
from energy.potentials import Identity, Potential, ReLU

from .initial import gaussian


class Pooling(enum.Enum):
    """The pooling that a 0 in the plan stands for."""

    AVERAGE = "the mean of 2×2 currents"
    MAX = "the greatest of 2×2 currents"


class SpikingNet(Model, name="spiking"):
    """Convolutions with some pooling, then dense layers, without biases; by default a 300-300 multilayer perceptron.

    W ~ N(0, gain²/fan-in). Under `settler=spiking` each layer is a population of spiking units, its currents pooled
    before they reach the membrane, and the potentials are not used; with other settlers they make the rate-based
    network of the same weights.

    Attributes:
        plan: channels from the input up, 0 for a 2×2 pooling of the convolution before it.
        dense: widths of the dense layers above.
        recurrent: give each hidden dense layer synapses with itself, which act in time alone
            (`energy.couplings.recurrent`), initialized alike.
        kernel: side of the filters, an odd number.
        pool: the kind of pooling.
        hidden, output: the potentials of the hidden layers and of the output.
        gain: scale of the initial weights.
    """

    plan: list[int] = field(default_factory=list)
    dense: list[int] = field(default_factory=lambda: [300, 300])
    recurrent: bool = False
    kernel: int = 3
    pool: Pooling = Pooling.AVERAGE
    hidden: Potential = field(default_factory=ReLU)
    output: Potential = field(default_factory=Identity)
    gain: float = math.sqrt(2)

    def __post_init__(self) -> None:
        doubled = any(a == b == 0 for a, b in zip([0, *self.plan], self.plan, strict=False))
        require(all(size >= 0 for size in self.plan), self, "plan", "channels, with 0 for a pooling after one")
        require(not doubled, self, "plan", "channels with at most one 0 after each")
        require(all(size >= 1 for size in self.dense), self, "dense", "widths >= 1")
        require(self.kernel >= 1 and self.kernel % 2 == 1, self, "kernel", "an odd number >= 1")
        require(0 < self.gain < math.inf, self, "gain", "> 0")

    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        network, fan_in = Network(shape), shape[0]
        pool = MaxPool(2) if self.pool is Pooling.MAX else AveragePool(2)
        for channels, after in zip(self.plan, [*self.plan, 1][1:], strict=True):
            if channels:
                coupling = Convolution(
                    fan_in,
                    channels,
                    self.kernel,
                    padding=self.kernel // 2,
                    bias=False,
                    pool=pool if after == 0 else None,
                )
                network.add(coupling, self.hidden, name=f"conv{len(network.layers) + 1}")
                fan_in = channels
        for k, size in enumerate(self.dense, start=1):
            below = math.prod(network.shape(len(network.layers)))
            kind = Recurrent if self.recurrent else Dense
            network.add(kind(below, size, bias=False), self.hidden, name=f"dense{k}")
        network.add(
            Dense(math.prod(network.shape(len(network.layers))), classes, bias=False), self.output, name="output"
        )
        gaussian(network, seed, self.gain)
        return network
