"""Convolutions by torch's own operators: the forms that the others are tested against."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.couplings.forms.geometry import Geometry
from energy.couplings.forms.memo import Memo

WeightGradient = tuple[Tensor, Tensor | None]


class Builtin:
    """The maps of a convolution by torch's operators."""

    @staticmethod
    def forward(pre: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, memo: Memo) -> Tensor:
        _, stride, padding, dilation, groups = geometry
        return F.conv2d(pre, weight, bias, stride, padding, dilation, groups)

    @staticmethod
    def adjoint(post: Tensor, weight: Tensor, pre: tuple[int, ...], geometry: Geometry, memo: Memo) -> Tensor:
        last = post.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        # the kernel reads only the shape and the layout of the layer below
        shaped = torch.empty(pre, dtype=post.dtype, device=post.device, memory_format=layout)
        return _backward(post, shaped, weight, geometry, [True, False, False])[0]

    @staticmethod
    def weight_gradient(
        pre: Tensor, post: Tensor, weight: Tensor, biased: bool, geometry: Geometry, memo: Memo
    ) -> WeightGradient:
        _, product, bias = _backward(post, pre, weight, geometry, [False, True, biased])
        return product, bias if biased else None

    @staticmethod
    def weight_gradient_apart(
        pre: Tensor, post: Tensor, weight: Tensor, biased: bool, geometry: Geometry, memo: Memo
    ) -> WeightGradient:
        """Return the same, the gradient of the bias by a sum of its own: the operator for both can be slower.

        Args:
            pre, post, weight, biased, geometry, memo: as for `weight_gradient`.
        """
        product = _backward(post, pre, weight, geometry, [False, True, False])[1]
        return product, post.sum((0, 2, 3))


def _backward(post: Tensor, pre: Tensor, weight: Tensor, geometry: Geometry, mask: list[bool]) -> list[Tensor]:
    """The gradients of ⟨post, weight ∗ pre + bias⟩ by (pre, weight, bias), those in the mask."""
    sizes = [len(weight)] if mask[2] else None
    stride, padding, dilation = ([value] * 2 for value in geometry[1:4])
    return torch.ops.aten.convolution_backward(
        post, pre, weight.to(post.dtype), sizes, stride, padding, dilation, False, [0, 0], geometry.groups, mask
    )
