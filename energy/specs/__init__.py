"""Couplings and poolings as components, for a network's file or the command line."""

from energy.specs.block import BlockSpec
from energy.specs.coupling import ConvolutionSpec, CouplingSpec, DenseSpec, SkipSpec
from energy.specs.normalization import BatchNormSpec, GroupNormSpec, LayerNormSpec
from energy.specs.pooling import (
    AdaptiveAveragePoolSpec,
    AdaptiveMaxPoolSpec,
    AveragePoolSpec,
    MaxPoolSpec,
    NoPoolSpec,
    PoolingSpec,
)

__all__ = [
    "AdaptiveAveragePoolSpec",
    "AdaptiveMaxPoolSpec",
    "AveragePoolSpec",
    "BatchNormSpec",
    "BlockSpec",
    "ConvolutionSpec",
    "CouplingSpec",
    "DenseSpec",
    "GroupNormSpec",
    "LayerNormSpec",
    "MaxPoolSpec",
    "NoPoolSpec",
    "PoolingSpec",
    "SkipSpec",
]
