"""The arithmetic of a step: each formula once, for plain tensors and for the kernel that is compiled of them."""

from __future__ import annotations

import functools
from typing import Final

import torch
from torch import Tensor

from energy.kernels import Kernel
from energy.tracing import tracing

TINY: Final = 1e-30  # floor of the largest change; a layer without input does not move


def along(units: Tensor, weight: Tensor) -> Tensor:
    """Return numbers (K,) shaped to broadcast along the first axis of a weight."""
    return units.view(-1, *[1] * (weight.ndim - 1)).to(weight.dtype)


def over_places(y: Tensor) -> Tensor:
    """Return Σ over batch and places: (B, K, …) → (K,)."""
    return y.movedim(1, 0).flatten(1).sum(1)


def dual(weight: Tensor, p: float) -> Tensor:
    """Return sign(w)|w|^(p−1), the weight of the input in a drive."""
    return weight if p == 2 else weight.sign() * weight.abs().pow(p - 1)


def constants(values: tuple[float, ...], like: Tensor) -> Tensor:
    """Return numbers as a tensor on the device of `like`, in its dtype or float32, whichever is wider."""
    # a recording takes constants that are made in it, and refuses tensors from outside
    make = _constants if tracing() is None else _constants.__wrapped__
    return make(values, like.device, torch.promote_types(like.dtype, torch.float32))


@functools.lru_cache(maxsize=64)
def _constants(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, device=device, dtype=dtype)


def hebbian_update(weight: Tensor, product: Tensor, overlap: Tensor, scale: float | Tensor) -> Tensor:
    """Return R^p·yx_k − yu_k·w_k.

    Args:
        weight: w, (K, …).
        product: yx, (K, …).
        overlap: yu, (K,).
        scale: R^p.
    """
    return product * scale - along(overlap, weight) * weight


def learning_rates(
    norms: Tensor, rate: float | Tensor, exponent: float | Tensor, target_norm: float | Tensor
) -> Tensor:
    """Return η_k = η (|‖w_k‖/R − 1| + 1e-10)^q.

    Args:
        norms: ‖w_k‖, (K,).
        rate: η.
        exponent: q.
        target_norm: R.
    """
    return ((norms / target_norm - 1).abs() + 1e-10).pow(exponent) * rate


def scaled_by_peak(update: Tensor, rates: Tensor, groups: int = 1) -> Tensor:
    """Return −η_k Δw_k / max|Δw|, the maximum over each of `groups` sets of units.

    Args:
        update: Δw, (K, …).
        rates: η, (K,).
        groups: must divide K.
    """
    peaks = update.abs().reshape(len(update), -1).amax(1)  # unit by unit, so that a row is read once for all of this
    peaks = peaks.unflatten(0, (groups, -1)).amax(1, keepdim=True)
    return update * along((rates.unflatten(0, (groups, -1)) / (peaks + TINY)).neg().flatten(), update)


def _fused(weight: Tensor, product: Tensor, numbers: Tensor) -> Tensor:
    """The scaled step at p = 2 without bias, in two passes over the weights once compiled."""
    rate, exponent, target_norm = numbers.unbind()
    w, yx = (t.movedim(1, -1).flatten(1) for t in (weight, product.to(weight.dtype)))
    update = hebbian_update(w, yx, (w * yx).sum(1), target_norm**2)
    rates = learning_rates(w.square().sum(1).sqrt(), rate, exponent, target_norm)
    step = scaled_by_peak(update, rates)
    return step.view(len(w), *weight.movedim(1, -1).shape[1:]).movedim(-1, 1)


FUSED: Final = Kernel(_fused)
