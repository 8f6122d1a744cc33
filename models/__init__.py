"""Named networks: chain, mlp, vgg, vgg16, normalized_vgg, hopfield, hopfield_laborieux, resnet, softhebb and spiking.

Importing this package registers them as components.
"""

from .chain import Chain
from .hopfield import Hopfield, HopfieldLaborieux
from .mlp import MLP
from .normalized_vgg import NormalizedVGG
from .resnet import ResNet
from .softhebb import SoftHebbNet
from .spiking import SpikingNet
from .vgg import VGG, VGG16

__all__ = [
    "MLP",
    "VGG",
    "VGG16",
    "Chain",
    "Hopfield",
    "HopfieldLaborieux",
    "NormalizedVGG",
    "ResNet",
    "SoftHebbNet",
    "SpikingNet",
]
