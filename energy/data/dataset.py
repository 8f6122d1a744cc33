"""Data sets: images and labels, and the way they are split, normalized and augmented."""

import abc
import dataclasses
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad as extend

from energy.component import Component, ConfigurationError, require
from energy.data.augment import Augment
from energy.data.check import Examples, Raw, validate_examples, validate_raw
from energy.data.images import Images
from energy.data.unit import BYTES, look
from energy.errors import DataError
from energy.stream import stream
from energy.targets import TargetKind


class Splits(NamedTuple):
    """The splits of a set: `train` and `validation` are disjoint parts of the published training set."""

    train: Images
    validation: Images
    test: Images


class DataSet(Component):
    """Labeled images.

    A set of one's own sets `image` and `classes` and defines `read`. Class attributes: `image` is (C, H, W), `classes`
    their number, `names` the classes in the order of their labels, as many as are worth naming, `levels` the pixel
    value that stands for 1: 255 unless declared if pixels are uint8; floating ones need it; and `targets` the kind of
    the labels, a class of each image unless declared. Of other kinds `classes` is the number of outputs.

    Attributes:
        mean: of each channel, or one for all; x = (pixel / levels - mean) / std.
        std: like `mean`.
        validation: the fraction of the training images, or of `limit`, that the seed sets aside.
        limit: number of training images to use; 0 for all that are not set aside. Larger ones contain smaller ones.
        pad: width of a border of zero pixels, added on every side.
        crop: largest shift of a training image each way, in pixels.
        flip: whether half of the training images are mirrored.
        alternate: whether an image that is mirrored in one epoch is not in the next, in place of a draw each time.
        cutout: side of the square that is blanked in training images.
    """

    group = "data"
    image: ClassVar[tuple[int, int, int]]
    classes: ClassVar[int]
    targets: ClassVar[TargetKind] = TargetKind.CLASSES
    levels: ClassVar[float | None] = None
    names: ClassVar[tuple[str, ...]] = ()
    counts: ClassVar[tuple[int, int] | None] = None  # of training and test images, where they are known beforehand

    mean: list[float] = dataclasses.field(default_factory=lambda: [0.0])
    std: list[float] = dataclasses.field(default_factory=lambda: [1.0])
    validation: float = 0.1
    limit: int = 0
    pad: int = 0
    crop: int = 0
    flip: bool = False
    alternate: bool = False
    cutout: int = 0

    def __post_init__(self) -> None:
        self._declared()
        counts, side = {1, self.image[0]}, min(self.image[1:])
        require(
            len(self.mean) in counts and all(abs(m) < 1e6 for m in self.mean), self, "mean", "finite, one per channel"
        )
        require(
            len(self.std) in counts and all(0 < s < 1e6 for s in self.std), self, "std", "positive, one per channel"
        )
        require(0 <= self.validation < 1, self, "validation", "at least 0 and below 1")
        require(self.limit >= 0, self, "limit", "at least 0")
        require(self.flip or not self.alternate, self, "alternate", "false without flip")
        for field in ("pad", "crop", "cutout"):
            require(0 <= getattr(self, field) <= side, self, field, f"between 0 and {side}")

    def _declared(self) -> None:
        """Check the class attributes.

        Raises:
            ConfigurationError: when the images are not described.
        """
        for name, example in (("image", "(channels, height, width)"), ("classes", "their number")):
            if not hasattr(self, name):
                raise ConfigurationError(f"{type(self).__name__}.{name}: must be declared: {name} = {example}")
        sides = self.image if isinstance(self.image, tuple) else ()
        whole_numbers = len(sides) == 3 and all(isinstance(side, int) and side > 0 for side in sides)
        require(whole_numbers, self, "image", "(channels, height, width), a tuple of three whole numbers above 0")
        require(isinstance(self.classes, int) and self.classes > 0, self, "classes", "a whole number above 0")
        numeric = self.levels is None or (isinstance(self.levels, int | float) and 0 < self.levels < 1e6)
        require(numeric, self, "levels", "the pixel value that stands for 1, above 0")
        named = isinstance(self.names, tuple) and all(isinstance(name, str) for name in self.names)
        require(named and len(self.names) <= self.classes, self, "names", "a tuple of names, at most one per class")
        require(isinstance(self.targets, TargetKind), self, "targets", "a TargetKind")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images of a batch, the border included."""
        channels, height, width = self.image
        return channels, height + 2 * self.pad, width + 2 * self.pad

    @abc.abstractmethod
    def read(self) -> Raw:
        """Read all published examples: pixels (N, C, H, W), uint8 or floating and finite; labels from 0."""

    def divided(self, count: int) -> tuple[int, int]:
        """Return how many of `count` published training images are trained on, and how many are set aside.

        Raises:
            DataError: when `limit` asks for more than there are.
        """
        aside = round(self.validation * (self.limit or count))
        used = self.limit or count - aside
        if used <= 0:
            raise DataError(f"{self.name}.validation={self.validation:g}: leaves none of {count} images to train on")
        if used > count - aside:
            most = int(count / (1 + self.validation) + 1)
            most -= most + round(self.validation * most) > count
            told = f"of {count} images, since {self.validation:g} times as many are set aside"
            raise DataError(f"{self.name}.limit={self.limit}: must be at most {most} {told}")
        return used, aside

    def examples(self) -> Raw:
        """Return the result of `read`, checked.

        Raises:
            DataError: when it is something else than is asked of `read`.
        """
        label = self.name or type(self).__name__
        found = zip(Raw._fields, validate_raw(self.read(), label), strict=True)
        return Raw(
            *(
                validate_examples(examples, f"{label} {split}", self.image, self.classes, targets=self.targets)
                for split, examples in found
            )
        )

    def learned(self, labels: Tensor) -> Tensor:
        """Return the labels as they are learned, in the shape that they have; as they are unless redefined."""
        return labels

    def fingerprint(self) -> str:
        """Return a digest of the examples that a run keeps, so that it notices when they change; empty for none."""
        return ""

    def load(self, device: str | torch.device, seed: int, dtype: torch.dtype = torch.float32) -> Splits:
        """Load the set, with its training part divided.

        Args:
            device: of the images.
            seed: decides the images that are set aside for validation.
            dtype: of the batches.

        Raises:
            DataError: when the set is missing, damaged, not what was published, floating without a unit, or smaller
                than `limit` asks for.
        """
        train, test = self.examples()
        if train.pixels.is_floating_point() != test.pixels.is_floating_point():
            raise DataError(f"{self.name}: pixels of train are {train.pixels.dtype}, of test {test.pixels.dtype}")
        look(train.pixels, self.levels, *self._normal(), self.name)
        chosen, aside = self._divide(len(train.labels), seed)
        augment = Augment(self.crop, self.flip, self.cutout, self.alternate)
        return Splits(
            self._images(_pick(train, chosen), augment, device, dtype),
            self._images(_pick(train, aside), Augment(), device, dtype),
            self._images(test, Augment(), device, dtype),
        )

    def _divide(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """The rows of the training images that are trained on, and of those set aside, in ascending order."""
        used, aside = self.divided(count)
        order = torch.randperm(count, generator=stream(seed, "split"), device="cpu")
        return order[:used].sort().values, order[count - aside :].sort().values

    def _normal(self) -> tuple[Tensor, Tensor]:
        """`mean` and `std`, (C, 1, 1) or (1, 1, 1)."""
        mean, std = (
            torch.tensor(value, dtype=torch.float64, device="cpu")[:, None, None] for value in (self.mean, self.std)
        )
        return mean, std

    def _images(self, examples: Examples, augment: Augment, device: str | torch.device, dtype: torch.dtype) -> Images:
        pixels = extend(examples.pixels, (self.pad,) * 4) if self.pad else examples.pixels
        mean, std = self._normal()
        work = torch.promote_types(dtype, torch.float32)
        scale, shift = (value.to(device, work) for value in (1 / ((self.levels or BYTES) * std), mean / std))
        labels = self.learned(examples.labels).to(device)
        return Images(pixels.to(device), labels, scale, shift, self.classes, augment, dtype, self.targets)


def _pick(examples: Examples, rows: Tensor) -> Examples:
    return Examples(examples.pixels[rows], examples.labels[rows])
