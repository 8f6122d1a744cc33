"""Convolutions as one matrix product over patches: the part of the image that a place reads, laid out as a row.

Reference:
    Chellapilla, Puri & Simard, IWFHR 2006, section 3.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.couplings.forms.geometry import Geometry
from energy.couplings.forms.layout import channels_last, flat, image, rows
from energy.couplings.forms.matmul import MATMUL
from energy.couplings.forms.memo import Memo

LARGEST: Final = 1 << 26  # bytes of patches; beyond that they cost more memory than a batch of activities


def patches(below: Tensor, geometry: Geometry) -> Tensor:
    """Return (B·places, k·k·C) of an image (B, C, H, W); columns run as a weight in channels-last layout does."""
    kernel, step, padding, spread, _ = geometry
    padded = (F.pad(below, [padding] * 4) if padding else below).permute(0, 2, 3, 1)
    batch, down, along, channel = padded.stride()
    sides = [geometry.places(side) for side in below.shape[2:]]
    sizes = (len(below), *sides, kernel, kernel, below.shape[1])
    windows = padded.as_strided(sizes, (batch, step * down, step * along, spread * down, spread * along, channel))
    return windows.reshape(-1, kernel * kernel * below.shape[1])


class Patches:
    """The maps of a convolution by one matrix product over patches."""

    @staticmethod
    def forward(pre: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, memo: Memo) -> Tensor:
        seen = _seen(pre, weight, geometry, memo)
        shape = (len(pre), len(weight), *(geometry.places(side) for side in pre.shape[2:]))
        return image(MATMUL(seen, flat(weight).T, bias), shape, channels_last(pre, weight))

    @staticmethod
    def adjoint(post: Tensor, weight: Tensor, pre: tuple[int, ...], geometry: Geometry, memo: Memo) -> Tensor:
        # the convolution of `post` with the filters turned around and transposed
        turned = geometry._replace(padding=geometry.reach - 1 - geometry.padding)
        filters = weight.flip(2, 3).permute(1, 2, 3, 0).reshape(pre[1], -1)
        return image(MATMUL(patches(post, turned), filters.T, None), pre, channels_last(post, weight))

    @staticmethod
    def weight_gradient(
        pre: Tensor, post: Tensor, weight: Tensor, biased: bool, geometry: Geometry, memo: Memo
    ) -> tuple[Tensor, Tensor | None]:
        kernel, seen = geometry.kernel, _seen(pre, weight, geometry, memo)
        product = MATMUL(rows(post).T, seen, None).view(len(weight), kernel, kernel, pre.shape[1])
        return product.permute(0, 3, 1, 2), post.sum((0, 2, 3)) if biased else None

    @staticmethod
    def admits_forward(pre: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> bool:
        return geometry.groups == 1 and _fit(pre.shape[2:], len(pre) * pre.shape[1], geometry, pre.dtype)

    @staticmethod
    def admits_adjoint(post: Tensor, weight: Tensor, pre: tuple[int, ...], geometry: Geometry) -> bool:
        turned = geometry._replace(padding=geometry.reach - 1 - geometry.padding)
        single = geometry.groups == geometry.stride == 1
        return single and _fit(post.shape[2:], len(post) * post.shape[1], turned, post.dtype)


def _seen(pre: Tensor, weight: Tensor, geometry: Geometry, memo: Memo) -> Tensor:
    """The patches of `pre`, which forward map and weight gradient share where they are small beside the weights."""
    return memo.once("patches", pre, lambda: patches(pre, geometry), 2 * weight.numel())


def _fit(sides: torch.Size, channels: int, geometry: Geometry, dtype: torch.dtype) -> bool:
    """True if the patches are small enough."""
    places = geometry.places(sides[0]) * geometry.places(sides[1])
    return channels * places * geometry.kernel**2 * dtype.itemsize <= LARGEST
