"""Named networks: importing this package puts mlp, vgg, vgg16, hopfield, hopfield_laborieux, resnet, softhebb and
spiking on the table of components.
"""

from models.hopfield import Hopfield, HopfieldLaborieux
from models.mlp import MLP
from models.resnet import ResNet
from models.softhebb import SoftHebbNet
from models.spiking import SpikingNet
from models.vgg import VGG, VGG16

__all__ = ["MLP", "VGG", "VGG16", "Hopfield", "HopfieldLaborieux", "ResNet", "SoftHebbNet", "SpikingNet"]
