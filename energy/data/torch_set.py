"""Data sets of torch as data of a run: a component for `fit` and the command line, and a function for loops."""

from __future__ import annotations

import abc
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from energy.data.check import Examples, Raw
from energy.data.dataset import DataSet, Splits
from energy.data.digests import examples_digest
from energy.data.torch_samples import first_shape, torch_examples
from energy.errors import DataError
from energy.stream import stream
from energy.targets import TargetKind

Source = Dataset[Any] | DataLoader[Any]


@dataclass(frozen=True, eq=False)
class TorchSplits:
    """Map-style data sets of torch, or loaders of them.

    Attributes:
        train: to train on.
        test: to test on, once.
        validation: to validate on; None if a fraction of `train` is set aside for it.
    """

    train: Source
    test: Source
    validation: Source | None = None


class TorchDataSet(DataSet):
    """Data sets of torch: a subclass declares `image` and `classes` and defines `open`.

    They are read once, in the order of their indices, checked sample by sample, and from then on are like any other
    set: keyed order, splits, normalization and augmentation are those of this library. Floating images need `levels`,
    as everywhere: 1 if they lie in [0, 1]. Where there is a validation set, the fraction `validation` sets nothing
    aside.

    Example:
        >>> class Points(TorchDataSet):
        ...     image, classes, levels = (2, 1, 1), 2, 1
        ...
        ...     def open(self) -> TorchSplits:
        ...         from torch.utils.data import TensorDataset
        ...
        ...         x = torch.tensor([[0.0, 1.0], [1.0, 0.0]] * 10)
        ...         points = TensorDataset(x, x.argmax(1))
        ...         return TorchSplits(points, points)
        >>> [len(split) for split in Points(validation=0.2).load("cpu", seed=0)]
        [16, 4, 20]
    """

    @abc.abstractmethod
    def open(self) -> TorchSplits:
        """Return the data sets of torch; called once."""

    @functools.cached_property
    def _found(self) -> tuple[Raw, int]:
        """All examples, those of a validation set behind those to train on, and how many the former are."""
        label = self.name or type(self).__name__
        opened = self.open()
        if not isinstance(opened, TorchSplits):
            raise DataError(f"{label}: open() returned a {type(opened).__name__}; must be TorchSplits(train, test)")
        sources = {"train": opened.train, "validation": opened.validation, "test": opened.test}
        found = {
            split: torch_examples(source, f"{label} {split}", self.image, self.classes, self.targets)
            for split, source in sources.items()
            if source is not None
        }
        held = found.get("validation")
        train = found["train"] if held is None else _joined(found["train"], held, label)
        return Raw(train, found["test"]), 0 if held is None else len(held.labels)

    def read(self) -> Raw:
        """Return the examples of `open`.

        Raises:
            DataError: naming set, split, field and sample, for the first that cannot be used.
        """
        return self._found[0]

    def divided(self, count: int) -> tuple[int, int]:
        aside = self._found[1]
        if not aside:
            return super().divided(count)
        if self.limit > count - aside:
            raise DataError(f"{self.name}.limit={self.limit}: must be at most the {count - aside} images to train on")
        return self.limit or count - aside, aside

    def _divide(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        used, aside = self.divided(count)
        if not self._found[1]:
            return super()._divide(count, seed)
        order = torch.randperm(count - aside, generator=stream(seed, "split"), device="cpu")
        return order[:used].sort().values, torch.arange(count - aside, count, device="cpu")

    def fingerprint(self) -> str:
        return hashlib.sha256("".join(map(examples_digest, self._found[0])).encode()).hexdigest()


def torch_splits(
    sources: TorchSplits,
    classes: int,
    *,
    targets: TargetKind = TargetKind.CLASSES,
    levels: float | None = None,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    validation: float = 0.1,
    seed: int = 0,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Splits:
    """Read data sets of torch for a loop of one's own; the shape of an image is that of the first sample.

    Args:
        sources: the data sets, or loaders of them.
        classes: their number; of other targets that of their outputs.
        targets: their kind.
        levels: the pixel value that stands for 1; 255 unless given for uint8, floating pixels need it.
        mean: of each channel, or one for all; x = (pixel/levels - mean)/std.
        std: like `mean`.
        validation: the fraction of the training set that is set aside, if there is no validation set.
        seed: decides which.
        device: of the batches.
        dtype: of the images in a batch.

    Raises:
        DataError: as a `TorchDataSet`.

    Example:
        >>> x = torch.rand(20, 3, 4, 4)
        >>> loader = DataLoader(torch.utils.data.TensorDataset(x, torch.arange(20) % 2), batch_size=5)
        >>> splits = torch_splits(TorchSplits(loader, loader), classes=2, levels=1)
        >>> [tuple(x.shape) for x, _ in splits.train.batches(6, seed=0, epoch=0, train=True)]
        [(6, 3, 4, 4), (6, 3, 4, 4), (6, 3, 4, 4)]
    """
    image = first_shape(sources.train, "given train")
    body = {"image": image, "classes": classes, "targets": targets, "levels": levels, "open": lambda self: sources}
    given = type("given", (TorchDataSet,), body)
    data: TorchDataSet = given(mean=list(mean), std=list(std), validation=validation)
    return data.load(device, seed, dtype)


def _joined(train: Examples, validation: Examples, label: str) -> Examples:
    """Both sets in a row, where their images are of one type."""
    parts = []
    for name, one, other in zip(Examples._fields, train, validation, strict=True):
        if one.dtype is not other.dtype:
            raise DataError(f"{label}: {name} of train are {one.dtype}, of validation {other.dtype}")
        parts.append(torch.cat([one, other]))
    return Examples(*parts)
