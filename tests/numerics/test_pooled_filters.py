"""A convolution and the mean after it as one convolution: against the two, one after the other, in every map."""

import pytest
import torch
from torch import Tensor

from energy.couplings import Convolution, Linearization
from energy.couplings.pooled_filters import PooledFilters
from energy.kernels import fused
from energy.pooling import AveragePool, MaxPool, Pool
from energy.stream import stream

ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}
Geometry = tuple[int, int, int, int, int, tuple[int, int]]
GEOMETRIES: list[Geometry] = [  # kernel, padding, groups, size and stride of the mean, sides of the image
    (3, 1, 1, 2, 2, (8, 8)),
    (3, 1, 2, 2, 2, (7, 9)),
    (5, 2, 1, 2, 2, (6, 5)),
    (3, 0, 1, 3, 2, (9, 8)),
    (2, 1, 4, 2, 3, (9, 9)),
    (3, 1, 1, 4, 4, (4, 4)),
]


def draw(*shape: int, key: str, dtype: torch.dtype = torch.float64) -> Tensor:
    drawn = torch.randn(shape, dtype=torch.float64, generator=stream(0, f"test/{key}")).to(dtype)
    return drawn.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else drawn


def filters(kernel: int, padding: int, groups: int, pool: Pool | None, *, bias: bool = True) -> Convolution:
    coupling = Convolution(4, 8, kernel, padding=padding, groups=groups, pool=pool, bias=bias).double()
    with torch.no_grad():
        for name, parameter in coupling.named_parameters():
            parameter.copy_(draw(*parameter.shape, key=name))
    return coupling


def maps(linear: Linearization, pre: Tensor, post: Tensor, feedback: Tensor) -> tuple[Tensor, ...]:
    adjoints = linear.adjoint(post), linear.adjoint(post, weight=feedback)
    return (*adjoints, linear.tangent(pre), *linear.weight_gradient(pre, post), *linear.second_gradient(pre, post))


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_every_map_is_that_of_the_two(geometry: Geometry, dtype: torch.dtype) -> None:
    kernel, padding, groups, size, stride, sides = geometry
    coupling = filters(kernel, padding, groups, AveragePool(size, stride))
    pre, feedback = draw(3, 4, *sides, key="pre"), draw(*coupling.weight.shape, key="feedback")
    wanted, linear = coupling.linearize(pre)
    post = draw(*wanted.shape, key="post")
    expected = wanted, *maps(linear, pre, post, feedback)
    if dtype != torch.bfloat16:  # whose states stand beside weights in float64 as beside any others
        coupling, feedback = coupling.to(dtype), feedback.to(dtype)
    with fused():
        drive, pooled = coupling.linearize(pre.to(dtype))
        assert isinstance(pooled, PooledFilters)
        found = drive, *maps(pooled, pre.to(dtype), post.to(dtype), feedback)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        scale = float(other.abs().max())
        torch.testing.assert_close(one.double(), other, rtol=0, atol=ROUNDING[dtype] * max(scale, 1e-3))


def test_the_adjoint_is_that_of_the_tangent() -> None:
    coupling = filters(3, 1, 1, AveragePool(2), bias=False)
    pre = draw(3, 4, 6, 6, key="pre")
    with fused():
        drive, linear = coupling.linearize(pre)
        post = draw(*drive.shape, key="post")
        sums = [(post * linear.tangent(pre)).sum(), (linear.adjoint(post) * pre).sum()]
        (product,) = linear.weight_gradient(pre, post)
    torch.testing.assert_close(sums[0], sums[1], rtol=1e-12, atol=0)
    torch.testing.assert_close((product * coupling.weight).sum(), sums[0], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "coupling",
    [
        filters(3, 1, 1, MaxPool(3)),
        filters(3, 1, 1, None),
        filters(3, 1, 1, AveragePool(2, padding=1)),
        filters(1, 0, 1, AveragePool(2)),  # as many products, and the weights pooled besides
        Convolution(4, 8, 3, padding=1, stride=2, pool=AveragePool(2)).double(),
        Convolution(4, 8, 3, padding=2, dilation=2, pool=AveragePool(2)).double(),
    ],
    ids=lambda coupling: coupling.extra_repr(),
)
def test_others_stay_as_they_are(coupling: Convolution) -> None:
    pre = draw(2, 4, 8, 8, key="pre")
    wanted, _ = coupling.linearize(pre)
    with fused():
        drive, linear = coupling.linearize(pre)
    assert not isinstance(linear, PooledFilters)
    torch.testing.assert_close(drive, wanted, rtol=1e-12, atol=1e-12)


def test_only_inside_fused() -> None:
    coupling, pre = filters(3, 1, 1, AveragePool(2)), draw(2, 4, 8, 8, key="pre")
    plain = AveragePool(2)(coupling.convolve(pre, coupling.weight, coupling.bias))
    assert torch.equal(coupling.linearize(pre)[0], plain)
    with fused(False):
        drive, linear = coupling.linearize(pre)
    assert not isinstance(linear, PooledFilters) and torch.equal(drive, plain)
