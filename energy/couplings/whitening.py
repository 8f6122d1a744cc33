"""Fixed filters that whiten the patches of the input: neighboring pixels are decorrelated before anything is learned.

With C = ⟨p pᵀ⟩ over patches p of training images, and its eigenvectors e_i of the greatest eigenvalues λ_i,

    A(x) = (w ∗ x, −w ∗ x),      w_i = e_i / √(λ_i + ε)

so that a rectifier above passes both signs of every component.

Reference:
    Coates, Ng & Lee, AISTATS 2011, section 3.1.2 (whitened patches).
"""

from __future__ import annotations

import math
from typing import ClassVar, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.arguments import whole_number
from energy.couplings.convolution import Convolution
from energy.errors import UsageError

IMAGES: Final = 100  # whose patches are in memory at a time


class Whitening(Convolution):
    """A convolution that whitens patches, of the size of its input; it does not learn.

    Its filters come from the data once, by `start_from`; before, they are what its network was built with.

    Args:
        fan_in: channels of the input.
        components: principal components that are kept, at most fan_in · kernel²; twice as many channels.
        kernel: odd side of a patch.
        eps: ε, added to the eigenvalues.

    Raises:
        ValueError: for sizes out of range.
    """

    held_fixed: ClassVar[bool] = True

    def __init__(self, fan_in: int, components: int, kernel: int = 3, *, eps: float = 5e-4) -> None:
        components, kernel = (
            whole_number("Whitening", name, value) for name, value in (("components", components), ("kernel", kernel))
        )
        if kernel % 2 == 0:
            raise UsageError(f"Whitening: kernel={kernel}: must be odd, so that the image keeps its size")
        if components > fan_in * kernel**2:
            raise UsageError(f"Whitening: components={components}: a patch has {fan_in * kernel**2} at most")
        if not 0 < eps < math.inf:
            raise UsageError(f"Whitening: eps={eps}: must be above 0")
        super().__init__(fan_in, 2 * components, kernel, padding=kernel // 2, bias=False)
        self.eps = eps
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def start_from(self, x: Tensor) -> None:
        """Set the filters by the patches of the images `x`, (B, fan_in, H, W), those across the border left out."""
        count, _, _, kernel = self.weight.shape
        second, places = torch.zeros((), dtype=torch.float64, device=x.device), 0
        for some in x.double().split(IMAGES):
            patches = F.unfold(some, kernel).transpose(1, 2).flatten(0, 1)
            second, places = second + patches.T @ patches, places + len(patches)
        values, vectors = torch.linalg.eigh(second / places)
        kept = slice(len(values) - count // 2, None)
        filters = (vectors[:, kept] / (values[kept] + self.eps).sqrt()).T.flip(0)  # the greatest first
        filters = torch.where(filters.sum(1, keepdim=True) < 0, -filters, filters)  # they are known up to a sign
        self.weight.copy_(torch.cat([filters, -filters]).view_as(self.weight))
