"""Convolutions of tiny images as dense layers: one matrix with a block of the weight for each two places.

The matrix, (channels · places above, places below · fan-in), holds W[t] where tap t of one place reads the other, and
zeros elsewhere. Where an image has no more places than the kernel has taps, it takes no more arithmetic than the
convolution with its padding does. It is made anew for every map, which takes little time beside the product; keeping
it would take more memory than the activities.
"""

from __future__ import annotations

from math import prod
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.couplings.forms.geometry import Geometry
from energy.couplings.forms.layout import channels_last, flat, image
from energy.couplings.forms.matmul import MATMUL
from energy.couplings.forms.memo import Memo

LARGEST: Final = 4  # times the weight that the matrix may take


def matrix(weight: Tensor, geometry: Geometry, below: tuple[int, ...]) -> Tensor:
    """Return the matrix of a convolution of images of sides `below`, (channels · places, places · fan-in)."""
    taps = geometry.kernel**2
    blocks = weight.permute(0, 2, 3, 1).reshape(len(weight), taps, -1)
    index = _taps(geometry, below)
    if taps in index:
        blocks = F.pad(blocks, [0, 0, 0, 1])  # zeros, as tap k²
    index = torch.tensor(index, device=weight.device)
    return blocks.index_select(1, index).view(-1, prod(below) * weight.shape[1])


def _taps(geometry: Geometry, below: tuple[int, ...]) -> list[int]:
    """The tap with which each place above reads each place below, row by row; k² for none."""
    kernel, taps = geometry.kernel, geometry.kernel**2
    rows, columns = (_along(geometry, side) for side in below)
    return [
        taps if r is None or c is None else kernel * r + c
        for row in rows
        for column in columns
        for r in row
        for c in column
    ]


def _along(geometry: Geometry, side: int) -> list[list[int | None]]:
    """The tap along one side with which each place above reads each place below."""
    found: list[list[int | None]] = [[None] * side for _ in range(geometry.places(side))]
    for tap in range(geometry.kernel):
        above, below = (range(10**9)[places] for places in geometry.overlap(tap, side))
        for one, other in zip(above, below, strict=True):
            found[one][other] = tap
    return found


class Matrix:
    """The maps of a convolution of tiny images by the matrix of all of it."""

    @staticmethod
    def forward(pre: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, memo: Memo) -> Tensor:
        sides = [geometry.places(side) for side in pre.shape[2:]]
        spread = None if bias is None else bias.repeat_interleave(prod(sides))
        drive = MATMUL(flat(pre), matrix(weight, geometry, tuple(pre.shape[2:])).T, spread)
        drive = drive.view(len(pre), len(weight), *sides)
        return drive.contiguous(memory_format=torch.channels_last) if channels_last(pre, weight) else drive

    @staticmethod
    def adjoint(post: Tensor, weight: Tensor, pre: tuple[int, ...], geometry: Geometry, memo: Memo) -> Tensor:
        found = MATMUL(post.flatten(1), matrix(weight, geometry, pre[2:]), None)
        return image(found, pre, channels_last(post, weight))

    @staticmethod
    def admits_forward(pre: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> bool:
        return _fit(tuple(pre.shape), geometry)

    @staticmethod
    def admits_adjoint(post: Tensor, weight: Tensor, pre: tuple[int, ...], geometry: Geometry) -> bool:
        return _fit(pre, geometry)


def _fit(pre: tuple[int, ...], geometry: Geometry) -> bool:
    """True if the matrix is small enough, and multiplies no more than the convolution does with its padding."""
    taps, below = geometry.kernel**2, prod(pre[2:])
    above = prod(geometry.places(side) for side in pre[2:])
    return geometry.groups == 1 and below <= taps and above * below <= LARGEST * taps
