"""Data sets: read without running code from them, held on the device, given out in a keyed order."""

from energy.data.augment import Augment
from energy.data.check import Examples, Raw, validate_examples
from energy.data.cifar import Cifar10, Cifar100
from energy.data.dataset import DataSet, Splits
from energy.data.diabetes import Diabetes
from energy.data.digit_properties import DigitProperties
from energy.data.digits import Digits
from energy.data.fetch import fetch
from energy.data.image_folder import ImageFolder
from energy.data.imagenet32 import ImageNet32, ImageNette32
from energy.data.images import Images
from energy.data.listing import describe_sets
from energy.data.mnist import FashionMnist, Mnist
from energy.data.published import Published
from energy.data.regression import Regression
from energy.data.source import data_root
from energy.data.stl10 import Stl10
from energy.data.torch_set import TorchDataSet, TorchSplits, torch_splits
from energy.errors import DataError

__all__ = [
    "Augment",
    "Cifar10",
    "Cifar100",
    "DataError",
    "DataSet",
    "Diabetes",
    "DigitProperties",
    "Digits",
    "Examples",
    "FashionMnist",
    "ImageFolder",
    "ImageNet32",
    "ImageNette32",
    "Images",
    "Mnist",
    "Published",
    "Raw",
    "Regression",
    "Splits",
    "Stl10",
    "TorchDataSet",
    "TorchSplits",
    "data_root",
    "describe_sets",
    "fetch",
    "torch_splits",
    "validate_examples",
]
