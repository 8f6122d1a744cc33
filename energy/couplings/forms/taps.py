"""The weight gradient tap by tap: one matrix product per tap, over the places where it reads no padding.

On small images many taps read padding: at 2×2 places 20 of the 36 of a 3×3 kernel. Their zeros are not multiplied here,
and no patches are laid out.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from energy.couplings.forms.geometry import Geometry
from energy.couplings.forms.layout import rows
from energy.couplings.forms.memo import Memo


class Taps:
    """The weight gradient of a convolution, tap by tap."""

    @staticmethod
    def weight_gradient(
        pre: Tensor, post: Tensor, weight: Tensor, biased: bool, geometry: Geometry, memo: Memo
    ) -> tuple[Tensor, Tensor | None]:
        kernel, (height, width) = geometry.kernel, pre.shape[2:]
        found = post.new_empty(len(weight), kernel, kernel, pre.shape[1])
        for row, column in product(range(kernel), repeat=2):
            above, below = zip(geometry.overlap(row, height), geometry.overlap(column, width), strict=True)
            torch.mm(rows(post[:, :, *above]).T, rows(pre[:, :, *below]), out=found[:, row, column])
        return found.permute(0, 3, 1, 2), post.sum((0, 2, 3)) if biased else None

    @staticmethod
    def admits_weight_gradient(pre: Tensor, post: Tensor, weight: Tensor, biased: bool, geometry: Geometry) -> bool:
        return geometry.groups == 1
