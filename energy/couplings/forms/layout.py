"""Images as rows of channels, and back, in the layout that torch gives a convolution."""

from __future__ import annotations

import torch
from torch import Tensor


def channels_last(*tensors: Tensor) -> bool:
    """Return True if torch lays out a convolution of these tensors channels last."""
    return any(map(_channels_last, tensors))


def _channels_last(tensor: Tensor) -> bool:
    """True if the strides say so: tensors with sides of 1 are contiguous in both ways."""
    _, channel, _, along = tensor.stride()
    dense = tensor.is_contiguous(memory_format=torch.channels_last)
    return dense and channel == 1 and along == tensor.shape[1]


def rows(image: Tensor) -> Tensor:
    """Return (B, C, H, W) as (B·H·W, C), without a copy if it is laid out channels last."""
    return image.permute(0, 2, 3, 1).reshape(-1, image.shape[1])


def flat(image: Tensor) -> Tensor:
    """Return (B, C, H, W) as (B, H·W·C), without a copy if it is laid out channels last."""
    return image.permute(0, 2, 3, 1).reshape(len(image), -1)


def image(found: Tensor, shape: tuple[int, ...], last: bool) -> Tensor:
    """Return rows, or flat images, as images of `shape`: channels last if `last`, row by row otherwise."""
    batch, channels, height, width = shape
    shaped = found.view(batch, height, width, channels).permute(0, 3, 1, 2)
    return shaped if last else shaped.contiguous()
