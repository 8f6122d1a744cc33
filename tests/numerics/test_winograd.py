"""Convolutions by tiles against direct ones, in every precision, and when they are taken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from energy.couplings import Block, Convolution, winograd
from energy.couplings.convolution import ConvolutionLinearization, TiledFilters
from energy.kernels import Kernel, fused
from energy.pooling import MaxPool
from tests.numerics.uncompiled import uncompiled

# a transformed tile of bfloat16 is rounded three more times on its way, each time at up to twice the size
ROUNDING = {torch.float64: 1e-14, torch.float32: 1e-6, torch.bfloat16: 2**-6}
KERNELS = [one for one in vars(winograd).values() if isinstance(one, Kernel)]


@pytest.fixture
def tiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiles wherever they fit, whatever is faster here; as plain functions, which need no compiler."""
    monkeypatch.setattr(winograd, "pays", winograd._fits)
    uncompiled(monkeypatch, KERNELS)
    with fused(smallest=1):
        yield


def convolution(fan_in: int = 3, channels: int = 5, *, seed: int = 0, **given: object) -> Convolution:
    coupling = Convolution(fan_in, channels, 3, **given).double()  # pyright: ignore[reportArgumentType]
    generator = torch.Generator().manual_seed(seed)
    for parameter in coupling.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return coupling


def image(*shape: int, seed: int = 1) -> Tensor:
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return noise.contiguous(memory_format=torch.channels_last)


def expected(coupling: Convolution, seen: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
    """The drive, and by autograd the product, of the numbers as they are rounded; in float64."""
    weight = coupling.weight.detach().double().requires_grad_()
    bias = None if coupling.bias is None else coupling.bias.detach().double()
    drive = F.conv2d(seen.double(), weight, bias)
    return drive.detach(), torch.autograd.grad((drive * post.double()).sum(), weight)[0]


def gap(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (3, 3, 4, 10), (1, 3, 6, 4)], ids=str)
@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
@pytest.mark.usefixtures("tiled")
def test_drive_and_product_are_those_of_the_convolution(dtype: torch.dtype, shape: tuple[int, ...], bias: bool) -> None:
    coupling, seen = convolution(bias=bias).to(torch.promote_types(dtype, torch.float32)), image(*shape).to(dtype)
    drive, linear = coupling.linearize_to_learn(seen)
    inputs, post = coupling.unit_inputs(seen, drive, linear), image(*drive.shape, seed=2).to(dtype)
    assert isinstance(inputs.filters, TiledFilters) and drive.dtype == dtype
    product = inputs.filters.product(seen, post)
    assert product.dtype == dtype and product.shape == coupling.weight.shape
    for found, wanted in zip((drive, product), expected(coupling, seen, post), strict=True):
        assert gap(found, wanted) < ROUNDING[dtype]
    other = image(*shape, seed=3).to(dtype)  # an input whose tiles are not at hand
    assert torch.equal(inputs.filters.product(other, post), coupling.product(other, post))
    assert torch.equal(inputs.filters.filter(other, coupling.weight), coupling.filter(other, coupling.weight))


@pytest.mark.usefixtures("tiled")
def test_adjoint_and_tangent_are_those_of_the_convolution() -> None:
    coupling, seen = convolution(bias=False), image(2, 3, 6, 8)
    drive, linear = coupling.linearize_to_learn(seen)
    direct = coupling.linearize(seen)[1]
    assert isinstance(linear, ConvolutionLinearization) and linear.tiles is not None
    assert torch.equal(linear.adjoint(drive), direct.adjoint(drive))
    assert torch.equal(linear.tangent(seen), direct.tangent(seen))
    assert torch.equal(linear.weight_gradient(seen, drive)[0], direct.weight_gradient(seen, drive)[0])


@pytest.mark.usefixtures("tiled")
def test_memory_serves_the_next_batch_and_fits_any() -> None:
    """Batches of two sizes and precisions in turn; the drives of one are not those of the next."""
    coupling = convolution(bias=False)
    batches = [image(2, 3, 8, 8), image(1, 3, 8, 8), image(2, 3, 8, 8, seed=4), image(2, 3, 8, 8).float()]
    drives = [coupling.linearize_to_learn(seen)[0] for seen in batches]
    for seen, drive in zip(batches, drives, strict=True):
        assert gap(drive, F.conv2d(seen.double(), coupling.weight.detach())) < 1e-6
    held = winograd.workspace(coupling, winograd.tiles(batches[0]))
    assert winograd.workspace(coupling, winograd.tiles(batches[2])).filters is held.filters
    coupling.weight.data = coupling.weight.data[:4]
    assert coupling.linearize_to_learn(batches[0])[0].shape[1] == 4


SLOWLY = [torch.float64, *(pytest.param(low, marks=pytest.mark.slow) for low in (torch.float32, torch.bfloat16))]


@pytest.mark.parametrize("dtype", SLOWLY, ids=str)
@pytest.mark.slow
def test_compiled_is_plain(dtype: torch.dtype) -> None:
    coupling, seen = convolution(8, 16, bias=False).to(torch.promote_types(dtype, torch.float32)), image(2, 8, 8, 6)
    seen, post = seen.to(dtype), image(2, 16, 6, 4, seed=2).to(dtype)

    def both() -> tuple[Tensor, Tensor]:
        tiles = winograd.tiles(seen)
        return winograd.convolve(tiles, coupling, seen), winograd.product(tiles, coupling, post)

    plain = both()
    with fused(smallest=1):
        compiled = both()
    for found, wanted in zip(compiled, plain, strict=True):
        assert gap(found, wanted.double()) < ROUNDING[dtype] and found.stride() == wanted.stride()


def test_what_tiles_are_for() -> None:
    """3×3 kernels at every place of images with even sides, on a CPU, in kernels, and nothing else."""
    seen = image(2, 3, 8, 8)
    assert not winograd._fits(convolution(), seen)
    with fused(smallest=1):
        assert winograd._fits(convolution(), seen)
        others = [convolution(stride=2), convolution(padding=1), convolution(dilation=2), convolution(pool=MaxPool(2))]
        assert not any(winograd._fits(coupling, seen) for coupling in others)
        assert not winograd._fits(convolution(4, 6, groups=2), image(2, 4, 8, 8))
        assert not winograd._fits(Convolution(3, 5, 5).double(), seen)
        assert not winograd._fits(convolution(), image(2, 3, 7, 8))
        assert not winograd._fits(convolution(), image(2, 3, 8, 7))
        assert not winograd._fits(convolution().to("meta"), seen.to("meta"))
        torch.use_deterministic_algorithms(True)
        try:
            assert not winograd._fits(convolution(), seen)
        finally:
            torch.use_deterministic_algorithms(False)
    with fused(smallest=seen.numel() + 1):
        assert not winograd._fits(convolution(), seen)


@pytest.mark.parametrize("quick", [True, False])
def test_the_faster_form_is_kept_for_a_shape(quick: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the majority of rounds, and measured once."""
    uncompiled(monkeypatch, KERNELS)
    monkeypatch.setattr(winograd, "_faster", {})
    taken: list[str] = []

    def seconds(form: object) -> float:
        taken.append(getattr(form, "__name__", ""))
        outlier = len(taken) in {3, 4, 5, 6}  # two rounds in which something else ran
        return float((taken[-1] == "tiled") != (quick != outlier))

    monkeypatch.setattr(winograd, "_seconds", seconds)
    coupling, seen = convolution(), image(2, 3, 8, 8)
    with fused(smallest=1):
        assert winograd.pays(coupling, seen) is quick
        count = len(taken)
        assert winograd.pays(coupling, seen.clone()) is quick and len(taken) == count
        assert winograd.pays(coupling, image(1, 3, 8, 8)) is quick and len(taken) == 2 * count


@pytest.mark.usefixtures("tiled")
def test_a_block_takes_tiles_while_it_learns() -> None:
    block, pre = Block(convolution(bias=False), torch.nn.ReflectionPad2d(1), centered=True), image(2, 3, 6, 6)
    calm, linear = block.linearize(pre)
    assert isinstance(linear.inner, ConvolutionLinearization) and linear.inner.tiles is None
    torch.nn.Module.train(block)
    drive, linear = block.linearize(pre)
    assert isinstance(linear.inner, ConvolutionLinearization) and linear.inner.tiles is not None
    assert gap(drive, calm) < 1e-14
