"""Named networks: importing this package puts mlp, vgg, vgg16, hopfield, hopfield_laborieux, resnet, softhebb and
spiking on the table of components.
"""

from .hopfield import Hopfield, HopfieldLaborieux
from .mlp import MLP
from .resnet import ResNet
from .softhebb import SoftHebbNet
from .spiking import SpikingNet
from .vgg import VGG, VGG16

__all__ = ["MLP", "VGG", "VGG16", "Hopfield", "HopfieldLaborieux", "ResNet", "SoftHebbNet", "SpikingNet"]
