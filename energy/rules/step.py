"""The arithmetic of a step: each formula once, for plain tensors and for the kernel that is compiled of them."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from energy.constants import constant
from energy.kernels import Kernel

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
    return _constants(values, like.device, torch.promote_types(like.dtype, torch.float32))


@constant(maxsize=64)
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


def scaled_step(weight: Tensor, product: Tensor, numbers: Tensor) -> Tensor:
    """Return the scaled step at p = 2 without bias, −η_k Δw_k / max|Δw|; compiled, in two passes over the weights.

    Args:
        weight: w, (K, …).
        product: yx, of the shape of the weight.
        numbers: η, q and R, (3,).
    """
    rate, exponent, target_norm = numbers.unbind()
    w, yx = (t.movedim(1, -1).flatten(1) for t in (weight, product))
    if _MEASURES.ready(weight):
        overlap, squares, peaks = _MEASURES((w, yx, numbers))
        rates = learning_rates(squares.sqrt(), rate, exponent, target_norm)
        step = _SCALED((w, yx, numbers, overlap, (rates / (peaks.amax() + TINY)).neg()))
    else:
        update = hebbian_update(w, yx.to(w.dtype), (w * yx.to(w.dtype)).sum(1), target_norm**2)
        step = scaled_by_peak(update, learning_rates(w.square().sum(1).sqrt(), rate, exponent, target_norm))
    return step.view(len(w), *weight.movedim(1, -1).shape[1:]).movedim(-1, 1)


def _measures(w: Tensor, yx: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """yu, ‖w‖² and max|Δw| of every unit, (K,) each: while its row is in the cache."""
    overlap = (w * yx.to(w.dtype)).sum(1)
    update = hebbian_update(w, yx.to(w.dtype), overlap, numbers[2] ** 2)
    return overlap, w.square().sum(1), update.abs().amax(1)


def _scaled(w: Tensor, yx: Tensor, numbers: Tensor, overlap: Tensor, factors: Tensor) -> Tensor:
    """The step of factors that are at hand: compiled with their formula, they would be computed again and again."""
    return hebbian_update(w, yx.to(w.dtype), overlap, numbers[2] ** 2) * along(factors, w)


_MEASURES, _SCALED = Kernel(_measures), Kernel(_scaled)
