"""The arithmetic of a step: what is scaled by a norm, and by the greatest change of a layer."""

from __future__ import annotations

import functools
from typing import Final

import torch
from torch import Tensor

from energy.kernels import Kernel

TINY: Final = 1e-30  # floor of the largest change; a layer that hears nothing does not move


def along(neurons: Tensor, weight: Tensor) -> Tensor:
    """(K,) laid along the first axis of a weight."""
    return neurons.view(-1, *[1] * (weight.ndim - 1)).to(weight.dtype)


def over_places(y: Tensor) -> Tensor:
    """Σ over batch and places: (B, K, …) → (K,)."""
    return y.movedim(1, 0).flatten(1).sum(1)


def constants(values: tuple[float, ...], like: Tensor) -> Tensor:
    """Numbers as a tensor on the device of `like`, in its precision or float32, whichever is wider."""
    return _constants(values, like.device, torch.promote_types(like.dtype, torch.float32))


@functools.lru_cache(maxsize=64)
def _constants(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, device=device, dtype=dtype)


def _step(weight: Tensor, product: Tensor, numbers: Tensor) -> Tensor:
    """−η_k (R² yx_k − ⟨w_k, yx_k⟩ w_k)/max, in two passes over the weights once compiled."""
    rate, exponent, radius = numbers.unbind()
    w, yx = (t.movedim(1, -1).flatten(1) for t in (weight, product.to(weight.dtype)))
    change = yx * radius**2 - (w * yx).sum(1, keepdim=True) * w
    norms = w.square().sum(1, keepdim=True).sqrt() / radius
    rates = ((norms - 1).abs() + 1e-10).pow(exponent) * rate
    peak = change.abs().amax(1, keepdim=True).amax()  # row by row, so that a row is read once for all of this
    step = change * (rates / (peak + TINY)).neg()
    return step.view(len(w), *weight.movedim(1, -1).shape[1:]).movedim(-1, 1)


STEP = Kernel(_step)
