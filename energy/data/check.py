"""Labeled images as a file gives them, and the conditions they must meet before anything else receives them."""

from typing import NamedTuple

import torch
from torch import Tensor

from energy.data.labels import checked_labels
from energy.errors import DataError
from energy.targets import TargetKind


class Examples(NamedTuple):
    """Images `pixels` (N, C, H, W), uint8 or floating, and their `labels`.

    Labels are classes (N,), whole numbers of any type; real numbers (N, d); or zeros and ones (N, d).
    """

    pixels: Tensor
    labels: Tensor


class Raw(NamedTuple):
    """A whole set as it is published: its training and its test examples."""

    train: Examples
    test: Examples


def validate_raw(found: object, where: str) -> Raw:
    """Check the type of a set's `read` result, and return it.

    Raises:
        DataError: naming `where`, the type that was returned and the type that must be.
    """
    must = "must be Raw(train=Examples(pixels, labels), test=Examples(pixels, labels))"
    if not isinstance(found, Raw):
        raise DataError(f"{where}: read() returned {_named(found)}; {must}")
    for split, examples in zip(Raw._fields, found, strict=True):
        if not isinstance(examples, Examples):
            raise DataError(f"{where}: read() returned {_named(examples)} for {split}; {must}")
    return found


def _named(found: object) -> str:
    """The type of a value, and the types of its first items."""
    inside = [type(one).__name__ for one in found[:3]] if isinstance(found, tuple | list) else []
    return f"a {type(found).__name__}" + (f" of {', '.join(inside)}" if inside else "")


def validate_examples(
    examples: Examples,
    where: str,
    shape: tuple[int, int, int],
    classes: int,
    first: int = 0,
    targets: TargetKind = TargetKind.CLASSES,
) -> Examples:
    """Refuse examples that are empty, of another shape or type, not finite, or labeled outside [first, first+classes).

    Args:
        examples: pixels and labels.
        where: the set and its split, or its files, for the message.
        shape: (C, H, W) of an image.
        classes: their number; of other targets that of their outputs.
        first: the smallest label.
        targets: their kind.

    Returns:
        the examples, their labels in the one form of their kind (`energy.data.labels`).

    Raises:
        DataError: naming `where`, the value found and the values that may be.
    """
    pixels = examples.pixels
    if not isinstance(pixels, Tensor):
        cure = "torch.from_numpy makes one" if type(pixels).__module__ == "numpy" else "torch.tensor makes one"
        raise DataError(f"{where}: pixels are a {type(pixels).__name__}; must be a tensor: {cure}")
    if pixels.dtype is not torch.uint8 and not pixels.is_floating_point():
        raise DataError(f"{where}: pixels are {pixels.dtype}; must be uint8, or floating")
    if pixels.ndim != 4 or tuple(pixels.shape[1:]) != shape:
        raise DataError(f"{where}: pixels have shape {tuple(pixels.shape)}; must be (N, {', '.join(map(str, shape))})")
    if not len(pixels):
        raise DataError(f"{where}: holds no images")
    labels = checked_labels(examples.labels, len(pixels), where, classes, targets, first)
    if pixels.is_floating_point() and not bool(pixels.isfinite().all()):
        bad = int((~pixels.isfinite()).flatten(1).any(1).nonzero()[0])
        raise DataError(f"{where}: image {bad} is not finite (NaN or infinity)")
    return Examples(pixels, labels)
