"""A convolution and the mean after it as one convolution by larger filters: fewer products, and no image in between.

    P(W ∗ m)[y] = Σ_i W̄[i] m[t y + i],    W̄[i] = s⁻² Σ_{a ∈ [0, s)²} W[i − a],    ∂W[j] = s⁻² Σ_a ∂W̄[j + a]

for a mean P over s × s places at a distance of t, and W of k × k taps, which becomes W̄ of (k + s − 1)². A pooled place
costs (k + s − 1)² products in place of (k t)²: 16 in place of 36 for 3 × 3 filters and a mean over 2 × 2.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from energy.couplings.affine import AffineLinearization
from energy.couplings.linearization import Gradients, Shape
from energy.kernels import active
from energy.pooling import AveragePool


class Filtering(Protocol):
    """The parts of a convolution that are read here."""

    stride: int
    padding: int
    dilation: int
    groups: int
    pool: Any
    bias: nn.Parameter | None
    weight: nn.Parameter


class PooledFilters(AffineLinearization):
    """A `Convolution` with a mean after it, linearized, its filters pooled in place of its images.

    Args:
        coupling: one that `pools_filters` admits.
        pre: the shape below, with the batch axis.
        dtype: that of the states.
    """

    def __init__(self, coupling: Filtering, pre: Shape, dtype: torch.dtype) -> None:
        assert isinstance(coupling.pool, AveragePool)
        self.coupling, self.pool = coupling, coupling.pool
        self.pre, self.dtype = pre, dtype
        self.bias = coupling.bias
        self.weight = self._pooled(coupling.weight)

    @torch.no_grad()
    def drive(self, pre: Tensor) -> Tensor:
        """Return P(W ∗ pre + b)."""
        return self._convolve(pre, None if self.bias is None else self.bias.to(self.dtype))

    @torch.no_grad()
    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        taps = self.weight if weight is None else self._pooled(weight)
        last = post.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        # the kernel reads only the shape and the layout of the layer below
        shaped = torch.empty(self.pre, dtype=post.dtype, device=post.device, memory_format=layout)
        return self._backward(post, shaped, taps, [True, False, False])[0]

    @torch.no_grad()
    def tangent(self, direction: Tensor) -> Tensor:
        return self._convolve(direction, None)

    @torch.no_grad()
    def weight_gradient(self, pre: Tensor, post: Tensor) -> Gradients:
        _, product, bias = self._backward(post, pre, self.weight, [False, True, self.bias is not None])
        product = F.avg_pool2d(product.to(self.coupling.weight.dtype), self.pool.size, 1)
        return (product,) if self.bias is None else (product, bias.to(self.bias.dtype))

    def _pooled(self, weight: Tensor) -> Tensor:
        """W̄ in the dtype of the states, in the memory order of W."""
        with torch.no_grad():
            return F.avg_pool2d(F.pad(weight, [self.pool.size - 1] * 4), self.pool.size, 1).to(self.dtype)

    def _convolve(self, pre: Tensor, bias: Tensor | None) -> Tensor:
        taps = self.weight.to(pre.dtype)
        return F.conv2d(pre, taps, bias, self.pool.stride, self.coupling.padding, groups=self.coupling.groups)

    def _backward(self, post: Tensor, pre: Tensor, taps: Tensor, mask: list[bool]) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of ⟨post, W̄ ∗ pre + b⟩ by (pre, W̄, b)."""
        sizes = [len(taps)] if mask[2] else None
        stride, padding = [self.pool.stride] * 2, [self.coupling.padding] * 2
        given = (stride, padding, [1, 1], False, [0, 0], self.coupling.groups, mask)
        return torch.ops.aten.convolution_backward(post, pre, taps.to(post.dtype), sizes, *given)


def pools_filters(coupling: Filtering) -> bool:
    """Return True if `coupling` is to pool its filters: inside `energy.kernels.fused`, where that is less work.

    A mean that counts padding of its own, and strides before it, are left as they are.
    """
    pool, kernel = coupling.pool, coupling.weight.shape[-1]
    if type(pool) is not AveragePool or pool.padding or coupling.stride != 1 or coupling.dilation != 1:
        return False
    return kernel + pool.size - 1 < kernel * pool.stride and active()
