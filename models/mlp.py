"""Networks of dense layers."""

from __future__ import annotations

import math
from dataclasses import field

from energy.component import require
from energy.couplings import Dense
from energy.model import Model
from energy.network import Network
from energy.potentials import Identity, Potential, ReLU

from .initial import normal


class MLP(Model, name="mlp"):
    """A multilayer perceptron: inputs – sizes – classes.

    The default is the 784-1000×4-10 network of the 2023 dual propagation paper. W ~ N(0, gain²/fan-in) on every layer,
    b = 0.

    Attributes:
        sizes: widths of the hidden layers.
        hidden, output: the potentials of the hidden layers and of the output.
        gain: scale of the initial weights.
    """

    sizes: list[int] = field(default_factory=lambda: [1000, 1000, 1000, 1000])
    hidden: Potential = field(default_factory=ReLU)
    output: Potential = field(default_factory=Identity)
    gain: float = 1.0

    def __post_init__(self) -> None:
        require(all(size >= 1 for size in self.sizes), self, "sizes", "widths >= 1")
        require(0 < self.gain < math.inf, self, "gain", "> 0")

    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        network = Network(shape)
        widths = [math.prod(shape), *self.sizes]
        for k, (fan_in, size) in enumerate(zip(widths, self.sizes, strict=False), start=1):
            network.add(Dense(fan_in, size), self.hidden, name=f"dense{k}")
        network.add(Dense(widths[-1], classes), self.output, name="output")
        normal(network, seed, [self.gain] * len(network.edges))
        return network
