"""Pooling of every geometry, and convolutions of every stride, padding, dilation, kernel and group at odd sizes:
torch's own operation, and autograd through it, in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from energy.couplings import Convolution
from energy.pooling import AdaptiveAveragePool, AdaptiveMaxPool, AveragePool, MaxPool, Pool
from energy.testing import check_coupling

Function = Callable[[Tensor], Tensor]
POOLS: dict[str, tuple[Pool, Function]] = {
    "max": (MaxPool(2), lambda u: F.max_pool2d(u, 2)),
    "max, overlapping": (MaxPool(3, 2), lambda u: F.max_pool2d(u, 3, 2)),
    "max, densely": (MaxPool(3, 1, padding=1), lambda u: F.max_pool2d(u, 3, 1, 1)),
    "max, padded": (MaxPool(4, 2, padding=1), lambda u: F.max_pool2d(u, 4, 2, 1)),
    "max of tiles, padded": (MaxPool(2, padding=1), lambda u: F.max_pool2d(u, 2, 2, 1)),
    "max, gaps": (MaxPool(2, 3, padding=1), lambda u: F.max_pool2d(u, 2, 3, 1)),
    "average": (AveragePool(2), lambda u: F.avg_pool2d(u, 2)),
    "average, overlapping": (AveragePool(3, 2), lambda u: F.avg_pool2d(u, 3, 2)),
    "average, padded": (AveragePool(3, 2, padding=1), lambda u: F.avg_pool2d(u, 3, 2, 1)),
    "average, gaps": (AveragePool(2, 3, padding=1), lambda u: F.avg_pool2d(u, 2, 3, 1)),
    "adaptive max": (AdaptiveMaxPool(3), lambda u: F.adaptive_max_pool2d(u, 3)),
    "adaptive max of all": (AdaptiveMaxPool(), lambda u: F.adaptive_max_pool2d(u, 1)),
    "adaptive max, stretched": (AdaptiveMaxPool(12), lambda u: F.adaptive_max_pool2d(u, 12)),
    "adaptive average": (AdaptiveAveragePool(3), lambda u: F.adaptive_avg_pool2d(u, 3)),
    "adaptive average of all": (AdaptiveAveragePool(), lambda u: F.adaptive_avg_pool2d(u, 1)),
    "adaptive average, stretched": (AdaptiveAveragePool(12), lambda u: F.adaptive_avg_pool2d(u, 12)),
}
pools = pytest.mark.parametrize(("pool", "torchs"), POOLS.values(), ids=POOLS)
layouts = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["first", "last"])
sizes = pytest.mark.parametrize("sides", [(7, 7), (8, 6), (9, 10)], ids=str)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pools
@layouts
@sizes
def test_pooling_is_torchs_with_its_adjoint_and_tangent(
    pool: Pool, torchs: Function, layout: torch.memory_format, sides: tuple[int, int]
) -> None:
    full = noise(3, 4, *sides).contiguous(memory_format=layout).requires_grad_()
    expected = torchs(full)
    pooled, switches = pool.open(full.detach())
    assert torch.equal(pooled, expected)
    assert torch.equal(pool(full.detach()), expected)
    assert pool.shape((4, *sides)) == tuple(expected.shape[1:])
    post, direction = noise(*expected.shape, seed=1), noise(*full.shape, seed=2)
    post = post.contiguous(memory_format=layout)
    (wanted,) = torch.autograd.grad(expected, full, post)
    adjoint = pool.adjoint(post, switches, full.shape)
    torch.testing.assert_close(adjoint, wanted, rtol=1e-14, atol=1e-14)
    assert adjoint.shape == full.shape
    tangent = pool.tangent(direction.contiguous(memory_format=layout), switches)
    _, pushed = torch.autograd.functional.jvp(torchs, full.detach(), direction)
    torch.testing.assert_close(tangent, pushed, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close((post * tangent).sum(), (adjoint * direction).sum(), rtol=1e-12, atol=1e-12)


@pools
def test_one_set_of_switches_serves_drive_adjoint_tangent_and_product(pool: Pool, torchs: Function) -> None:
    """The coupling's maps at one point are those of one linear map, wherever else the layer has moved meanwhile."""
    coupling = Convolution(2, 3, 3, padding=1, pool=pool).double()
    with torch.no_grad():
        coupling.weight.copy_(noise(*coupling.weight.shape, seed=3))
    pre, moved = noise(4, 2, 7, 8), noise(4, 2, 7, 8, seed=4)
    drive, point = coupling.linearise(pre)
    assert torch.equal(drive, torchs(F.conv2d(pre, coupling.weight, coupling.bias, padding=1)))
    post = noise(*drive.shape, seed=5)
    by_product = (coupling.hebbian(moved, post, point)[0] * coupling.weight).sum()
    by_adjoint = (coupling.adjoint(post, point) * moved).sum()
    by_tangent = (coupling.tangent(moved, point) * post).sum()
    torch.testing.assert_close(by_product, by_adjoint, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(by_tangent, by_adjoint, rtol=1e-12, atol=1e-12)


GEOMETRIES = [
    (kernel, stride, padding, dilation, groups)
    for kernel, stride, padding, dilation, groups in itertools.product(
        (1, 2, 3, 4, 5), (1, 2, 3), (0, 2), (1, 2), (1, 2)
    )
    if dilation * (kernel - 1) + 1 <= 7 + 2 * padding and (kernel > 1 or dilation == 1)
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation", "groups"), GEOMETRIES)
def test_convolutions_of_every_geometry(kernel: int, stride: int, padding: int, dilation: int, groups: int) -> None:
    """At sides that a stride does not divide, where an adjoint must be padded to reach the layer below."""
    coupling = Convolution(4, 6, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups).double()
    with torch.no_grad():
        coupling.weight.copy_(noise(*coupling.weight.shape, seed=1))
    for sides in ((7, 8), (9, 7)):
        pre = noise(2, 4, *sides, seed=2).requires_grad_()
        expected = F.conv2d(pre, coupling.weight, coupling.bias, stride, padding, dilation, groups)
        drive, point = coupling.linearise(pre.detach())
        assert torch.equal(drive, expected)
        assert coupling.shape((4, *sides)) == tuple(expected.shape[1:])
        post = noise(*expected.shape, seed=3)
        below, weight, bias = torch.autograd.grad(expected, [pre, coupling.weight, coupling.bias], post)  # type: ignore[list-item]
        torch.testing.assert_close(coupling.adjoint(post, point), below, rtol=1e-12, atol=1e-12)
        found = coupling.hebbian(pre.detach(), post, point)
        torch.testing.assert_close(found, (weight, bias), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(coupling.product(pre.detach(), post), weight, rtol=1e-12, atol=1e-12)
        tangent = coupling.tangent(pre.detach(), point)
        torch.testing.assert_close(tangent, (drive - coupling.bias.detach()[:, None, None]), rtol=1e-12, atol=1e-12)  # type: ignore[union-attr]


def test_dilated_convolutions_keep_the_contract() -> None:
    assert check_coupling(Convolution(4, 6, 3, padding=2, dilation=2), (4, 9, 8)) == []
    assert check_coupling(Convolution(4, 6, 3, dilation=3, stride=2, groups=2, pool=MaxPool(2, 1)), (4, 11, 10)) == []


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "padding": (lambda: MaxPool(3, padding=2), "MaxPool: padding=2: must be at most half of size=3, 1"),
    "negative": (lambda: AveragePool(2, padding=-1), "padding=-1: must be a whole number of at least 0"),
    "size": (lambda: AdaptiveMaxPool(0), "AdaptiveMaxPool: size=0"),
    "flat": (lambda: AdaptiveAveragePool(1).shape((10,)), r"\(10,\): must be \(channels, height, width\)"),
    "too small": (lambda: MaxPool(3).shape((1, 2, 2)), r"MaxPool\(3\) does not fit a layer of shape \(1, 2, 2\)"),
    "dilation": (lambda: Convolution(1, 2, dilation=0), "dilation=0: must be at least 1"),
    "reach": (lambda: Convolution(1, 2, 3, dilation=4).shape((1, 8, 8)), "a kernel of 3 and a dilation of 4"),
}


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
