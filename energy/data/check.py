"""Labelled images as they come out of a file, and what must be true of them before anything else sees them."""

from typing import NamedTuple

import torch
from torch import Tensor

from energy.data.error import DataError


class Examples(NamedTuple):
    """``pixels`` (N, C, H, W), uint8 or floating, and ``labels`` (N,), int64."""

    pixels: Tensor
    labels: Tensor


class Raw(NamedTuple):
    """A whole set as it is published: its training and its test examples."""

    train: Examples
    test: Examples


def check(examples: Examples, where: str, shape: tuple[int, int, int], classes: int, first: int = 0) -> None:
    """Refuse examples that are empty, of another shape or type, not finite, or labelled outside [first, first+classes).

    Raises:
        DataError: naming ``where``, what was found and what must be.
    """
    pixels, labels = examples
    if pixels.dtype is not torch.uint8 and not pixels.is_floating_point():
        raise DataError(f"{where}: pixels are {pixels.dtype}; must be uint8, or floating")
    if pixels.ndim != 4 or tuple(pixels.shape[1:]) != shape:
        raise DataError(f"{where}: pixels have shape {tuple(pixels.shape)}; must be (N, {', '.join(map(str, shape))})")
    if labels.dtype is not torch.int64 or labels.shape != pixels.shape[:1]:
        found = f"{labels.dtype} of shape {tuple(labels.shape)}"
        raise DataError(f"{where}: labels are {found}; must be int64 of shape ({len(pixels)},)")
    if not len(pixels):
        raise DataError(f"{where}: holds no images")
    low, high = int(labels.min()), int(labels.max())
    if low < first or high >= first + classes:
        raise DataError(f"{where}: labels run from {low} to {high}; must lie between {first} and {first + classes - 1}")
    if pixels.is_floating_point() and not bool(pixels.isfinite().all()):
        bad = int((~pixels.isfinite()).flatten(1).any(1).nonzero()[0])
        raise DataError(f"{where}: image {bad} is not finite (NaN or infinity)")
