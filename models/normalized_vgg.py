"""A VGG that trains in few epochs: whitened patches, then groups of 3×3 convolutions with batch normalization."""

from __future__ import annotations

import math
from dataclasses import field

import torch
from torch import Tensor

from energy.component import require
from energy.couplings import Convolution, Dense, Whitening
from energy.couplings.normalization import BatchNorm
from energy.model import Model
from energy.network import Network
from energy.pooling import MaxPool
from energy.potentials import Identity, Potential, ReLU

from .initial import normal


class NormalizedVGG(Model, name="normalized_vgg"):
    """Whitened patches of the input, groups of 3×3 convolutions, each with batch normalization, and a dense output.

    The first convolution of a group is pooled by 2×2 maxima before its normalization, and what the last one leaves by
    the maximum of every channel. The first filters of a convolution start as the identity, so that a deeper network
    starts as a wider view of the same image; the others are N(0, 1/fan-in), truncated.

    Attributes:
        groups: channels of each group.
        convolutions: of each group.
        whitened: principal components of 3×3 patches that the first layer keeps (`energy.couplings.Whitening`), fixed;
            all of them if there are fewer, 0 for none.
        hidden, output: the potentials of the hidden layers and of the output.
        momentum: the share of a new batch in the running statistics.
        gain: scale of the initial weights of the output.
    """

    groups: list[int] = field(default_factory=lambda: [64, 256, 256])
    convolutions: int = 2
    whitened: int = 16
    hidden: Potential = field(default_factory=ReLU)
    output: Potential = field(default_factory=Identity)
    momentum: float = 0.4
    gain: float = 1.0

    def __post_init__(self) -> None:
        require(bool(self.groups) and min(self.groups) >= 1, self, "groups", "widths >= 1")
        require(self.convolutions >= 1, self, "convolutions", ">= 1")
        require(self.whitened >= 0, self, "whitened", ">= 0")
        require(0 <= self.momentum <= 1, self, "momentum", "in [0, 1]")
        require(0 < self.gain < math.inf, self, "gain", "> 0")

    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        network = Network(shape)
        if self.whitened:
            network.add(Whitening(shape[0], min(self.whitened, 9 * shape[0])), self.hidden, name="whitened")
        for number, channels in enumerate(self.groups, start=1):
            for k in range(1, self.convolutions + 1):
                fan_in, *sides = network.shape(len(network.layers))
                last = number == len(self.groups) and k == self.convolutions
                filters = Convolution(fan_in, channels, 3, padding=1, bias=False, pool=MaxPool(2) if k == 1 else None)
                whole = MaxPool(min(filters.shape((fan_in, *sides))[1:])) if last else None
                coupling = BatchNorm(filters, channels, momentum=self.momentum, pool=whole)
                network.add(coupling, self.hidden, name=f"group{number}.{k}")
        network.add(Dense(math.prod(network.shape(len(network.layers))), classes), self.output, name="output")
        normal(network, seed, [1.0] * (len(network.edges) - 1) + [self.gain])
        for edge in network.edges:
            if isinstance(edge.coupling, BatchNorm) and isinstance(edge.coupling.filters, Convolution):
                start_as_identity(edge.coupling.filters.weight)
        return network


@torch.no_grad()
def start_as_identity(weight: Tensor) -> None:
    """Let the first filters of a convolution pass their channel on, as many as there are channels on either side."""
    if not weight.is_meta:
        torch.nn.init.dirac_(weight[: weight.shape[1]])
