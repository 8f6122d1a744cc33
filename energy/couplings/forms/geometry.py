"""The geometry of a convolution: how its kernel moves over an image, alike along both sides."""

from __future__ import annotations

from typing import NamedTuple


class Geometry(NamedTuple):
    """The geometry of a convolution, as `torch.nn.Conv2d` names its numbers.

    Tap t of the kernel reads, for the place o above, the place o·stride + t·dilation − padding below.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1

    @property
    def reach(self) -> int:
        """The side of the part of an image that one place above reads."""
        return self.dilation * (self.kernel - 1) + 1

    def places(self, side: int) -> int:
        """Return the number of places above, along a side of `side` places below."""
        return (side + 2 * self.padding - self.reach) // self.stride + 1

    def overlap(self, tap: int, side: int) -> tuple[slice, slice]:
        """Return the places above that a tap serves without reading padding, and the places below that it reads."""
        shift = tap * self.dilation - self.padding
        first = max(0, -(shift // self.stride))
        stop = max(first, min(self.places(side), (side - 1 - shift) // self.stride + 1))
        start = first * self.stride + shift
        return slice(first, stop), slice(start, start + self.stride * (stop - first), self.stride)
