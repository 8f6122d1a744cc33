"""Deep convolutional Hopfield networks: bounded units, every convolution followed by 2×2 max-pooling."""

from __future__ import annotations

import math
from dataclasses import field

from energy.component import require
from energy.couplings import Convolution, Dense
from energy.model import Model
from energy.network import Network
from energy.pooling import MaxPool
from energy.potentials import HalfHardSigmoid, HardSigmoid, Identity, Potential

from .initial import uniform


class Hopfield(Model, name="hopfield"):
    """The deep Hopfield network of the comparative study: 3×3 convolutions with max-pooling, a dense output.

    W ~ U(±gain/√fan-in), b ~ U(±bias/√fan-in).

    Attributes:
        channels, paddings: of the convolutions, one entry each.
        gains: one gain per layer, or one for all.
        bias: scale of the initial biases.
        hidden, output: the potentials of the hidden layers and of the output.

    Reference:
        Scellier et al., "Energy-based learning algorithms for analog computing: a comparative study", NeurIPS 2023.
    """

    channels: list[int] = field(default_factory=lambda: [128, 256, 512, 512])
    paddings: list[int] = field(default_factory=lambda: [1, 1, 1, 1])
    gains: list[float] = field(default_factory=lambda: [0.5])
    bias: float = 0.5
    hidden: Potential = field(default_factory=HardSigmoid)
    output: Potential = field(default_factory=Identity)

    def __post_init__(self) -> None:
        require(bool(self.channels) and min(self.channels) >= 1, self, "channels", "widths >= 1")
        require(
            len(self.paddings) == len(self.channels),
            self,
            "paddings",
            f"{len(self.channels)} numbers, one per convolution",
        )
        require(len(self.gains) in {1, len(self.channels) + 1}, self, "gains", f"1 or {len(self.channels) + 1} numbers")
        require(all(0 < gain < math.inf for gain in self.gains), self, "gains", "> 0")
        require(all(padding >= 0 for padding in self.paddings), self, "paddings", ">= 0")
        require(0 <= self.bias < math.inf, self, "bias", ">= 0")

    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        network, fan_in = Network(shape), shape[0]
        for k, (channels, padding) in enumerate(zip(self.channels, self.paddings, strict=True), start=1):
            coupling = Convolution(fan_in, channels, 3, padding=padding, pool=MaxPool(2))
            network.add(coupling, self.hidden, name=f"conv{k}")
            fan_in = channels
        network.add(Dense(math.prod(network.shape(len(network.layers))), classes), self.output, name="output")
        gains = self.gains * len(network.edges) if len(self.gains) == 1 else self.gains
        uniform(network, seed, gains, self.bias)
        return network


class HopfieldLaborieux(Hopfield, name="hopfield_laborieux"):
    """The deep Hopfield network of Laborieux et al. (2021).

    It has a hard sigmoid of slope ½, no padding in the last convolution, and PyTorch's default initialization.

    Reference:
        Laborieux et al., "Scaling equilibrium propagation to deep ConvNets by drastically reducing its gradient
        estimator bias", Frontiers in Neuroscience 15 (2021).
    """

    paddings: list[int] = field(default_factory=lambda: [1, 1, 1, 0])
    gains: list[float] = field(default_factory=lambda: [1.0])
    bias: float = 1.0
    hidden: Potential = field(default_factory=HalfHardSigmoid)
