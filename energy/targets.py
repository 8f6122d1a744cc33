"""The target of a sample: one class, real numbers, or labels that are on or off; and the vectors that are learned.

Targets are (B, C) or, with a class at every place, (B, C, …), like the outputs that they are compared with.
"""

from __future__ import annotations

import enum
from typing import Final

import numpy as np
import torch
from torch import Tensor

from energy import reading
from energy.errors import UsageError

GREATEST: Final = 2**63 - 1  # that int64 holds


class TargetKind(enum.Enum):
    """The kind of the targets of a data set."""

    CLASSES = "one class of each sample, (N,)"
    REAL = "real numbers, (N, d)"
    LABELS = "labels that are on (1) or off (0), (N, d)"


def target_of(labels: Tensor, outputs: int, kind: TargetKind, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the target vectors of a batch, (B, outputs).

    Args:
        labels: of a data set of this kind: class numbers (B,), real numbers (B, d), or zeros and ones (B, d).
        outputs: units of the output layer: the classes, or d.
        kind: of the labels.
        dtype: of the targets.

    Raises:
        ValueError: for labels that are not of this kind, or not as wide as the output.

    Example:
        >>> target_of(torch.tensor([[1, 0, 1]]), 3, TargetKind.LABELS)
        tensor([[1., 0., 1.]])
    """
    if kind is TargetKind.CLASSES:
        return one_hot(labels, outputs, dtype)
    if labels.ndim != 2 or labels.shape[1] != outputs:
        raise UsageError(f"labels has shape {tuple(labels.shape)}: must be (B, {outputs}), one number for each output")
    if kind is TargetKind.REAL and not labels.is_floating_point():
        raise UsageError(f"labels is {labels.dtype}: must be floating; labels.double() makes it so")
    if kind is TargetKind.LABELS and reading.is_free(labels.device) and not bool(is_binary(labels).all()):
        raise UsageError("labels: must be 0 or 1, off or on")
    return labels.to(dtype)


def is_binary(values: Tensor) -> Tensor:
    """Return which of the values are 0 or 1, of any type; of the shape of `values`."""
    return (values == 0) | (values == 1)


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the targets of a classifier, (B, classes).

    Args:
        labels: (B,), integers of any width in 0 … classes − 1, also booleans and an array of NumPy. Labels that count
            from 1 are noticed only if one reaches `classes`: subtract 1.
        classes: their number.
        dtype: of the targets.

    Raises:
        ValueError: for other labels; those out of range on the CPU only, whose check is free (a GPU's own kernel stops
            at them).

    Example:
        >>> one_hot(torch.tensor([2, 0]), 3)
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    numbers = class_numbers(labels, classes)
    return torch.zeros(len(numbers), classes, dtype=dtype, device=numbers.device).scatter_(1, numbers.unsqueeze(1), 1)


def class_numbers(labels: Tensor, classes: int) -> Tensor:
    """Return the labels as (B,) int64, after the checks of `one_hot`.

    Raises:
        ValueError: as for `one_hot`.
    """
    if isinstance(labels, np.ndarray):
        labels = from_array(labels)
    if labels.ndim != 1:
        cure = "; squeeze(1) makes it so" if labels.ndim == 2 and labels.shape[1] == 1 else ""
        raise UsageError(f"labels has shape {tuple(labels.shape)}: must be (B,){cure}")
    if labels.is_floating_point() or labels.is_complex():
        raise UsageError(f"labels is {labels.dtype}: must be whole numbers; labels.long() makes them so")
    if classes < 1:
        raise UsageError(f"classes={classes}: must be at least 1")
    wide, labels = labels.dtype is torch.uint64, labels.to(torch.int64)
    if len(labels) and reading.is_free(labels.device):
        low, high = (int(bound) for bound in labels.aminmax())
        if wide and low < 0:
            raise UsageError(f"labels reach above {GREATEST}: must be in 0 … {classes - 1} for {classes} classes")
        if low < 0 or high >= classes:
            raise UsageError(f"labels reach from {low} to {high}: must be in 0 … {classes - 1} for {classes} classes")
    return labels


def from_array(array: np.ndarray) -> Tensor:
    """Return the numbers of an array of NumPy as a tensor of the same type, in the byte order of this machine.

    Raises:
        ValueError: for an array of anything else, such as objects or text.
    """
    native = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    try:
        return torch.from_numpy(native if native.flags.writeable else native.copy())
    except TypeError:
        raise UsageError(f"an array of {array.dtype}: must hold numbers that torch knows") from None


def matching(target: Tensor, output: Tensor) -> Tensor:
    """Return the target itself.

    Raises:
        ValueError: unless it has the shape of the output, to which it would be broadcast.
    """
    if target.shape != output.shape:
        raise UsageError(
            f"target has shape {tuple(target.shape)}: must be that of the output, {tuple(output.shape)}; "
            "of labels, one_hot(labels, classes) makes it"
        )
    return target
