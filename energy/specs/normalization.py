"""Couplings with a normalization of the filters' output, as components."""

from __future__ import annotations

import math
from dataclasses import field

from energy.component import require
from energy.couplings import Coupling, Shape
from energy.couplings.normalization import BatchNorm, GroupNorm, LayerNorm
from energy.pooling import Pool
from energy.specs.coupling import CouplingSpec, SkipSpec


class NormalizationSpec(CouplingSpec):
    """A(m) = P(N(filters(m))) with a learned scale and shift unless `affine` is false."""

    filters: CouplingSpec = field(default_factory=SkipSpec)
    eps: float = 1e-5
    affine: bool = True

    def __post_init__(self) -> None:
        require(0 < self.eps < math.inf, self, "eps", "above 0")


class BatchNormSpec(NormalizationSpec, name="batch_norm"):
    """A(m) = P(N(filters(m))), N by the mean and variance of each channel over the batch.

    In evaluation the running mean and variance take their place. The energy that is settled in training is then that of
    the batch, not of a sample (`energy.couplings.normalization`).

    Attributes:
        filters: any coupling; the layer below as it is unless given.
        eps: added to the variance.
        affine: whether there are a learned scale and shift.
        momentum: the share of a new batch in the running mean and variance.
    """

    momentum: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.momentum <= 1, self, "momentum", "in [0, 1]")

    def build(self, shape: Shape, *, pool: Pool | None = None, classes: int = 0) -> Coupling:
        filters = self.filters.build(shape, classes=classes)
        channels = filters.shape(shape)[0]
        return BatchNorm(filters, channels, momentum=self.momentum, eps=self.eps, affine=self.affine, pool=pool)


class LayerNormSpec(NormalizationSpec, name="layer_norm"):
    """A(m) = P(N(filters(m))), N by the mean and variance of a sample over all units of the layer.

    Attributes:
        filters: any coupling; the layer below as it is unless given.
        eps: added to the variance.
        affine: whether there are a learned scale and shift.
    """

    def build(self, shape: Shape, *, pool: Pool | None = None, classes: int = 0) -> Coupling:
        filters = self.filters.build(shape, classes=classes)
        return LayerNorm(filters, filters.shape(shape), eps=self.eps, affine=self.affine, pool=pool)


class GroupNormSpec(NormalizationSpec, name="group_norm"):
    """A(m) = P(N(filters(m))), N by the mean and variance of a sample over each of `groups` groups of channels.

    Attributes:
        filters: any coupling; the layer below as it is unless given.
        eps: added to the variance.
        affine: whether there are a learned scale and shift.
        groups: the number of groups, a divisor of the channels.
    """

    groups: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.groups >= 1, self, "groups", "at least 1")

    def build(self, shape: Shape, *, pool: Pool | None = None, classes: int = 0) -> Coupling:
        filters = self.filters.build(shape, classes=classes)
        channels = filters.shape(shape)[0]
        return GroupNorm(filters, self.groups, channels, eps=self.eps, affine=self.affine, pool=pool)
