"""Couplings as components, selected by `coupling` of a layer."""

from __future__ import annotations

import math
from typing import ClassVar

from energy.component import Component, ConfigurationError, require
from energy.couplings import Convolution, Coupling, Dense, Shape, Skip
from energy.pooling import Pool


class CouplingSpec(Component):
    """A description of the coupling between two layers; its fields are the coupling's own.

    A subclass defines `build`.
    """

    group: ClassVar[str] = "coupling"

    def build(self, shape: Shape, *, pool: Pool | None = None, classes: int = 0) -> Coupling:
        """Build a coupling that reads a layer.

        Args:
            shape: of the layer it reads, without the batch axis.
            pool: the pooling that the layer above asks for. A coupling that cannot pool calls `require_unpooled`.
            classes: the number of classes for the coupling into the output, and 0 elsewhere.
        """
        raise NotImplementedError(f"{type(self).__name__} must define build(shape, *, pool=None, classes=0)")

    def require_unpooled(self, pool: Pool | None) -> None:
        """Refuse a pooling.

        Raises:
            ConfigurationError: unless `pool` is None.
        """
        if pool is not None:
            raise ConfigurationError(f"pooling={pool!r}: must be none, since coupling={self.name} does not pool")


class DenseSpec(CouplingSpec, name="dense"):
    """A(m) = W·flatten(m) + b with `size` units; the coupling to the output needs no size: one unit per class."""

    size: int = 0
    bias: bool = True

    def __post_init__(self) -> None:
        require(self.size >= 0, self, "size", "at least 1")

    def build(self, shape: Shape, *, pool: Pool | None = None, classes: int = 0) -> Coupling:
        self.require_unpooled(pool)
        if not (self.size or classes):
            raise ConfigurationError(f"{self.name}.size={self.size}: must be at least 1")
        return Dense(math.prod(shape), self.size or classes, bias=self.bias)


class ConvolutionSpec(CouplingSpec, name="convolution"):
    """A(m) = P(W ∗ m + b) with `channels` square filters of side `kernel`, P the layer's pooling.

    `stride`, `padding` and `dilation` are PyTorch's, and `groups` divides the channels below and above.
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        for name in ("channels", "kernel", "stride", "dilation", "groups"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        require(self.padding >= 0, self, "padding", "at least 0")
        require(self.channels % self.groups == 0, self, "groups", f"a divisor of channels={self.channels}")

    def build(self, shape: Shape, *, pool: Pool | None = None, classes: int = 0) -> Coupling:
        if len(shape) != 3:
            raise ConfigurationError(f"coupling={self.name}: cannot read a layer of shape {shape}: must be an image")
        if shape[0] % self.groups:
            raise ConfigurationError(f"{self.name}.groups={self.groups}: must divide the {shape[0]} channels below")
        return Convolution(
            shape[0],
            self.channels,
            self.kernel,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            bias=self.bias,
            pool=pool,
        )


class SkipSpec(CouplingSpec, name="skip"):
    """A(m) = m, a connection without weights: for the second edge into a layer."""

    def build(self, shape: Shape, *, pool: Pool | None = None, classes: int = 0) -> Coupling:
        self.require_unpooled(pool)
        return Skip()
