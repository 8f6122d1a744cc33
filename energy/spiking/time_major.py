"""Sequences folded into the batch: (T·B, …) for couplings, T rows of M numbers for the recursion of the units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, channels_last


@dataclass(frozen=True)
class TimeMajor:
    """A sequence of `steps` batches in one tensor.

    Args:
        tensor: (T·B, …), all samples of the first step, then those of the second, …
        steps: T.
    """

    tensor: Tensor
    steps: int

    @property
    def channels_last(self) -> bool:
        """True if images lie in memory with the channel as the fastest axis."""
        return self.tensor.ndim == 4 and self.tensor.is_contiguous(memory_format=channels_last)

    def rows(self, layout: TimeMajor | None = None) -> Tensor:
        """Return (T, M): batch and units in one axis, in the memory order of `layout`, or else of this sequence."""
        last = (layout or self).channels_last
        return (self.tensor.permute(0, 2, 3, 1) if last else self.tensor).reshape(self.steps, -1)

    def like(self, rows: Tensor) -> Tensor:
        """Undo `rows` for any number S of steps: (S, M) to (S·B, …), in the memory order of this sequence."""
        count, shape = len(rows) * (len(self.tensor) // self.steps), self.tensor.shape[1:]
        if not self.channels_last:
            return rows.view(count, *shape)
        channels, height, width = shape
        return rows.view(count, height, width, channels).permute(0, 3, 1, 2)

    def total(self) -> Tensor:
        """Return the sum over time, (B, …), in the memory order of this sequence, which is the quick one to add in."""
        return self.like(self.rows().sum(0, keepdim=True))


def total_rows(parts: Sequence[TimeMajor], layout: TimeMajor) -> Tensor:
    """Return the sum of several sequences as rows, (T, M); a sequence of one step is repeated at every step."""
    rows = [part.rows(layout) for part in parts]
    return sum(rows[1:], rows[0])
