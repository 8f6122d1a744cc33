"""Stacks of 3×3 convolutions and max-pooling, then dense layers."""

from __future__ import annotations

import math
from dataclasses import field

from energy.component import require
from energy.couplings import Convolution, Dense
from energy.model import Model
from energy.network import Network
from energy.pooling import MaxPool
from energy.potentials import Identity, Potential, ReLU

from .initial import normal


class VGG(Model, name="vgg"):
    """Stacks of 3×3 convolutions and 2×2 max-pooling, then dense layers.

    The default is small enough for two CPU cores. W ~ N(0, gain²/fan-in), truncated; b = 0.

    Attributes:
        plan: channels from the input up, 0 for a 2×2 max-pooling of the convolution before it.
        dense: widths of the dense layers above.
        hidden, output: the potentials of the hidden layers and of the output.
        gain: scale of the initial weights.
    """

    plan: list[int] = field(default_factory=lambda: [32, 0, 64, 0, 128, 128, 0])
    dense: list[int] = field(default_factory=list)
    hidden: Potential = field(default_factory=ReLU)
    output: Potential = field(default_factory=Identity)
    gain: float = 1.0

    def __post_init__(self) -> None:
        require(
            bool(self.plan) and self.plan[0] > 0 and min(self.plan) >= 0,
            self,
            "plan",
            "channels, with 0 for a pooling after one",
        )
        doubled = any(a == b == 0 for a, b in zip(self.plan, self.plan[1:], strict=False))
        require(not doubled, self, "plan", "channels with at most one 0 between two of them")
        require(all(size >= 1 for size in self.dense), self, "dense", "widths >= 1")
        require(0 < self.gain < math.inf, self, "gain", "> 0")

    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        network, fan_in = Network(shape), shape[0]
        for channels, after in zip(self.plan, [*self.plan[1:], 1], strict=True):
            if channels:
                pool, number = MaxPool(2) if after == 0 else None, len(network.layers) + 1
                network.add(Convolution(fan_in, channels, 3, padding=1, pool=pool), self.hidden, name=f"conv{number}")
                fan_in = channels
        for k, size in enumerate(self.dense, start=1):
            network.add(Dense(math.prod(network.shape(len(network.layers))), size), self.hidden, name=f"dense{k}")
        network.add(Dense(math.prod(network.shape(len(network.layers))), classes), self.output, name="output")
        normal(network, seed, [self.gain] * len(network.edges))
        return network


class VGG16(VGG, name="vgg16"):
    """The VGG16 of both dual propagation papers, for 32×32 inputs.

    It has biases, no normalization and no dropout: 33.64 M parameters at 10 classes.
    """

    plan: list[int] = field(
        default_factory=lambda: [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0]
    )
    dense: list[int] = field(default_factory=lambda: [4096, 4096])
