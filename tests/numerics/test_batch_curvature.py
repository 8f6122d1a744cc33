"""The curvature of a batch normalization against autograd's second derivative of `torch.nn.functional.batch_norm`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from energy.couplings.curvature import batch_curvature
from energy.kernels import fused

SHAPES = ((7, 3), (5, 3, 4, 6), (2, 1), (1, 4, 5, 5))
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def draw(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A drive u far from its mean of zero, a direction v, a tensor w above, and a scale."""
    generator = torch.Generator().manual_seed(sum(shape))
    u, v, w = (torch.randn(shape, generator=generator, dtype=torch.float64).add(k).to(dtype) for k in (3, 1, -2))
    return u, v, w, torch.randn(shape[1], generator=generator, dtype=torch.float64) + 0.5


def by_autograd(u: Tensor, v: Tensor, w: Tensor, scale: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    u, v, w = (tensor.double() for tensor in (u, v, w))
    u.requires_grad_()
    given = torch.ones(u.shape[1]).double() if scale is None else scale
    given = given.clone().requires_grad_()
    normalized = F.batch_norm(u, None, None, given, None, True, 0.0, eps)
    (pulled,) = torch.autograd.grad(normalized, u, w, create_graph=True)
    bent, of_scale = torch.autograd.grad((pulled * v).sum(), (u, given))
    return bent, of_scale


@pytest.mark.parametrize("eps", [1e-5, 0.3])
@pytest.mark.parametrize("scaled", [True, False])
@shapes
def test_it_is_the_second_derivative(shape: tuple[int, ...], scaled: bool, eps: float) -> None:
    u, v, w, scale = draw(shape)
    given = scale if scaled else None
    wanted = by_autograd(u, v, w, given, eps)
    for found, one in zip(batch_curvature(u, v, w, given, eps), wanted, strict=True):
        torch.testing.assert_close(found, one, rtol=1e-9, atol=1e-9)


@shapes
def test_direction_and_tensor_above_may_change_places(shape: tuple[int, ...]) -> None:
    u, v, w, scale = draw(shape)
    for found, one in zip(batch_curvature(u, v, w, scale, 0.1), batch_curvature(u, w, v, scale, 0.1), strict=True):
        torch.testing.assert_close(found, one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dtype", "last"), [(torch.float32, False), (torch.bfloat16, True)])
def test_compiled_kernels_and_low_precision(dtype: torch.dtype, last: bool) -> None:
    u, v, w, scale = draw((6, 16, 8, 8), dtype)
    if last:
        u, v, w = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (u, v, w))
    wanted, of_scale = by_autograd(u, v, w, scale, 0.1)
    for compiled in (False, True):
        with fused(compiled, smallest=1):
            bent, own = batch_curvature(u, v, w, scale.float(), 0.1)
        assert bent.dtype == dtype and own.dtype == torch.float32
        tolerance = 16 * torch.finfo(dtype).eps
        torch.testing.assert_close(bent.double(), wanted, rtol=tolerance, atol=tolerance * float(wanted.abs().max()))
        torch.testing.assert_close(own.double(), of_scale, rtol=1e-4, atol=1e-4 * float(of_scale.abs().max()))
