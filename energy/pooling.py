"""Pooling inside a coupling: a linear map once its switches are fixed.

`open` pools and returns the switches; `adjoint` and `tangent` apply the transposed and the plain linear map that those
switches stand for. The switches of torch's max-pooling are 8-byte positions in the image; the compiled 2×2 pooling
keeps one byte, the place 0 … 3 in the window, an eighth of the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.errors import UsageError
from energy.kernels import Kernel

Shape = tuple[int, ...]


class Pool:
    """Pooling over windows of `size` × `size`, which may overlap or leave gaps.

    Args:
        size: side of a window.
        stride: distance of neighboring windows, `size` by default.
        padding: rows and columns around the image, at most half of `size`: zeros for a mean, ignored by a maximum.

    Raises:
        ValueError: for sizes that are no whole numbers, or out of range.
    """

    def __init__(self, size: int = 2, stride: int | None = None, *, padding: int = 0) -> None:
        name = type(self).__name__
        _whole(name, "size", size, 1)
        _whole(name, "stride", size if stride is None else stride, 1)
        _whole(name, "padding", padding, 0)
        if padding > size // 2:
            raise UsageError(f"{name}: padding={padding}: must be at most half of size={size}, {size // 2}")
        self.size, self.stride = size, stride or size
        self.padding = padding

    def __repr__(self) -> str:
        stride = "" if self.stride == self.size else f", {self.stride}"
        return f"{type(self).__name__}({self.size}{stride}{f', padding={self.padding}' if self.padding else ''})"

    def __call__(self, full: Tensor) -> Tensor:
        return self.open(full)[0]

    def shape(self, full: Shape) -> Shape:
        """Return the shape of a pooled layer of shape `full`, (channels, height, width)."""
        channels, *sides = _image(self, full)
        pooled = tuple((side + 2 * self.padding - self.size) // self.stride + 1 for side in sides)
        if min(pooled) < 1:
            raise UsageError(f"{self!r} does not fit a layer of shape {full}")
        return (channels, *pooled)

    def _sides(self) -> list[list[int]]:
        """Size, stride and padding as torch's own operators take them: one number per side of the image."""
        return [[value] * 2 for value in (self.size, self.stride, self.padding)]

    def open(self, full: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the pooled tensor and the switches, of `full` (B, channels, height, width)."""
        raise NotImplementedError

    def adjoint(self, post: Tensor, switches: Tensor | None, full: torch.Size) -> Tensor:
        """Return the transposed map: each pooled value sent back to its source, in a tensor of shape `full`."""
        raise NotImplementedError

    def tangent(self, full: Tensor, switches: Tensor | None) -> Tensor:
        """Return the pooled direction `full` under the same switches."""
        raise NotImplementedError


class MaxPool(Pool):
    """The maximum of each window, the first of equals; the switch is its index."""

    def __call__(self, full: Tensor) -> Tensor:
        return F.max_pool2d(full, self.size, self.stride, self.padding)

    def open(self, full: Tensor) -> tuple[Tensor, Tensor]:
        if self._tiles(full) and _OPEN.ready(full):
            return _OPEN((full,))
        return F.max_pool2d(full, self.size, self.stride, self.padding, return_indices=True)

    def _tiles(self, full: Tensor) -> bool:
        """True for 2×2 windows that tile channels-last images: the case that the compiled kernels are written for."""
        tiled = self.size == self.stride == 2 and not self.padding and full.shape[2] % 2 == full.shape[3] % 2 == 0
        return tiled and full.is_contiguous(memory_format=torch.channels_last)

    def adjoint(self, post: Tensor, switches: Tensor | None, full: torch.Size) -> Tensor:
        assert switches is not None
        if switches.dtype == torch.uint8:
            return _ADJOINT((post, switches))
        return torch.ops.aten.max_pool2d_with_indices_backward(
            post, _laid(post, full), *self._sides(), [1, 1], False, switches
        )

    def tangent(self, full: Tensor, switches: Tensor | None) -> Tensor:
        assert switches is not None
        if switches.dtype == torch.uint8:
            return _TANGENT((full, switches))
        return _gathered(full, switches)


def _windows(full: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four places of every 2×2 window, row by row: (B, C, H, W) → 4 × (B, H/2, W/2, C)."""
    images, height, width, channels = (last := full.permute(0, 2, 3, 1)).shape
    tiles = last.reshape(images, height // 2, 2, width // 2, 2, channels)
    return tiles[:, :, 0, :, 0], tiles[:, :, 0, :, 1], tiles[:, :, 1, :, 0], tiles[:, :, 1, :, 1]


def _open(full: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum of each window, and its place in the window, 0 … 3; the first of equals."""
    first, second, third, fourth = _windows(full)
    top, low = torch.maximum(first, second), torch.maximum(third, fourth)
    below = (low > top).float()  # comparisons as numbers are vectorized, a choice between integers is not
    place = 2 * below + torch.where(below > 0, (fourth > third).float(), (second > first).float())
    return torch.maximum(top, low).permute(0, 3, 1, 2), place.to(torch.uint8).permute(0, 3, 1, 2)


def _adjoint(post: Tensor, switches: Tensor) -> Tensor:
    """Each value at its place, zeros around it."""
    value, place = (tensor.permute(0, 2, 3, 1)[:, :, None, :, None] for tensor in (post, switches))
    images, height, _, width, _, channels = value.shape
    places = torch.arange(4, dtype=torch.float32, device=post.device).view(1, 1, 2, 1, 2, 1)
    tiles = torch.where(place.float() == places, value, 0.0)  # torch 2.13 does not vectorize comparing bytes
    return tiles.reshape(images, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def _tangent(full: Tensor, switches: Tensor) -> Tensor:
    """The value at the switched place of each window."""
    first, second, third, fourth = _windows(full)
    place = switches.permute(0, 2, 3, 1).float()
    top, low = torch.where(place == 1, second, first), torch.where(place == 3, fourth, third)
    return torch.where(place > 1, low, top).permute(0, 3, 1, 2)


_OPEN = Kernel(_open, whole=True)
_ADJOINT = Kernel(_adjoint, whole=True)
_TANGENT = Kernel(_tangent, whole=True)


class AveragePool(Pool):
    """The mean of each window, its padding counted; linear, hence without switches."""

    def open(self, full: Tensor) -> tuple[Tensor, None]:
        return F.avg_pool2d(full, self.size, self.stride, self.padding), None

    def adjoint(self, post: Tensor, switches: Tensor | None, full: torch.Size) -> Tensor:
        shaped = post.new_empty(()).expand(full)  # only its shape is read
        return torch.ops.aten.avg_pool2d_backward(post, shaped, *self._sides(), False, True, None)

    def tangent(self, full: Tensor, switches: Tensor | None) -> Tensor:
        return F.avg_pool2d(full, self.size, self.stride, self.padding)


class AdaptivePool(Pool):
    """Pooling to `size` × `size` values of an image of any size.

    The i-th of n windows along a side of h goes from ⌊i h / n⌋ up to ⌈(i + 1) h / n⌉, so that neighbors may share a
    row. `size=1` pools the whole image.
    """

    def __init__(self, size: int = 1) -> None:
        super().__init__(size)

    def shape(self, full: Shape) -> Shape:
        """Return the shape of a pooled layer of shape `full`, (channels, height, width)."""
        return (_image(self, full)[0], self.size, self.size)


class AdaptiveMaxPool(AdaptivePool):
    """The maximum of each window, the first of equals; the switch is its index."""

    def __call__(self, full: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(full, self.size)

    def open(self, full: Tensor) -> tuple[Tensor, Tensor]:
        return F.adaptive_max_pool2d(full, self.size, return_indices=True)

    def adjoint(self, post: Tensor, switches: Tensor | None, full: torch.Size) -> Tensor:
        return torch.ops.aten.adaptive_max_pool2d_backward(post, _laid(post, full), switches)

    def tangent(self, full: Tensor, switches: Tensor | None) -> Tensor:
        assert switches is not None
        return _gathered(full, switches)


class AdaptiveAveragePool(AdaptivePool):
    """The mean of each window; linear, hence without switches."""

    def open(self, full: Tensor) -> tuple[Tensor, None]:
        return F.adaptive_avg_pool2d(full, self.size), None

    def adjoint(self, post: Tensor, switches: Tensor | None, full: torch.Size) -> Tensor:
        return torch.ops.aten._adaptive_avg_pool2d_backward(post, _laid(post, full))

    def tangent(self, full: Tensor, switches: Tensor | None) -> Tensor:
        return F.adaptive_avg_pool2d(full, self.size)


def _whole(owner: str, name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{owner}: {name}={value!r}: must be a whole number of at least {least}")


def _image(pool: Pool, full: Shape) -> Shape:
    if len(full) != 3:
        raise UsageError(f"{pool!r} does not fit a layer of shape {full}: must be (channels, height, width)")
    return full


def _laid(post: Tensor, full: torch.Size) -> Tensor:
    """A tensor of shape `full` with the memory layout of `post`; its numbers are not read."""
    last = post.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty(full, dtype=post.dtype, device=post.device, memory_format=layout)


def _gathered(full: Tensor, switches: Tensor) -> Tensor:
    """The value at the switched position of each window."""
    return full.flatten(2).gather(2, switches.flatten(2)).view(switches.shape)
