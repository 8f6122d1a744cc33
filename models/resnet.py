"""A small residual network: skip connections make the graph more than a chain."""

from __future__ import annotations

import math
from dataclasses import field

from energy.component import require
from energy.couplings import Convolution, Coupling, Dense, Skip
from energy.model import Model
from energy.network import Network
from energy.pooling import AveragePool
from energy.potentials import Identity, Potential, ReLU

from .initial import normal


class ResNet(Model, name="resnet"):
    """A residual network: a 3×3 stem, then blocks of two 3×3 convolutions around a shortcut.

    The shortcut is the identity if shapes agree, otherwise a 1×1 convolution. Every block but the first halves the
    image by average pooling. A layer that two couplings enter receives their sum; an edge across d layers has feedback
    gain γ^d.

    Attributes:
        channels: one entry per block.
        hidden, output: the potentials of the hidden layers and of the output.
        gain: scale of the initial weights.
        branch: factor on the gain of the second convolution of a block, so that a block starts near its shortcut.
    """

    channels: list[int] = field(default_factory=lambda: [16, 32, 64])
    hidden: Potential = field(default_factory=ReLU)
    output: Potential = field(default_factory=Identity)
    gain: float = 1.0
    branch: float = 0.5

    def __post_init__(self) -> None:
        require(bool(self.channels) and min(self.channels) >= 1, self, "channels", "widths >= 1")
        require(0 < self.gain < math.inf, self, "gain", "> 0")
        require(0 < self.branch < math.inf, self, "branch", "> 0")

    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        network = Network(shape)
        below = network.add(Convolution(shape[0], self.channels[0], 3, padding=1), self.hidden, name="stem")
        gains = [self.gain]
        for k, channels in enumerate(self.channels):
            fan_in, pool = network.shape(below)[0], AveragePool(2) if k else None
            inner = network.add(
                Convolution(fan_in, channels, 3, padding=1, pool=pool), self.hidden, name=f"block{k + 1}.inner"
            )
            same = network.shape(inner) == network.shape(below)
            shortcut: Coupling = Skip() if same else Convolution(fan_in, channels, 1, pool=pool)
            into = {inner: Convolution(channels, channels, 3, padding=1), below: shortcut}
            below = network.add(into, self.hidden, name=f"block{k + 1}")
            gains += [self.gain, self.branch * self.gain] + ([] if same else [self.gain])
        network.add(Dense(math.prod(network.shape(below)), classes), self.output, name="output")
        normal(network, seed, [*gains, self.gain])
        return network
