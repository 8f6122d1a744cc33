"""Pooling inside a coupling: a linear map once its switches are fixed.

`open` pools and returns the switches; `adjoint` and `tangent` apply the transposed and the plain linear map those
switches stand for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

Shape = tuple[int, ...]


class Pool:
    """Windows of `size` × `size`, `stride` apart (default: size)."""

    def __init__(self, size: int = 2, stride: int | None = None) -> None:
        self.size, self.stride = size, stride or size

    def __call__(self, full: Tensor) -> Tensor:
        return self.open(full)[0]

    def shape(self, full: Shape) -> Shape:
        channels, *sides = full
        pooled = tuple((side - self.size) // self.stride + 1 for side in sides)
        if min(pooled) < 1:
            raise ValueError(f"{type(self).__name__}({self.size}) does not fit a layer of shape {full}")
        return (channels, *pooled)

    def open(self, full: Tensor) -> tuple[Tensor, Tensor | None]:
        """The pooled tensor and the switches."""
        raise NotImplementedError

    def adjoint(self, post: Tensor, switches: Tensor | None, full: torch.Size) -> Tensor:
        """Each pooled value sent back to where it came from: a tensor of shape `full`."""
        raise NotImplementedError

    def tangent(self, full: Tensor, switches: Tensor | None) -> Tensor:
        """The pooled direction under the same switches."""
        raise NotImplementedError


class MaxPool(Pool):
    """The greatest of each window; the switch is its index."""

    def __call__(self, full: Tensor) -> Tensor:
        return F.max_pool2d(full, self.size, self.stride)

    def open(self, full: Tensor) -> tuple[Tensor, Tensor]:
        return F.max_pool2d(full, self.size, self.stride, return_indices=True)

    def adjoint(self, post: Tensor, switches: Tensor | None, full: torch.Size) -> Tensor:
        assert switches is not None
        window, stride = [self.size] * 2, [self.stride] * 2
        layout = (
            torch.channels_last if post.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        )
        shaped = torch.empty(full, dtype=post.dtype, device=post.device, memory_format=layout)
        return torch.ops.aten.max_pool2d_with_indices_backward(
            post, shaped, window, stride, [0, 0], [1, 1], False, switches
        )

    def tangent(self, full: Tensor, switches: Tensor | None) -> Tensor:
        assert switches is not None
        return full.flatten(2).gather(2, switches.flatten(2)).view(switches.shape)


class AveragePool(Pool):
    """The mean of each window; linear, so there is nothing to switch."""

    def open(self, full: Tensor) -> tuple[Tensor, None]:
        return F.avg_pool2d(full, self.size, self.stride), None

    def adjoint(self, post: Tensor, switches: Tensor | None, full: torch.Size) -> Tensor:
        shaped = post.new_empty(()).expand(full)
        window, stride = [self.size] * 2, [self.stride] * 2
        return torch.ops.aten.avg_pool2d_backward(post, shaped, window, stride, [0, 0], False, True, None)

    def tangent(self, full: Tensor, switches: Tensor | None) -> Tensor:
        return F.avg_pool2d(full, self.size, self.stride)
