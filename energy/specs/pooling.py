"""Poolings as components, selected by `pooling` of a layer."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from energy.component import Component, ConfigurationError, require
from energy.pooling import AdaptiveAveragePool, AdaptiveMaxPool, AveragePool, MaxPool, Pool


class PoolingSpec(Component):
    """A description of the pooling of a layer.

    A subclass defines `build`, and `module` to stand in a block.
    """

    group: ClassVar[str] = "pooling"

    def build(self) -> Pool | None:
        """Build the pooling of a coupling; None for none."""
        raise NotImplementedError(f"{type(self).__name__} must define build()")

    def module(self) -> nn.Module | None:
        """Build the same as a module of torch, for a block.

        Raises:
            ConfigurationError: unless defined.
        """
        raise ConfigurationError(f"pooling={self.name}: must define module() to stand in a block")


class NoPoolSpec(PoolingSpec, name="none"):
    """No pooling."""

    def build(self) -> None:
        return None

    def module(self) -> None:
        return None


class WindowSpec(PoolingSpec):
    """Windows of `size` × `size`, `stride` apart (0: by their size), with `padding` around the image."""

    size: int = 2
    stride: int = 0
    padding: int = 0

    def __post_init__(self) -> None:
        require(self.size >= 1, self, "size", "at least 1")
        require(self.stride >= 0, self, "stride", "at least 1, or 0 for that of size")
        require(0 <= self.padding <= self.size // 2, self, "padding", f"from 0 to half of size, {self.size // 2}")


class MaxPoolSpec(WindowSpec, name="max_pool"):
    """The maximum of each window of `size` × `size`.

    Windows lie `stride` apart (0: by their size), with `padding` around the image, and may overlap.
    """

    def build(self) -> Pool:
        return MaxPool(self.size, self.stride or None, padding=self.padding)

    def module(self) -> nn.Module:
        return nn.MaxPool2d(self.size, self.stride or None, self.padding)


class AveragePoolSpec(WindowSpec, name="average_pool"):
    """The mean of each window of `size` × `size`, its padding counted as zeros; windows as those of `max_pool`."""

    def build(self) -> Pool:
        return AveragePool(self.size, self.stride or None, padding=self.padding)

    def module(self) -> nn.Module:
        return nn.AvgPool2d(self.size, self.stride or None, self.padding)


class AdaptiveSpec(PoolingSpec):
    """`size` × `size` windows over an image of any size; 1 pools all of it."""

    size: int = 1

    def __post_init__(self) -> None:
        require(self.size >= 1, self, "size", "at least 1")


class AdaptiveMaxPoolSpec(AdaptiveSpec, name="adaptive_max_pool"):
    """The maximum of each of `size` × `size` windows over an image of any size; 1 pools all of it."""

    def build(self) -> Pool:
        return AdaptiveMaxPool(self.size)

    def module(self) -> nn.Module:
        return nn.AdaptiveMaxPool2d(self.size)


class AdaptiveAveragePoolSpec(AdaptiveSpec, name="adaptive_average_pool"):
    """The mean of each of `size` × `size` windows over an image of any size; 1 pools all of it."""

    def build(self) -> Pool:
        return AdaptiveAveragePool(self.size)

    def module(self) -> nn.Module:
        return nn.AdaptiveAvgPool2d(self.size)
