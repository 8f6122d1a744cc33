"""Compiled kernels against their plain forms, and when which of the two runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from energy import kernels
from energy.component import choices, from_dict
from energy.couplings.block import centered_last
from energy.kernels import Kernel, fused
from energy.pooling import MaxPool
from energy.potentials import Gated, HardSigmoid, LeakyReLU, Potential, ReLU, RePU, Tanh

ROUNDING = {torch.float64: 1e-14, torch.float32: 1e-6, torch.bfloat16: 2**-7}  # two roundings of bfloat16
QUICK = {"relu": torch.float64, "hard_sigmoid": torch.bfloat16, "tanh": torch.float32}


def draw(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    noise = 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return noise.to(dtype).contiguous(memory_format=torch.channels_last)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was compiled, by name, without compiling it."""
    seen: list[str] = []

    def compiled(function: object, **_: object) -> object:
        seen.append(getattr(function, "__name__", type(function).__name__))
        return function

    monkeypatch.setattr(torch, "compile", compiled)
    yield seen


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(name, dtype, marks=[] if QUICK.get(name) is dtype else [pytest.mark.slow], id=f"{name}-{dtype}")
        for name in choices(Potential)
        for dtype in ROUNDING
    ],
)
def test_a_pair_is_the_plain_pair(name: str, dtype: torch.dtype) -> None:
    """Against the plain form in float64, on the same rounded drives; the compiled one works in float32 or wider."""
    potential = from_dict(Potential, name)
    drive, h = draw(2, 3, 8, 8, dtype=dtype), draw(2, 3, 8, 8, dtype=dtype, seed=1)
    with fused(smallest=1):
        found = potential.pair(drive, h, 0.3, 0.25, 0.75)
    wanted = Potential.pair(potential, drive.double(), h.double(), 0.3, 0.25, 0.75)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == dtype
        if isinstance(potential, Gated):  # a softmax of torch's lays its result in memory as it likes
            assert one.stride() == drive.stride()
        room = ROUNDING[dtype] if isinstance(potential, Gated) else ROUNDING[dtype] / 0.3  # a difference over β
        torch.testing.assert_close(one.double(), other, rtol=room, atol=room)


@pytest.mark.parametrize(
    "constants",
    [
        [(LeakyReLU(slope=0.1), 0.5), (LeakyReLU(slope=0.1), 0.05), (LeakyReLU(slope=0.5), 0.05)],
        pytest.param([(ReLU(), 0.5), (ReLU(), 0.05), (LeakyReLU(slope=0.5), 0.5)], marks=pytest.mark.slow),
    ],
    ids=["slopes", "and without"],
)
def test_every_nudge_has_a_kernel_of_its_own(constants: list[tuple[Potential, float]]) -> None:
    """A second β, and a second slope, after the first: a constant must not linger in compiled code."""
    drive, h = draw(1, 2, 8, 8, dtype=torch.float64), draw(1, 2, 8, 8, dtype=torch.float64, seed=1)
    for potential, beta in constants:
        with fused(smallest=1):
            found = potential.pair(drive, h, beta, 0.5, 0.5)
        torch.testing.assert_close(found, Potential.pair(potential, drive, h, beta, 0.5, 0.5), rtol=0, atol=1e-14)


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
def test_two_by_two_pooling(dtype: torch.dtype) -> None:
    """Equal to torch's, ties included, bit for bit: nothing is rounded. Integers make ties."""
    full = (2 * draw(3, 5, 8, 6, dtype=torch.float64)).round().to(dtype).contiguous(memory_format=torch.channels_last)
    direction = draw(3, 5, 8, 6, dtype=dtype, seed=1)
    pool, post = MaxPool(2), draw(3, 5, 4, 3, dtype=dtype, seed=2)
    drive, places = pool.open(full)
    with fused(smallest=1):
        found, switches = pool.open(full)
        assert switches.dtype == torch.uint8 and places.dtype == torch.int64
        results = [found, pool.adjoint(post, switches, full.shape), pool.tangent(direction, switches)]
    wanted = [drive, pool.adjoint(post, places, full.shape), pool.tangent(direction, places)]
    for one, other in zip(results, wanted, strict=True):
        assert torch.equal(one, other)
    rows, columns = places // 6 - 2 * torch.arange(4).view(4, 1), places % 6 - 2 * torch.arange(3)
    assert torch.equal(switches.long(), 2 * rows + columns)
    assert torch.equal(pool.adjoint(post, switches, full.shape), wanted[1])  # also after the kernels are put away


def test_pooling_that_is_not_two_by_two_is_left_to_torch() -> None:
    for pool, shape in ((MaxPool(3), (1, 2, 6, 6)), (MaxPool(2, 1), (1, 2, 6, 6)), (MaxPool(2), (1, 2, 5, 6))):
        with fused(smallest=1):
            assert pool.open(draw(*shape, dtype=torch.float64))[1].dtype == torch.int64
    with fused(smallest=1):  # rows first in memory
        assert MaxPool(2).open(torch.randn(1, 2, 6, 6))[1].dtype == torch.int64


def test_only_large_tensors_of_one_shape_are_worth_a_kernel(calls: list[str]) -> None:
    kernel = Kernel(lambda a, b: (a + b, a - b), elementwise=True)
    a, b = torch.randn(4, 8), torch.randn(4, 8)
    kernel((a, b))
    with fused(smallest=33):
        kernel((a, b))
    with fused(False, smallest=1):
        kernel((a, b))
    with fused(smallest=1):
        kernel((torch.randn(8, 4).T, b))
        kernel((a, torch.randn(1)))
        assert not calls
        kernel((a, b))
        assert calls
    assert not kernel.ready(a)


def test_shapes_and_layouts_come_back(calls: list[str]) -> None:
    kernel = Kernel(lambda a, b: (a + b, a - b), elementwise=True)
    a, b = draw(2, 3, 4, 4, dtype=torch.float32), draw(2, 3, 4, 4, dtype=torch.float32, seed=1)
    view = torch.randn(3, 2, 3, 4, 4).contiguous()[1]  # starts in the middle of its storage
    repeated = torch.randn(2, 3, 1, 1).expand(2, 3, 4, 4)  # as the difference under a mean over an image
    with fused(smallest=1):
        for one, other in ((a, b), (view, view.clone()), (a, view), (view, a), (a, repeated), (a, a.double())):
            total, difference = kernel((one, other))
            assert torch.equal(total, one + other) and torch.equal(difference, one - other)
            assert total.stride() == one.stride()
    assert len(calls) == 1  # all of them ran compiled, by the same kernel


def test_without_a_compiler_the_plain_form_runs_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> object:
        raise RuntimeError("no C++ compiler found")

    monkeypatch.setattr(torch, "compile", missing)
    kernel = Kernel(torch.add)
    a, b = torch.randn(4), torch.randn(4)
    with fused(smallest=1):
        with pytest.warns(
            UserWarning, match="kernels: add is not compiled, its plain form runs: .*no C\\+\\+ compiler"
        ):
            assert torch.equal(kernel((a, b)), a + b)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert torch.equal(kernel((a, b)), a + b)


def test_a_fault_of_the_caller_is_not_hidden() -> None:
    kernel = Kernel(torch.add)
    with fused(smallest=1), pytest.raises(RuntimeError, match="must match the size"):
        kernel((torch.randn(4), torch.randn(3)))


def test_the_elementwise_potentials_are_those_with_a_gate() -> None:
    assert all(isinstance(potential, Gated) for potential in (ReLU(), HardSigmoid(), Tanh()))
    assert not isinstance(from_dict(Potential, "softmax"), Gated)  # its units hear of one another: no kernel
    assert kernels.SMALL > 1


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("power", [0.7, 1.4, 3.0])
def test_a_power_is_that_of_the_plain_form(power: float, dtype: torch.dtype) -> None:
    """Zero at and below zero too, where the logarithm inside is not finite."""
    drive = draw(2, 3, 8, 8, dtype=dtype)
    drive[0, 0, 0, :3] = torch.tensor([0.0, -1.0, 1.0], dtype=dtype)
    with fused(smallest=1):
        found = RePU(power=power).response(drive)
    wanted = drive.double().clamp_min(0) ** power
    assert found.dtype == dtype and found.stride() == drive.stride() and (found[drive <= 0] == 0).all()
    torch.testing.assert_close(found.double(), wanted, rtol=4 * ROUNDING[dtype], atol=0)  # ε·p·ln a of the exponent


def test_a_power_on_a_tape_is_left_to_autograd() -> None:
    drive = draw(1, 1, 4, 4, dtype=torch.float64).requires_grad_()
    with fused(smallest=1):
        RePU(power=1.4).response(drive).sum().backward()
    torch.testing.assert_close(drive.grad, 1.4 * drive.detach().clamp_min(0) ** 0.4)


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
def test_centering_is_that_of_the_plain_form(dtype: torch.dtype) -> None:
    drive = draw(2, 5, 4, 4, dtype=dtype)
    with fused(smallest=1):
        found = centered_last(drive)
    wanted = drive.double() - drive.double().mean(1, keepdim=True)
    torch.testing.assert_close(found.double(), wanted, rtol=ROUNDING[dtype], atol=4 * ROUNDING[dtype])
