"""The secant of every potential against sixty digits: kinks, saturation, e = 0, and precisions in which two states
would cancel."""

import importlib.util
import itertools
from decimal import Decimal, localcontext
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from energy.component import choices, from_dict
from energy.models import MLP
from energy.objectives import CrossEntropy, one_hot
from energy.potentials import Gated, Potential, RePU
from energy.rules.contrast import Contrast
from energy.settle.dyadic import DualPropagation


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


exact = _load("exact")
LABELS = list(exact.RESPONSES)
DRIVES = (0.0, 1e-3, -1e-3, 0.5, -0.5, 1.0, -1.0, 1.25, 2.0, 3.0, 6.0, 5.9375, 12.0, -12.0, 30.0, -30.0)
ERRORS = (0.0, 1e-8, 0.25, -0.25, 2.0, -2.0, 25.0, -25.0)
BETAS = (4.0, 1.0, -1.0, 0.1, 1e-3, 1e-6)
SHARES = (0.0, 0.25, 0.5, 1.0)


def grid(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Every drive with every difference drive, as numbers of `dtype`."""
    a, h = torch.meshgrid(torch.tensor(DRIVES, dtype=dtype), torch.tensor(ERRORS, dtype=dtype), indexing="ij")
    return a.contiguous(), h.contiguous()


def worst(potential: Potential, dtype: torch.dtype, beta: float, r_plus: float) -> float:
    """The greatest error of the secant, relative to |h|, over the grid."""
    a, h = grid(dtype)
    found = potential.secant(a, h, beta, r_plus)
    assert found.dtype == dtype
    pairs = zip(a.flatten().tolist(), h.flatten().tolist(), strict=True)
    expected = torch.tensor(
        [exact.secant(potential.name, x, e, beta, r_plus) for x, e in pairs], dtype=torch.float64
    ).view(a.shape)
    assert not found[h == 0].any()
    return float(((found.double() - expected).abs() / h.double().abs().clamp_min(1e-300))[h != 0].max())


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("beta", BETAS)
def test_secant_in_float64(label: str, beta: float) -> None:
    for r_plus in SHARES:
        assert worst(from_dict(Potential, label), torch.float64, beta, r_plus) < 1e-13


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("beta", [1.0, 1e-3, 1e-6])
def test_secant_in_float32_loses_no_digits(label: str, beta: float) -> None:
    """Two stored states would be off by 2⁻²⁴/β ≈ 6 % at β = 1e-6."""
    for r_plus in SHARES:
        assert worst(from_dict(Potential, label), torch.float32, beta, r_plus) < 2e-6


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("beta", [1.0, 1e-2, 1e-6])
def test_secant_in_bfloat16_loses_no_digits(label: str, beta: float) -> None:
    """eps is 2⁻⁸; two stored states would be off by 40 % at β = 0.01 and have nothing in common at 1e-6."""
    for r_plus in (0.0, 0.5, 1.0):
        assert worst(from_dict(Potential, label), torch.bfloat16, beta, r_plus) < 2**-5


@pytest.mark.parametrize("r_plus", SHARES)
def test_piecewise_linear_gates_are_fractions_of_the_interval(r_plus: float) -> None:
    """By hand: from a = 0 with |e| = 1 a share r₊ (h > 0) or 1 − r₊ (h < 0) lies above a ReLU's kink."""
    relu, zero = from_dict(Potential, "relu"), torch.zeros(1, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    assert isinstance(relu, Gated)
    assert relu.gate(zero, one, r_plus).item() == r_plus
    assert relu.gate(zero, -one, r_plus).item() == 1 - r_plus
    clip = from_dict(Potential, "hard_sigmoid")
    assert isinstance(clip, Gated)
    assert clip.gate(0.5 * one, 4 * one, 0.5).item() == 0.25  # the interval [−1.5, 2.5] holds [0, 1]
    assert clip.gate(9 * one, one, r_plus).item() == 0 == clip.gate(-9 * one, one, r_plus).item()


def test_softmax_secant_against_sixty_digits() -> None:
    softmax = from_dict(Potential, "softmax")
    drives = [[0.5, -1.0, 2.0, 0.0], [30.0, 0.0, -30.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    errors = [[0.25, -0.5, 1.0, 0.75], [1.0, 1.0, 1.0, 1.0], [2.0, -25.0, 3.0, 0.0]]
    for dtype, room in ((torch.float64, 1e-13), (torch.float32, 2e-6)):
        for beta in (4.0, 1.0, 0.1, 1e-3, 1e-6):
            for r_plus in SHARES:
                found = softmax.secant(
                    torch.tensor(drives, dtype=dtype), torch.tensor(errors, dtype=dtype), beta, r_plus
                )
                exactly = [exact.softmax_secant(a, e, beta, r_plus) for a, e in zip(drives, errors, strict=True)]
                expected = torch.tensor(exactly, dtype=torch.float64)
                assert float((found.double() - expected).abs().max()) < 25 * room, (dtype, beta, r_plus)
                assert float(found.double().sum(-1).abs().max()) < 25 * room


@pytest.mark.parametrize("label", LABELS)
def test_mirror(label: str) -> None:
    """(r₊, β) → (r₋, −β) exchanges the replicas and leaves δ as it was."""
    potential, (a, h) = from_dict(Potential, label), grid(torch.float64)
    for r_plus in SHARES:
        torch.testing.assert_close(
            potential.secant(a, h, 0.5, r_plus), potential.secant(a, h, -0.5, 1 - r_plus), rtol=0, atol=1e-14
        )


@pytest.mark.parametrize("label", LABELS)
def test_a_gate_never_leaves_its_range_whatever_the_numbers(label: str) -> None:
    potential = from_dict(Potential, label)
    assert isinstance(potential, Gated)
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        extremes = torch.tensor([0.0, 1e-30, -1e-30, 1e-3, 1.0, -1.0, 1e4, -1e4, 1e18, -1e18], dtype=dtype)
        a, e = (t.contiguous() for t in torch.meshgrid(extremes, extremes, indexing="ij"))
        for r_plus in SHARES:
            gate = potential.gate(a, e, r_plus)
            assert bool((gate >= 0).all()), (dtype, r_plus)
            assert float(gate.max()) <= potential.lipschitz * (1 + 2 * torch.finfo(dtype).eps)


POWERS = (0.25, 0.5, 1.3, 2.0, 3.0)


def repu_exactly(power: float, a: Tensor, h: Tensor, beta: float, r_plus: float) -> Tensor:
    """Of the given binary numbers, in sixty digits, element by element."""
    with localcontext() as context:
        context.prec = exact.DIGITS

        def response(drive: Decimal) -> Decimal:
            return drive ** Decimal(power) if drive > 0 else Decimal(0)

        found = []
        for x, y in zip(a.flatten().tolist(), h.flatten().tolist(), strict=True):
            e = Decimal(beta) * Decimal(y)
            ends = (Decimal(x) + Decimal(r_plus) * e, Decimal(x) - (1 - Decimal(r_plus)) * e)
            found.append(float((response(ends[0]) - response(ends[1])) / Decimal(beta)))
        return torch.tensor(found, dtype=torch.float64).view(a.shape)


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("beta", [4.0, -0.1, 1e-2, 1e-3, 1e-6])
@pytest.mark.parametrize(
    ("dtype", "room"), [(torch.float64, 2e-14), (torch.float32, 4e-6), (torch.bfloat16, 0.06)], ids=str
)
def test_the_secant_of_every_power_in_every_precision(
    power: float, beta: float, dtype: torch.dtype, room: float
) -> None:
    """Relative to the secant; the difference of two responses is off by eps/β. An end that meets the kink to within the
    precision of the drive is left out: the slope is infinite there for a power below 1."""
    a, h = grid(dtype)
    h = torch.where(h.abs() < 1e-4, torch.zeros_like(h), h)
    for r_plus in (0.0, 0.25, 0.5, 1.0):
        found = RePU(power=power).secant(a, h, beta, r_plus)
        assert found.dtype == dtype
        wanted = repu_exactly(power, a, h, beta, r_plus)
        assert not found[h == 0].any()
        off, size = (found.double() - wanted).abs(), wanted.abs() + (h.double() * beta).abs().pow(power) / abs(beta)
        ends = [a.double() + share * beta * h.double() for share in (r_plus, r_plus - 1)]
        clear = (h != 0) & torch.stack([(end == 0) | (end.abs() > 1e-3 * a.abs()) for end in ends]).all(0)
        assert float((off / size.clamp_min(1e-300))[clear].max()) < room, r_plus


def test_at_power_one_it_is_the_relus() -> None:
    for dtype, beta, r_plus in itertools.product(
        (torch.float64, torch.float32, torch.bfloat16), (1.0, 0.1, 1e-3, 0.0), (0.0, 0.3, 0.5, 1.0)
    ):
        a, h = grid(dtype)
        pairs = [from_dict(Potential, name).pair(a, h, beta, r_plus, 0.5) for name in ("repu", "relu")]
        for mine, theirs in zip(*pairs, strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize("label", [n for n, p in choices(Potential).items() if p.__module__.startswith("energy.")])
@pytest.mark.parametrize("beta", [0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
def test_the_direction_of_the_difference_survives_in_every_potential(label: str, beta: float) -> None:
    """The cosine with the secant of float64, which two stored states lose in bfloat16 below β = 0.01."""
    stream, potential = torch.Generator().manual_seed(0), from_dict(Potential, label)
    a, h = (2 * torch.randn(64, 32, generator=stream, dtype=torch.float64) for _ in range(2))
    for dtype, room in ((torch.float32, 1e-9), (torch.bfloat16, 1e-3)):
        low = a.to(dtype), h.to(dtype)
        found = potential.secant(*low, beta).double()
        wanted = potential.secant(low[0].double(), low[1].double(), beta)
        cosine = (found * wanted).sum() / found.norm() / wanted.norm()
        assert float(cosine) > 1 - room, dtype


def test_a_network_of_them_keeps_its_gradient_in_bfloat16() -> None:
    for hidden in (RePU(), RePU(power=2.0)):
        for beta in (0.1, 1e-2, 1e-3):
            network = MLP(sizes=[64] * 3, hidden=hidden).build((32,), 10, seed=0)
            stream = torch.Generator().manual_seed(0)
            x, target = torch.randn(64, 32, generator=stream), one_hot(torch.arange(64) % 10, 10)
            wanted = torch.autograd.grad(
                torch.nn.functional.cross_entropy(network(x), target, reduction="sum"), list(network.parameters())
            )[0]
            settled = DualPropagation(beta=beta).settle(network, x.bfloat16(), target.bfloat16(), CrossEntropy())
            found = Contrast().gradients(network, settled)[0]
            assert float(torch.cosine_similarity(found.flatten(), wanted.flatten(), dim=0)) > 0.98
