"""From settled states to parameter gradients: the learning rules."""

from energy.rules.contrast import Contrast
from energy.rules.krotov_hopfield import KrotovHopfield
from energy.rules.local import Local
from energy.rules.oja import Hebb, Oja, Sanger
from energy.rules.per_layer import PerLayer
from energy.rules.plasticity import Plasticity
from energy.rules.rule import Rule
from energy.rules.softhebb import SoftHebb, Variant

__all__ = [
    "Contrast",
    "Hebb",
    "KrotovHopfield",
    "Local",
    "Oja",
    "PerLayer",
    "Plasticity",
    "Rule",
    "Sanger",
    "SoftHebb",
    "Variant",
]
