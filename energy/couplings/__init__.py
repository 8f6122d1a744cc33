"""The cost of two layers together, −⟨post, A(pre)⟩: the couplings, and their linearizations."""

from energy.couplings.affine import Affine, AffineLinearization
from energy.couplings.block import Block
from energy.couplings.convolution import Convolution
from energy.couplings.coupling import Coupling
from energy.couplings.dense import Dense
from energy.couplings.linearization import AutogradLinearization, Gradients, Linearization, Shape
from energy.couplings.module import Module
from energy.couplings.normalization import BatchNorm, GroupNorm, LayerNorm
from energy.couplings.recurrent import Recurrent
from energy.couplings.skip import Skip
from energy.couplings.units import UnitInputs
from energy.couplings.whitening import Whitening

__all__ = [
    "Affine",
    "AffineLinearization",
    "AutogradLinearization",
    "BatchNorm",
    "Block",
    "Convolution",
    "Coupling",
    "Dense",
    "Gradients",
    "GroupNorm",
    "LayerNorm",
    "Linearization",
    "Module",
    "Recurrent",
    "Shape",
    "Skip",
    "UnitInputs",
    "Whitening",
]
