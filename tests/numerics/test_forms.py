"""Every form of every map of a convolution, and of matrix products, against torch's own operators."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from energy.couplings import Convolution, Dense
from energy.couplings.forms import Choice, Geometry, Memo, patches, prefer
from energy.couplings.forms.convolution import ADJOINT, FORWARD, PRODUCT, WEIGHT_GRADIENT
from energy.couplings.forms.matmul import MATMUL
from energy.couplings.forms.patches import patches as laid_out
from energy.pooling import MaxPool

GEOMETRIES = [
    Geometry(kernel, stride, padding, dilation, groups)
    for kernel, stride, padding, dilation, groups in product((1, 3, 5), (1, 2), (0, 1, 2), (1, 2), (1, 2))
    if kernel > 1 or dilation == 1
]
IMAGES = ((1, 1), (2, 2), (3, 3), (4, 4), (7, 5))
FORMS = ("library", "patches", "matrix", "taps", "oneDNN")


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64, last: bool = True) -> Tensor:
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    return drawn.contiguous(memory_format=torch.channels_last) if last and drawn.ndim == 4 else drawn


def given(geometry: Geometry, sides: tuple[int, int], last: bool, dtype: torch.dtype) -> dict[Choice, tuple[Any, ...]]:
    """The arguments of each map."""
    pre = draw(3, 4, *sides, last=last, dtype=dtype)
    weight = draw(6, 4 // geometry.groups, geometry.kernel, geometry.kernel, seed=1, last=last, dtype=dtype)
    post = draw(3, 6, *map(geometry.places, sides), seed=2, last=last, dtype=dtype)
    return {
        FORWARD: (pre, weight, draw(6, seed=3, dtype=dtype), geometry),
        ADJOINT: (post, weight, tuple(pre.shape), geometry),
        WEIGHT_GRADIENT: (pre, post, weight, True, geometry),
        PRODUCT: (pre, post, weight, False, geometry),
    }


def wanted(map: Choice, arguments: tuple[Any, ...]) -> Any:
    """What autograd says of torch's convolution, in float64."""
    stride, padding, dilation, groups = arguments[-1][1:]

    def conv(pre: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.conv2d(pre, weight, bias, stride, padding, dilation, groups)

    wide = [one.double() if isinstance(one, Tensor) else one for one in arguments]
    if map is FORWARD:
        return conv(*wide[:3])
    if map is ADJOINT:
        pre = torch.zeros(arguments[2], dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(conv(pre, wide[1]), pre, wide[0])[0]
    weight, bias = wide[2].requires_grad_(), torch.zeros(6, dtype=torch.float64, requires_grad=True)
    found = torch.autograd.grad(conv(wide[0], weight, bias), (weight, bias), wide[1])
    return found if wide[3] else (found[0], None)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_every_form_is_the_same_map(geometry: Geometry) -> None:
    for sides, last in product(IMAGES, (False, True)):
        if min(map(geometry.places, sides)) < 1:
            continue
        for map_, arguments in given(geometry, sides, last, torch.float64).items():
            expected = wanted(map_, arguments)
            for name, form in map_.forms.items():
                if form.admits(*arguments):
                    found = form.run(*arguments, Memo())
                    told = f"{map_.name}, {name}, {sides}"
                    torch.testing.assert_close(
                        found, expected, rtol=1e-12, atol=1e-12, msg=lambda m, t=told: f"{t}: {m}"
                    )


@pytest.mark.parametrize(("dtype", "room"), [(torch.float32, 1e-5), (torch.bfloat16, 2**-6)], ids=str)
def test_forms_in_low_precision(dtype: torch.dtype, room: float) -> None:
    """Against float64 on the same rounded numbers: one rounding of the result, and sums in float32."""
    for geometry, sides in (
        (Geometry(3, padding=1), (2, 2)),
        (Geometry(3, padding=1), (6, 6)),
        (Geometry(5, 2), (7, 5)),
    ):
        for map_, arguments in given(geometry, sides, True, dtype).items():
            expected = wanted(map_, arguments)
            for form in map_.forms.values():
                if form.admits(*arguments):
                    found = form.run(*arguments, Memo())
                    for one, other in zip(
                        *(x if isinstance(x, tuple) else (x,) for x in (found, expected)), strict=True
                    ):
                        if other is not None:
                            assert one.dtype == dtype
                            torch.testing.assert_close(one.double(), other, rtol=room, atol=room * other.std().item())


def test_what_admits_what() -> None:
    """Each form applies somewhere, and none where it is not written for."""
    near, far = Geometry(3, padding=1), Geometry(3, stride=2, padding=1, groups=2)
    tiny, large = given(near, (2, 2), True, torch.float64), given(near, (7, 5), True, torch.float64)
    for map_, arguments in tiny.items():
        assert all(form.admits(*arguments) for name, form in map_.forms.items() if name != "bias apart")
    assert not FORWARD.forms["matrix"].admits(*large[FORWARD])
    assert not ADJOINT.forms["matrix"].admits(*large[ADJOINT])
    for map_, arguments in given(far, (7, 5), True, torch.float64).items():
        found = {name for name, form in map_.forms.items() if form.admits(*arguments)}
        assert found - {"bias apart"} == {"library"}
    huge = torch.empty(1, device="meta").expand(512, 64, 32, 32)
    assert not FORWARD.forms["patches"].admits(huge, draw(64, 64, 3, 3), None, near)


@pytest.mark.parametrize("shape", [(128, 30, 20), (1, 7, 3)])
@pytest.mark.parametrize(("dtype", "room"), [(torch.float32, 1e-5), (torch.bfloat16, 2**-6)], ids=str)
def test_products_of_matrices(shape: tuple[int, int, int], dtype: torch.dtype, room: float) -> None:
    rows, inner, columns = shape
    bias = draw(columns, seed=2, dtype=dtype)
    for left, right in product(
        (draw(rows, inner, dtype=dtype), draw(inner, rows, dtype=dtype).T),
        (draw(inner, columns, seed=1, dtype=dtype), draw(columns, inner, seed=1, dtype=dtype).T),
    ):
        for name, form in MATMUL.forms.items():
            if form.admits(left, right, bias):
                exact = left.double() @ right.double()
                found = form.run(left, right, None, Memo()).double()
                torch.testing.assert_close(found, exact, rtol=room, atol=5 * room, msg=name)
                found = form.run(left, right, bias, Memo()).double()
                torch.testing.assert_close(found, exact + bias.double(), rtol=room, atol=5 * room, msg=name)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("sides", [(2, 2), (4, 4), (6, 6)], ids=str)
def test_a_convolution_is_one_map_in_every_form(form: str, dtype: torch.dtype, sides: tuple[int, int]) -> None:
    """⟨post, A m⟩ = ⟨Aᵀ post, m⟩ = ⟨∂W, W⟩, with pooling above and feedback weights below, and as the library says."""
    room = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    coupling = Convolution(8, 16, 3, padding=1, pool=MaxPool(2), bias=False)
    coupling = coupling.double() if dtype == torch.float64 else coupling
    with torch.no_grad():
        coupling.weight.copy_(draw(16, 8, 3, 3))
    coupling = coupling.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    pre, other = draw(5, 8, *sides, seed=1, dtype=dtype), draw(16, 8, 3, 3, seed=4)
    with prefer("library"):
        drive, linear = coupling.linearize(pre)
        post = draw(*drive.shape, seed=2, dtype=dtype)
        expected = [drive, linear.adjoint(post), *linear.weight_gradient(pre, post), linear.adjoint(post, weight=other)]
        expected += [linear.tangent(draw(5, 8, *sides, seed=3, dtype=dtype)), coupling.filter(pre, coupling.weight)]
    with prefer(form):
        drive, linear = coupling.linearize(pre)
        linear.prepare(post)
        found = [drive, linear.adjoint(post), *linear.weight_gradient(pre, post), linear.adjoint(post, weight=other)]
        found += [linear.tangent(draw(5, 8, *sides, seed=3, dtype=dtype)), coupling.filter(pre, coupling.weight)]
    for one, wide in zip(found, expected, strict=True):
        assert (one.dtype, one.shape, one.stride()) == (wide.dtype, wide.shape, wide.stride())
        assert (one - wide).norm() <= room * wide.norm()
    said = [(post * drive).sum(), (found[1] * pre).sum(), (found[2] * coupling.weight.detach()).sum()]
    scale = float(post.norm() * drive.norm())
    assert all(abs(float(one - said[0])) <= room * scale for one in said)


@pytest.mark.parametrize("form", FORMS)
def test_a_dense_layer_is_one_map_in_every_form(form: str) -> None:
    coupling = Dense(12, 7)
    with torch.no_grad():
        coupling.weight.copy_(draw(7, 12))
    pre, post, other = draw(5, 3, 4).float(), draw(5, 7, seed=2).float(), draw(7, 12, seed=3).float()
    with prefer(form):
        drive, linear = coupling.linearize(pre)
        found = [drive, linear.tangent(pre), linear.adjoint(post), linear.adjoint(post, weight=other)]
        found += [*linear.weight_gradient(pre, post), coupling.product(pre, post), coupling.filter(pre, other)]
    weight, flat, wide = coupling.weight.detach().double(), pre.double().flatten(1), post.double()
    exact = [flat @ weight.T, flat @ weight.T, (wide @ weight).view(5, 3, 4), (wide @ other.double()).view(5, 3, 4)]
    exact += [wide.T @ flat, wide.sum(0), wide.T @ flat, flat @ other.double().T]
    for one, wanted_ in zip(found, exact, strict=True):
        torch.testing.assert_close(one.double(), wanted_, rtol=1e-5, atol=1e-5)


def test_patches_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For forward map and weight gradient of one state, if they are small beside the weights."""
    made: list[Tensor] = []

    def counting(image: Tensor, geometry: Geometry) -> Tensor:
        made.append(image)
        return laid_out(image, geometry)

    monkeypatch.setattr(patches, "patches", counting)
    coupling, pre, post = Convolution(8, 16, 3, padding=1), draw(2, 8, 2, 2).float(), draw(2, 16, 2, 2).float()
    with prefer("patches"):
        linear = coupling.linearize(pre)[1]
        linear.weight_gradient(pre, post)
        assert len(made) == 1
        linear.weight_gradient(2 * pre, post)
        assert len(made) == 2
        batch = draw(200, 8, 2, 2).float()
        coupling.linearize(batch)[1].weight_gradient(batch, draw(200, 16, 2, 2).float())
        assert len(made) == 4


def test_the_matrix_is_that_of_the_weights_given() -> None:
    coupling, pre, post = Convolution(8, 16, 3, padding=1), draw(2, 8, 2, 2).float(), draw(2, 16, 2, 2).float()
    with prefer("matrix"):
        linear = coupling.linearize(pre)[1]
        assert not linear.adjoint(post, weight=torch.zeros_like(coupling.weight)).any()
        ones = linear.adjoint(torch.ones_like(post), weight=torch.ones_like(coupling.weight))
    assert torch.equal(ones, torch.full_like(pre, 16.0 * 4))  # each place is read by all four of 16 channels
