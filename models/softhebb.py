"""Feedback-free networks: blocks of normalization, convolution, rectification and pooling below a linear readout."""

from __future__ import annotations

import enum
import math
from dataclasses import field

import torch
from torch import Tensor, nn

from energy.component import ConfigurationError, require
from energy.couplings import Convolution, Dense
from energy.couplings.block import Block
from energy.model import Model
from energy.network import Network
from energy.potentials import Identity, Potential, RePU

from .initial import draw_parameter


class Padding(enum.Enum):
    """The surroundings of an image for a convolution."""

    REFLECT = "the image mirrored, so that sides stay"
    ZERO = "zeros, so that sides stay"
    NONE = "nothing: sides shrink by the kernel less one"


class SoftHebbNet(Model, name="softhebb"):
    """Blocks of batch norm without scale or shift, convolution, Triangle^p, pooling; dense layers; the output.

    The default is the three-layer network for CIFAR-10 of Journé et al. (2023). Lists have one entry per convolution.

    Attributes:
        channels, kernels, powers: filters, their sides, and p of the response.
        pools: max, avg or none, as kind_size_stride_padding.
        groups: of each convolution; empty for 1.
        rectified: true if neurons compete with their rectified, centered drives; empty for false.
        stride: of all convolutions.
        dense: widths of the dense hidden layers.
        dense_hidden: the potential of dense layers.
        centered: subtract the mean over the neurons before the power.
        normalized: whether there is a batch norm before each layer.
        positive: draw dense weights uniform on [0, bound] instead of normal.
        padding: what surrounds an image.
        radius, norm: weights are drawn so that ‖w‖_norm is about `radius`.
        bias: whether there are biases, which start at −T ln K.
        temperature: T.
        output: the potential of the output.

    Reference:
        Journé et al., "Hebbian deep learning without feedback", ICLR 2023.
    """

    channels: list[int] = field(default_factory=lambda: [96, 384, 1536])
    kernels: list[int] = field(default_factory=lambda: [5, 3, 3])
    powers: list[float] = field(default_factory=lambda: [0.7, 1.4, 1.0])
    pools: list[str] = field(default_factory=lambda: ["max_4_2_1", "max_4_2_1", "avg_2_2_0"])
    groups: list[int] = field(default_factory=list)
    rectified: list[bool] = field(default_factory=list)
    stride: int = 1
    dense: list[int] = field(default_factory=list)
    dense_hidden: Potential = field(default_factory=RePU)
    centered: bool = True
    normalized: bool = True
    positive: bool = False
    padding: Padding = Padding.REFLECT
    radius: float = 25.0
    norm: float = 2.0
    bias: bool = False
    temperature: float = 1.0
    output: Potential = field(default_factory=Identity)

    def __post_init__(self) -> None:
        count = len(self.channels)
        require(all(width >= 1 for width in (*self.channels, *self.dense)), self, "channels", "widths >= 1")
        require(bool(self.channels or self.dense), self, "channels", "not empty where dense is empty too")
        require(all(kernel >= 1 for kernel in self.kernels), self, "kernels", "sides >= 1")
        require(all(0 < power < math.inf for power in self.powers), self, "powers", "above 0")
        for name in ("kernels", "powers", "pools"):
            require(len(getattr(self, name)) == count, self, name, f"{count} entries, one per convolution")
        for name in ("groups", "rectified"):
            require(len(getattr(self, name)) in {0, count}, self, name, f"empty or {count} entries")
        require(all(one >= 1 for one in self.groups), self, "groups", "numbers >= 1")
        require(self.centered or not any(self.rectified), self, "rectified", "false unless centered")
        require(self.stride >= 1, self, "stride", "at least 1")
        require(0 < self.radius < math.inf, self, "radius", "above 0")
        require(1 < self.norm < math.inf, self, "norm", "above 1")
        require(0 < self.temperature < math.inf, self, "temperature", "above 0")
        for text in self.pools:
            pooling(text)

    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        network, fan_in = Network(shape), shape[0]
        below = list[nn.Module]()
        count = len(self.channels)
        for k in range(count):
            prepare = [*below, *self._normalized(fan_in), *self._padded(self.kernels[k])]
            network.add(self._block(k, fan_in, prepare), RePU(power=self.powers[k]), name=f"conv{k + 1}")
            below, fan_in = pooling(self.pools[k]), self.channels[k]
        for k, size in enumerate(self.dense):
            below.append(nn.Flatten())
            fan_in = prepared_fan_in(network, below)
            below += [nn.BatchNorm1d(fan_in, affine=False)] if self.normalized else []
            coupling = Block(Dense(fan_in, size, bias=self.bias), *below, centered=self.centered)
            network.add(coupling, self.dense_hidden, name=f"dense{k + 1}")
            below = []
        below.append(nn.Flatten())
        network.add(Block(Dense(prepared_fan_in(network, below), classes), *below), self.output, name="output")
        self._start(network, seed)
        return network

    def _block(self, k: int, fan_in: int, prepare: list[nn.Module]) -> Block:
        groups = self.groups[k] if self.groups else 1
        if fan_in % groups or self.channels[k] % groups:
            raise ConfigurationError(f"{self.name}.groups={groups}: must divide {fan_in} and {self.channels[k]}")
        filters = Convolution(
            fan_in, self.channels[k], self.kernels[k], stride=self.stride, groups=groups, bias=self.bias
        )
        return Block(filters, *prepare, centered=self.centered, rectified=k < len(self.rectified) and self.rectified[k])

    def _normalized(self, channels: int) -> list[nn.Module]:
        return [nn.BatchNorm2d(channels, affine=False)] if self.normalized else []

    def _padded(self, kernel: int) -> list[nn.Module]:
        sides = (kernel - 1) // 2
        if self.padding is Padding.NONE or not sides:
            return []
        return [nn.ReflectionPad2d(sides) if self.padding is Padding.REFLECT else nn.ZeroPad2d(sides)]

    @torch.no_grad()
    def _start(self, network: Network, seed: int) -> None:
        for name, weight in network.named_parameters():
            neuron = weight[0].numel()
            if name.endswith("bias"):
                weight.fill_(-self.temperature * math.log(len(weight)))
            elif not self.positive or weight.ndim == 4:
                draw_parameter(weight, seed, name, Tensor.normal_, 0.0, scale(self.radius, self.norm, neuron))
            else:
                draw_parameter(weight, seed, name, Tensor.uniform_, 0.0, bound(self.radius, self.norm, neuron))
        output = network.edges[-1].coupling
        size = output.get_parameter("filters.weight")[0].numel() ** -0.5
        for name in ("weight", "bias"):
            draw_parameter(
                output.get_parameter(f"filters.{name}"), seed, f"output.{name}", Tensor.uniform_, -size, size
            )


def prepared_fan_in(network: Network, prepare: list[nn.Module]) -> int:
    """Return the number of inputs of a neuron above the last layer that reads through `prepare`."""
    below = network.shape(len(network.layers))
    return nn.Sequential(*prepare)(torch.zeros(1, *below)).numel()


def pooling(text: str) -> list[nn.Module]:
    """Parse `max_4_2_1` or `avg_2_2_0` (kind, window, stride, padding), or `none`, into modules.

    Raises:
        ConfigurationError: for any other text.

    Example:
        >>> pooling("max_4_2_1")
        [MaxPool2d(kernel_size=4, stride=2, padding=1, dilation=1, ceil_mode=False)]
    """
    if text == "none":
        return []
    kind, *numbers = text.split("_")
    kinds = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
    if kind not in kinds or len(numbers) != 3 or not all(number.isascii() and number.isdigit() for number in numbers):
        raise ConfigurationError(
            f"pools: {text!r}: must be none, or kind, window, stride and padding such as max_4_2_1"
        )
    return [kinds[kind](*map(int, numbers))]


def scale(radius: float, norm: float, size: int) -> float:
    """Return the standard deviation of normal weights whose ‖w‖_p is about R: (R^p/(n·E|z|^p))^{1/p}."""
    moment = 2 ** (norm / 2) * math.gamma((norm + 1) / 2) / math.pi**0.5
    return (radius**norm / (size * moment)) ** (1 / norm)


def bound(radius: float, norm: float, size: int) -> float:
    """Return the bound of weights uniform on [0, bound] whose ‖w‖_p is about R: ((p+1) R^p/n)^{1/p}."""
    return ((norm + 1) * radius**norm / size) ** (1 / norm)
