"""G and its response are conjugate: closed forms, known constants, quadrature."""

import doctest
import importlib
import math
import pkgutil
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import energy.potentials
from energy.component import ConfigurationError, from_dict
from energy.potentials import LeakyReLU, Potential
from energy.potentials.smooth import _dilogarithm_of_exp

LABELS = (
    "identity",
    "relu",
    "leaky_relu",
    "hard_sigmoid",
    "half_hard_sigmoid",
    "clipped_relu",
    "sigmoid",
    "tanh",
    "softplus",
)
KINKS = (0.0, 1.0, 2.0, 6.0)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)


def integral(function: Callable[[Tensor], Tensor], low: float, high: float) -> float:
    """Gauss–Legendre on the pieces between the kinks, each cut into eight."""
    sign = 1.0 if high >= low else -1.0
    low, high = min(low, high), max(low, high)
    inside = [k for k in KINKS if low < k < high]
    total = 0.0
    for left, right in zip([low, *inside], [*inside, high], strict=True):
        for k in range(8):
            start, width = left + k * (right - left) / 8, (right - left) / 8
            points = torch.from_numpy(start + width * (NODES + 1) / 2)
            total += float((torch.from_numpy(WEIGHTS) * function(points)).sum()) * width / 2
    return sign * total


def value(potential: Potential, state: float) -> float:
    return float(potential.value(torch.tensor([[state]], dtype=torch.float64)))


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("drive", [-7.5, -1.0, -0.1, 0.3, 1.7, 4.0, 9.0])
def test_value_is_the_conjugate_of_the_integrated_response(label: str, drive: float) -> None:
    """G*(a) = G*(0) + ∫₀ᵃ f, so G(f(a)) − G(f(0)) = a·f(a) − ∫₀ᵃ f."""
    potential = from_dict(Potential, label)
    states = potential.response(torch.tensor([drive, 0.0], dtype=torch.float64)).tolist()
    expected = drive * states[0] - integral(potential.response, 0.0, drive)
    assert value(potential, states[0]) - value(potential, states[1]) == pytest.approx(expected, abs=1e-11)


def test_constants() -> None:
    """Values at states where G is known by other means."""
    assert value(from_dict(Potential, "tanh"), 1.0) == pytest.approx(math.log(2), abs=1e-15)
    assert value(from_dict(Potential, "tanh"), 0.0) == 0
    assert value(from_dict(Potential, "sigmoid"), 0.0) == 0 == value(from_dict(Potential, "sigmoid"), 1.0)
    assert value(from_dict(Potential, "sigmoid"), 0.5) == pytest.approx(-math.log(2), abs=1e-15)
    assert value(from_dict(Potential, "half_hard_sigmoid"), 0.5) == 0.25
    assert value(from_dict(Potential, "hard_sigmoid"), 0.5) == 0.125
    assert value(LeakyReLU(slope=0.25), -1.0) == 2.0  # s²/(2·slope)
    assert value(from_dict(Potential, "softplus"), math.log(2)) == pytest.approx(math.pi**2 / 12, abs=1e-15)
    assert value(from_dict(Potential, "softplus"), 0.0) == pytest.approx(math.pi**2 / 6, abs=1e-15)


def test_softmax_is_conjugate_to_logsumexp() -> None:
    softmax, drive = from_dict(Potential, "softmax"), torch.linspace(-3, 3, 12, dtype=torch.float64).view(3, 4)
    state = softmax.response(drive)
    torch.testing.assert_close((state * drive).sum(1) - softmax.value(state), drive.logsumexp(1))
    corner, middle = torch.eye(4, dtype=torch.float64), torch.full((1, 4), 0.25, dtype=torch.float64)
    assert not softmax.value(corner).any()
    assert float(softmax.value(middle)) == pytest.approx(-math.log(4))


def test_dilogarithm() -> None:
    """Li₂(z) = −∫₀ᶻ ln(1 − t)/t dt, and its known values at 1, ½ and 0."""
    for z, known in ((1.0, math.pi**2 / 6), (0.5, math.pi**2 / 12 - math.log(2) ** 2 / 2)):
        found = _dilogarithm_of_exp(torch.tensor([-math.log(z)], dtype=torch.float64))
        assert float(found) == pytest.approx(known, abs=1e-15)
    for z in (0.01, 0.3, 0.499999, 0.500001, 0.7, 0.95):
        found = float(_dilogarithm_of_exp(torch.tensor([-math.log(z)], dtype=torch.float64)))
        assert found == pytest.approx(integral(lambda t: -torch.log1p(-t) / t, 0.0, z), abs=1e-13)
    assert float(_dilogarithm_of_exp(torch.tensor([800.0], dtype=torch.float64))) == 0


@pytest.mark.parametrize("label", LABELS)
def test_no_overflow_far_out(label: str) -> None:
    """A saturated or a huge drive gives a finite response, value and tangent, in float32 too."""
    potential = from_dict(Potential, label)
    for dtype in (torch.float64, torch.float32):
        drive = torch.tensor([[-1e4, -90.0, 0.0, 90.0, 1e4]], dtype=dtype)
        state = potential.response(drive)
        assert torch.isfinite(state).all()
        assert torch.isfinite(potential.value(state)).all()
        assert torch.isfinite(potential.tangent(drive, torch.ones_like(drive))).all()


def test_a_response_keeps_what_is_not_a_number() -> None:
    """NaN is found by who looks for it; a box must not hide it."""
    for label in (*LABELS, "softmax"):
        response = from_dict(Potential, label).response(torch.tensor([[math.nan, 1.0]]))
        assert response[0, 0].isnan(), label


@pytest.mark.parametrize("slope", [0.0, -0.1, 1.5, math.nan, math.inf])
def test_leaky_slope_out_of_range(slope: float) -> None:
    with pytest.raises(ConfigurationError, match=r"leaky_relu\.slope=.*in \(0, 1\]"):
        LeakyReLU(slope=slope)


def test_the_examples_of_the_docstrings_run() -> None:
    modules = [f"energy.potentials.{found.name}" for found in pkgutil.iter_modules(energy.potentials.__path__)]
    results = [doctest.testmod(importlib.import_module(name)) for name in modules]
    assert sum(one.attempted for one in results) > 0 == sum(one.failed for one in results)
