"""Random crop, flip and cutout of a whole batch in one gather.

The normalized image is extended by a border of zeros, and every output pixel looks up its source; so the places that a
crop or a cutout leaves empty have the mean color. Every image draws five numbers, whichever of the three are switched
on: switching one on does not move the others.

Reference:
    He et al. 2016 (arXiv:1512.03385), section 4.2, for crop and flip; DeVries and Taylor 2017 (arXiv:1708.04552) for
    cutout.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import pad as extend

MIRROR: Final = 2  # the place of the number that decides whether an image is mirrored


def draw_augmentations(count: int, generator: torch.Generator) -> Tensor:
    """Draw float32 numbers (count, 5), uniform in [0, 1): shifts down and right, mirror, top and left of the cutout."""
    return torch.rand(count, 5, generator=generator, dtype=torch.float32, device=generator.device)


@dataclass(frozen=True)
class Augment:
    """Random shifts by up to `crop` pixels each way, mirrored images, and a blank square of side `cutout`.

    With `alternate` the images that are mirrored in an epoch are the others of the epoch before (`Images.batches`).
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0
    alternate: bool = False

    @property
    def active(self) -> bool:
        """False if a batch stays as it is."""
        return bool(self.crop or self.flip or self.cutout)

    def __call__(self, x: Tensor, draws: Tensor) -> Tensor:
        """Augment a batch.

        Args:
            x: normalized images (B, C, H, W).
            draws: numbers (B, 5) from `draw_augmentations`, on the same device.
        """
        if not self.active:
            return x
        border = max(self.crop, 1 if self.cutout else 0)
        wide = extend(x, (border,) * 4)
        source = self._source(draws, x.shape[-2], x.shape[-1], border).flatten(1)
        return wide.flatten(2).gather(2, source.unsqueeze(1).expand(-1, x.shape[1], -1)).view_as(x)

    def _source(self, draws: Tensor, height: int, width: int, border: int) -> Tensor:
        """The pixel of the extended image that stands at each place, (B, H, W); 0, a corner of the border, is blank."""
        down, right, mirror, top, left = draws.unsqueeze(2).unbind(1)
        rows, columns = (torch.arange(size, device=draws.device) for size in (height, width))
        mirrored = torch.where((mirror < 0.5) & self.flip, columns.flip(0), columns)
        from_row, from_column = rows + self._shift(down) + border, mirrored + self._shift(right) + border
        source = (from_row * (width + 2 * border)).unsqueeze(2) + from_column.unsqueeze(1)
        if not self.cutout:
            return source
        return source.masked_fill(self._cut(top, rows).unsqueeze(2) & self._cut(left, columns).unsqueeze(1), 0)

    def _shift(self, drawn: Tensor) -> Tensor:
        return (drawn * (2 * self.crop + 1)).long() - self.crop

    def _cut(self, drawn: Tensor, axis: Tensor) -> Tensor:
        """True at the places of an axis that lie in the blank stretch, whose center is uniform on the axis."""
        start = (drawn * len(axis)).long() - self.cutout // 2
        return (axis >= start) & (axis < start + self.cutout)
