"""Arithmetic on lists of tensors by torch's fused functions: one kernel for many tensors if the device has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_fused: Any = torch  # the functions are private in name only: torch.optim is built on them


def add(some: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    """Return a + b, pair by pair."""
    return _fused._foreach_add(some, others)


def subtract(some: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    """Return a − b, pair by pair."""
    return _fused._foreach_sub(some, others)


def multiply(some: Sequence[Tensor], scale: float) -> list[Tensor]:
    """Return scale·a for each a."""
    return _fused._foreach_mul(some, scale)


def multiply_(some: Sequence[Tensor], scale: float) -> None:
    """Multiply each a by scale, in place."""
    if some:
        _fused._foreach_mul_(some, scale)


def add_(some: Sequence[Tensor], others: Sequence[Tensor], scale: float | Tensor) -> None:
    """Add scale·b to a, pair by pair, in place; a scale () on the device is not read."""
    if not some:
        return
    if isinstance(scale, Tensor):
        _fused._foreach_add_(some, _fused._foreach_mul(others, scale))
    else:
        _fused._foreach_add_(some, others, alpha=scale)


def approach_(some: Sequence[Tensor], others: Sequence[Tensor], share: float) -> None:
    """Add share·(b − a) to a, pair by pair, in place."""
    if some:
        _fused._foreach_lerp_(some, others, share)


def all_finite(some: Sequence[Tensor]) -> Tensor:
    """Return true for each tensor whose elements are all finite, (n,).

    On the CPU a tensor whose sum overflows counts as not finite.
    """
    if some[0].device.type == "cpu":  # a greatest magnitude takes twenty times as long there (torch 2.13)
        found = [tensor.sum() for tensor in some]
    else:
        found = _fused._foreach_norm(some, float("inf"))
    return torch.stack([number.isfinite() for number in found])
