"""Pooling inside a coupling: a linear map once its switches are fixed.

`open` pools and returns the switches; `adjoint` and `tangent` apply the transposed and the plain linear map those
switches stand for. The switches of torch's max-pooling are 8-byte positions in the image; the compiled 2×2 pooling
keeps one byte, the place 0 … 3 in the window, an eighth of the memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.errors import UsageError
from energy.kernels import Kernel

Shape = tuple[int, ...]


class Pool:
    """Windows of `size` × `size`, `stride` apart (default: size)."""

    def __init__(self, size: int = 2, stride: int | None = None) -> None:
        for name, value in (("size", size), ("stride", size if stride is None else stride)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UsageError(f"{type(self).__name__}: {name}={value!r}: must be a whole number of at least 1")
        self.size, self.stride = size, stride or size

    def __repr__(self) -> str:
        stride = "" if self.stride == self.size else f", {self.stride}"
        return f"{type(self).__name__}({self.size}{stride})"

    def __call__(self, full: Tensor) -> Tensor:
        return self.open(full)[0]

    def shape(self, full: Shape) -> Shape:
        channels, *sides = full
        pooled = tuple((side - self.size) // self.stride + 1 for side in sides)
        if min(pooled) < 1:
            raise UsageError(f"{type(self).__name__}({self.size}) does not fit a layer of shape {full}")
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
    """The greatest of each window, the first of equals; the switch is its index."""

    def __call__(self, full: Tensor) -> Tensor:
        return F.max_pool2d(full, self.size, self.stride)

    def open(self, full: Tensor) -> tuple[Tensor, Tensor]:
        if self._tiles(full) and _OPEN.ready(full):
            return _OPEN((full,))
        return F.max_pool2d(full, self.size, self.stride, return_indices=True)

    def _tiles(self, full: Tensor) -> bool:
        """Whether 2×2 windows cover images that lie channel by channel: what the compiled kernels are written for."""
        even = full.shape[2] % 2 == full.shape[3] % 2 == 0
        return self.size == self.stride == 2 and even and full.is_contiguous(memory_format=torch.channels_last)

    def adjoint(self, post: Tensor, switches: Tensor | None, full: torch.Size) -> Tensor:
        assert switches is not None
        if switches.dtype == torch.uint8:
            return _ADJOINT((post, switches))
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
        if switches.dtype == torch.uint8:
            return _TANGENT((full, switches))
        return full.flatten(2).gather(2, switches.flatten(2)).view(switches.shape)


def _windows(full: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four places of every 2×2 window, row by row: (B, C, H, W) → 4 × (B, H/2, W/2, C)."""
    images, height, width, channels = (last := full.permute(0, 2, 3, 1)).shape
    tiles = last.reshape(images, height // 2, 2, width // 2, 2, channels)
    return tiles[:, :, 0, :, 0], tiles[:, :, 0, :, 1], tiles[:, :, 1, :, 0], tiles[:, :, 1, :, 1]


def _open(full: Tensor) -> tuple[Tensor, Tensor]:
    """The greatest of each window, and which of its places that is."""
    first, second, third, fourth = _windows(full)
    top, low = torch.maximum(first, second), torch.maximum(third, fourth)
    place = torch.where(low > top, torch.where(fourth > third, 3, 2), torch.where(second > first, 1, 0))
    return torch.maximum(top, low).permute(0, 3, 1, 2), place.to(torch.uint8).permute(0, 3, 1, 2)


def _adjoint(post: Tensor, switches: Tensor) -> Tensor:
    """Each value at its place, zeros around it."""
    value, place = (tensor.permute(0, 2, 3, 1)[:, :, None, :, None] for tensor in (post, switches))
    images, height, _, width, _, channels = value.shape
    places = torch.arange(4, dtype=torch.float32, device=post.device).view(1, 1, 2, 1, 2, 1)
    tiles = torch.where(place.float() == places, value, 0.0)  # comparing bytes is not vectorised by torch 2.13
    return tiles.reshape(images, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def _tangent(full: Tensor, switches: Tensor) -> Tensor:
    """The value at the switched place of each window."""
    first, second, third, fourth = _windows(full)
    place = switches.permute(0, 2, 3, 1).float()
    top, low = torch.where(place == 1, second, first), torch.where(place == 3, fourth, third)
    return torch.where(place > 1, low, top).permute(0, 3, 1, 2)


_OPEN, _ADJOINT, _TANGENT = Kernel(_open), Kernel(_adjoint), Kernel(_tangent)


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
