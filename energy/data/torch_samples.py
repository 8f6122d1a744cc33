"""The samples of a `torch.utils.data.Dataset`, read once into tensors and checked one by one.

A sample is a pair: an image as tensor, NumPy array or Pillow image, and a label. The whole set is read in the order of
its indices, so neither the order of a loader nor its workers matter. What a loader or a data set would do anew at every
read cannot be kept: a random transform, a sampler that leaves samples out, and a stream are refused by name.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence, Sized
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
)

from energy.data.check import Examples, validate_examples
from energy.errors import DataError, UsageError, shown
from energy.targets import TargetKind, from_array

AGAIN: Final = 32  # samples that are read twice
PARTS: Final = ("image", "label")
CURE: Final = "leave chance to data.crop, data.flip and data.cutout, which are drawn anew for every epoch"
SAMPLERS: Final = (SequentialSampler, RandomSampler, DistributedSampler)


def torch_examples(
    source: Dataset[Any] | DataLoader[Any],
    where: str,
    image: tuple[int, int, int],
    classes: int,
    targets: TargetKind = TargetKind.CLASSES,
) -> Examples:
    """Read a map-style data set of torch, or that of a loader, from its first sample to its last.

    Args:
        source: the data set, with `__getitem__` and `__len__`; or a loader, whose order and batches are left aside.
        where: the set and its split, for messages.
        image: (C, H, W); a sample may lack its axes of length 1, as (F,) of (F, 1, 1).
        classes: their number; of other targets that of their outputs.
        targets: their kind.

    Raises:
        DataError: naming set, field and sample, for one of another shape or type, that is not finite or out of range,
            for a length that changes, and for what cannot be read in the order of its indices.
    """
    dataset = dataset_of(source, where)
    count = _length(dataset, where)
    pixels: Tensor | None = None
    labels: list[Tensor] = []
    for index in range(count):
        x, y = _sample(dataset, index, where, image)
        if pixels is None:
            pixels = x.new_empty((count, *image))
        _alike(x, pixels[0], f"{where}: sample {index}: image")
        if labels:
            _alike(y, labels[0], f"{where}: sample {index}: label")
        pixels[index] = x
        labels.append(y)
    if (now := _length(dataset, where)) != count:
        raise DataError(f"{where}: its length was {count} before it was read and is {now} now")
    if pixels is None:
        raise DataError(f"{where}: holds no images")
    _same_again(dataset, Examples(pixels, torch.stack(labels)), where, image)
    return validate_examples(Examples(pixels, torch.stack(labels)), where, image, classes, targets=targets)


def first_shape(source: Dataset[Any] | DataLoader[Any], where: str) -> tuple[int, int, int]:
    """Return (C, H, W) of the first image: (F, 1, 1) of a row of F numbers, (1, H, W) of an image without channels.

    Raises:
        DataError: when there is no sample, or it is no image.
    """
    dataset = dataset_of(source, where)
    if not _length(dataset, where):
        raise DataError(f"{where}: holds no images")
    what = f"{where}: sample 0: image"
    shape = tuple(_tensor(_pair(dataset, 0, where)[0], what).shape)
    if len(shape) == 1:
        return (shape[0], 1, 1)
    if len(shape) not in (2, 3):
        raise DataError(f"{what} has shape {shape}; must be (C, H, W), (H, W) or (F,)")
    return (shape[-3] if len(shape) == 3 else 1, shape[-2], shape[-1])


def dataset_of(source: Dataset[Any] | DataLoader[Any], where: str) -> Dataset[Any]:
    """Return the map-style data set itself, or that of a loader that goes through all of it.

    Raises:
        DataError: for a stream, for a loader whose sampler leaves samples out or repeats them, and for one with a
            `collate_fn` of its own.
    """
    if isinstance(source, DataLoader):
        if not isinstance(source.dataset, IterableDataset):
            _require_all(source, where)
        source = source.dataset
    if isinstance(source, IterableDataset) or not hasattr(source, "__getitem__"):
        raise DataError(
            f"{where}: {type(source).__name__} is a stream, which has no order of its own to continue in; read it into "
            "a list of samples once, list(stream), which is a data set by index"
        )
    return source


def _require_all(loader: DataLoader[Any], where: str) -> None:
    """Refuse a loader that would give something else than the samples of its data set, each once."""
    sampler = loader.sampler if loader.batch_sampler is None else getattr(loader.batch_sampler, "sampler", None)
    if loader.collate_fn is not default_collate and loader.batch_size is not None:
        raise DataError(f"{where}: the loader has a collate_fn of its own, which makes other samples; do it in the set")
    repeats = isinstance(sampler, RandomSampler) and (sampler.replacement or len(sampler) != len(loader.dataset))  # pyright: ignore[reportArgumentType] (sized, since it has a sampler by index)
    if not isinstance(sampler, SAMPLERS) or repeats:
        raise DataError(
            f"{where}: the loader's {type(sampler).__name__} leaves samples out or repeats them; "
            "torch.utils.data.Subset(dataset, indices) says which there are"
        )


def _length(dataset: Dataset[Any], where: str) -> int:
    if not isinstance(dataset, Sized):
        raise DataError(f"{where}: {type(dataset).__name__} has no __len__; must tell how many samples it has")
    return len(dataset)


def _pair(dataset: Dataset[Any], index: int, where: str) -> Sequence[Any]:
    """One sample as it is given: an image and a label."""
    try:
        found = dataset[index]
    except IndexError as error:
        raise DataError(f"{where}: sample {index}: {shown(str(error) or 'IndexError')}; __len__ says more") from error
    except Exception as error:
        raise DataError(f"{where}: sample {index}: {type(error).__name__}: {shown(str(error))}") from error
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) != 2:
        count = f" of {len(found)}" if isinstance(found, Sequence) else ""
        raise DataError(f"{where}: sample {index} is a {type(found).__name__}{count}; must be a pair (image, label)")
    return found


def _sample(dataset: Dataset[Any], index: int, where: str, image: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """One image (C, H, W) and its label, as tensors."""
    found = _pair(dataset, index, where)
    x, y = (_tensor(value, f"{where}: sample {index}: {part}") for value, part in zip(found, PARTS, strict=True))
    x = _shaped(x, image, f"{where}: sample {index}: image")
    for part, value in zip(PARTS, (x, y), strict=True):
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise DataError(f"{where}: sample {index}: {part} is not finite (NaN or infinity)")
    return x, y


def _tensor(value: Any, what: str) -> Tensor:
    """A tensor, an array, a number or a Pillow image as a tensor on the host."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if hasattr(value, "getbands"):  # an image of Pillow, whose channels are its last axis
        array = np.asarray(value)
        value = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    if isinstance(value, np.ndarray | np.generic):
        try:
            return from_array(np.asarray(value))
        except UsageError as error:
            raise DataError(f"{what} is {error}") from None
    if isinstance(value, bool | numbers.Real):
        return torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)
    if isinstance(value, list | tuple) and all(isinstance(one, bool | numbers.Real) for one in value):
        return torch.tensor(value, dtype=torch.float64 if any(isinstance(one, float) for one in value) else None)
    raise DataError(f"{what} is a {type(value).__name__}; must be a tensor, an array of NumPy or a number")


def _shaped(x: Tensor, image: tuple[int, int, int], what: str) -> Tensor:
    if x.dtype is not torch.uint8 and not x.is_floating_point():
        raise DataError(f"{what} is {x.dtype}; must be uint8, or floating")
    if x.shape != image and x.shape != tuple(side for side in image if side != 1):
        raise DataError(f"{what} has shape {tuple(x.shape)}; must be {image}")
    return x.reshape(image)


def _alike(value: Tensor, first: Tensor, what: str) -> None:
    """Refuse a part of a sample that is of another type or shape than that of the first."""
    if value.dtype is not first.dtype or value.shape != first.shape:
        found = f"{value.dtype} of shape {tuple(value.shape)}"
        raise DataError(f"{what} is {found}; that of sample 0 is {first.dtype} of shape {tuple(first.shape)}")


def _same_again(dataset: Dataset[Any], examples: Examples, where: str, image: tuple[int, int, int]) -> None:
    """Refuse a set that gives something else on a second read of its first samples."""
    for index in range(min(AGAIN, len(examples.labels))):
        again = _sample(dataset, index, where, image)
        for part, value, held in zip(PARTS, again, (examples.pixels[index], examples.labels[index]), strict=True):
            if value.shape != held.shape or not torch.equal(value, held):
                raise DataError(f"{where}: sample {index}: {part} is another on a second read; {CURE}")
