"""The labels of examples as a data set gives them, and their one form: int64 classes, reals, or zeros and ones.

Whole numbers of any type and booleans are taken exactly. A class number may not be floating, since 1.0 may be a
rounded 0.7; a vector of zeros and ones may, since nothing rounds to exactly those.
"""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from energy.errors import DataError, UsageError, shown
from energy.targets import GREATEST, TargetKind, from_array, is_binary

UNSIGNED: Final = (torch.uint16, torch.uint32, torch.uint64)
EXACT: Final = 2**53  # up to which float64 holds every whole number


def checked_labels(
    labels: object, count: int, where: str, outputs: int, kind: TargetKind = TargetKind.CLASSES, first: int = 0
) -> Tensor:
    """Convert labels to the form of their kind.

    Args:
        labels: a tensor, or an array of NumPy. Classes are whole numbers (N,) of any type, or (N, outputs) with one 1 a
            row; reals are floating or whole numbers (N, outputs); labels that are on or off are 0 and 1 (N, outputs).
            With one output, (N,) will do for the latter two.
        count: N, the number of images.
        where: the set and its split, for the message.
        outputs: the number of classes, or of numbers.
        kind: of the targets.
        first: the smallest class.

    Returns:
        int64 (N,) from `first` on for classes; (N, outputs) for the others, floating and uint8.

    Raises:
        DataError: naming `where`, the sample, the value found and the values that may be.
    """
    found = as_tensor(labels, f"{where}: labels")
    if found.is_complex():
        raise DataError(f"{where}: labels are {found.dtype}; must be whole or real numbers")
    if found.dtype in UNSIGNED:  # on which torch computes little
        found = _signed(found, where)
    if kind is TargetKind.CLASSES:
        return _classes(found, count, where, outputs, first)
    if found.ndim == 1 and outputs == 1:
        found = found.unsqueeze(1)
    if found.shape != (count, outputs):
        raise DataError(f"{where}: labels have shape {tuple(found.shape)}; must be ({count}, {outputs})")
    return _reals(found, where) if kind is TargetKind.REAL else _switched(found, where)


def as_tensor(value: object, what: str) -> Tensor:
    """Return a tensor, or an array of NumPy as one.

    Raises:
        DataError: for anything else.
    """
    if isinstance(value, np.ndarray):
        try:
            return from_array(value)
        except UsageError as error:
            raise DataError(f"{what} are {error}") from None
    if not isinstance(value, Tensor):
        raise DataError(f"{what} are a {type(value).__name__}; must be a tensor: torch.tensor makes one")
    return value


def _signed(labels: Tensor, where: str) -> Tensor:
    signed = labels.to(torch.int64)
    if bool((signed < 0).any()):
        raise DataError(f"{where}: labels reach above {GREATEST}; must be what int64 holds")
    return signed


def _classes(labels: Tensor, count: int, where: str, classes: int, first: int) -> Tensor:
    if labels.ndim == 2 and labels.shape == (count, classes) and classes > 1:
        return _from_one_hot(labels, where) + first
    if labels.is_floating_point() or labels.shape != (count,):
        found = f"{labels.dtype} of shape {tuple(labels.shape)}"
        cure = "; labels.long() makes them so" if labels.is_floating_point() and labels.ndim == 1 else ""
        raise DataError(f"{where}: labels are {found}; must be int64 of shape ({count},), or other whole numbers{cure}")
    numbers = labels.to(torch.int64)
    wrong = (numbers < first) | (numbers >= first + classes)
    if bool(wrong.any()):
        at = int(wrong.nonzero()[0])
        said = f"labels run from {int(numbers.min())} to {int(numbers.max())}"
        limit = f"must lie between {first} and {first + classes - 1}"
        raise DataError(f"{where}: {said}; {limit}; the first that does not is {int(numbers[at])}, of sample {at}")
    return numbers


def _from_one_hot(labels: Tensor, where: str) -> Tensor:
    fine = is_binary(labels).all(1) & ((labels != 0).sum(1) == 1)
    if not bool(fine.all()):
        at = int((~fine).nonzero()[0])
        raise DataError(f"{where}: labels of sample {at} are {_row(labels[at])}; must have one 1, and else 0")
    return (labels != 0).to(torch.int64).argmax(1)


def _reals(labels: Tensor, where: str) -> Tensor:
    if labels.dtype is torch.bool:
        raise DataError(f"{where}: labels are torch.bool; must be real numbers")
    if not labels.is_floating_point():
        wide = labels.to(torch.int64)
        if bool(((wide > EXACT) | (wide < -EXACT)).any()):
            raise DataError(f"{where}: labels are whole numbers beyond 2^53, which float64 cannot hold")
        return labels.to(torch.float64)
    if not bool(labels.isfinite().all()):
        at, output = (int(index) for index in (~labels.isfinite()).nonzero()[0])
        raise DataError(f"{where}: label {output} of sample {at} is not finite (NaN or infinity)")
    return labels


def _switched(labels: Tensor, where: str) -> Tensor:
    fine = is_binary(labels)
    if not bool(fine.all()):
        at = int((~fine.all(1)).nonzero()[0])
        raise DataError(f"{where}: labels of sample {at} are {_row(labels[at])}; must be 0 or 1, off or on")
    return (labels != 0).to(torch.uint8)


def _row(row: Tensor) -> str:
    return shown([round(value, 6) if isinstance(value, float) else value for value in row.tolist()], 60)
