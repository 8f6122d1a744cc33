"""The product of two matrices, by torch or by oneDNN."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.couplings.forms.choice import Choice, Form
from energy.couplings.forms.memo import Memo


def _library(left: Tensor, right: Tensor, bias: Tensor | None, memo: Memo) -> Tensor:
    return left @ right if bias is None else F.linear(left, right.T, bias)


def _onednn(left: Tensor, right: Tensor, bias: Tensor | None, memo: Memo) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(left, right.T, bias, "none", [], "")


def _admits_onednn(left: Tensor, right: Tensor, bias: Tensor | None) -> bool:
    there = hasattr(torch.ops.mkldnn, "_linear_pointwise") and torch.backends.mkldnn.is_available()
    return there and torch.backends.mkldnn.enabled and left.dtype in {torch.float32, torch.bfloat16}


def _work(left: Tensor, right: Tensor, bias: Tensor | None) -> int:
    return left.numel() * right.shape[1]


MATMUL: Final = Choice("matmul", {"library": Form(_library), "oneDNN": Form(_onednn, _admits_onednn)}, _work)
