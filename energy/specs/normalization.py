"""Couplings that normalize what their filters say, as components."""

from __future__ import annotations

import math
from dataclasses import field

from energy.component import require
from energy.couplings import Coupling, Shape
from energy.couplings.normalization import BatchNorm, GroupNorm, LayerNorm
from energy.pooling import Pool
from energy.specs.coupling import CouplingSpec, SkipSpec


class NormalizationSpec(CouplingSpec):
    """A(m) = P(N(filters(m))) with a learnt scale and shift unless `affine` is false."""

    filters: CouplingSpec = field(default_factory=SkipSpec)
    eps: float = 1e-5
    affine: bool = True

    def __post_init__(self) -> None:
        require(0 < self.eps < math.inf, self, "eps", "above 0")


class BatchNormSpec(NormalizationSpec, name="batch_norm"):
    """A(m) = P(N(filters(m))), N by the mean and variance of each channel over the batch while it learns, by running
    ones otherwise.

    `momentum` is the share of a new batch in those. The energy that is settled is then the batch's, not a sample's
    (`energy.couplings.normalization`). `filters` is any coupling, the layer below as it is unless given."""

    momentum: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.momentum <= 1, self, "momentum", "in [0, 1]")

    def build(self, shape: Shape, *, pool: Pool | None = None, classes: int = 0) -> Coupling:
        filters = self.filters.build(shape, classes=classes)
        channels = filters.shape(shape)[0]
        return BatchNorm(filters, channels, momentum=self.momentum, eps=self.eps, affine=self.affine, pool=pool)


class LayerNormSpec(NormalizationSpec, name="layer_norm"):
    """A(m) = P(N(filters(m))), N by the mean and variance of a sample over all units of the layer. `filters` is any
    coupling, the layer below as it is unless given.
    """

    def build(self, shape: Shape, *, pool: Pool | None = None, classes: int = 0) -> Coupling:
        filters = self.filters.build(shape, classes=classes)
        return LayerNorm(filters, filters.shape(shape), eps=self.eps, affine=self.affine, pool=pool)


class GroupNormSpec(NormalizationSpec, name="group_norm"):
    """A(m) = P(N(filters(m))), N by the mean and variance of a sample over each of `groups` groups of channels.
    `filters` is any coupling, the layer below as it is unless given.
    """

    groups: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.groups >= 1, self, "groups", "at least 1")

    def build(self, shape: Shape, *, pool: Pool | None = None, classes: int = 0) -> Coupling:
        filters = self.filters.build(shape, classes=classes)
        channels = filters.shape(shape)[0]
        return GroupNorm(filters, self.groups, channels, eps=self.eps, affine=self.affine, pool=pool)
