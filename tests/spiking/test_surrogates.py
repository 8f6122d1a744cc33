"""Pairs (Φ, Φ′): the slope is the derivative, and the difference of two values keeps its digits."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from energy.component import choices
from energy.spiking.surrogates import Surrogate, borrowed

PAIRS = [cls() for cls in choices(Surrogate).values() if cls().paired]


def grid() -> Tensor:
    return torch.linspace(-3, 3, 601, dtype=torch.float64)


@pytest.mark.parametrize("surrogate", PAIRS, ids=lambda s: s.name)
def test_the_slope_is_the_derivative_of_the_value(surrogate: Surrogate) -> None:
    v = grid().requires_grad_()
    (wanted,) = torch.autograd.grad(surrogate.value(v).sum(), v)
    torch.testing.assert_close(surrogate.slope(v.detach()), wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("surrogate", PAIRS, ids=lambda s: s.name)
def test_a_probability_that_rises_through_one_half(surrogate: Surrogate) -> None:
    value = surrogate.value(grid())
    assert bool((value.diff() > 0).all()) and bool((value >= 0).all()) and bool((value <= 1).all())
    assert float(surrogate.value(torch.zeros(1))) == 0.5
    assert bool(surrogate.slope(torch.zeros(1)) >= surrogate.slope(grid().float()).max())


@pytest.mark.parametrize("surrogate", PAIRS, ids=lambda s: s.name)
def test_a_dyad_is_the_difference_of_two_values(surrogate: Surrogate) -> None:
    v, h = map(
        torch.stack, zip(*itertools.product(grid()[::20], torch.tensor([-2.0, -0.1, 0.3, 4.0]).double()), strict=True)
    )
    for beta in (1.0, 0.1):
        ends = [surrogate.value(v + sign * beta / 2 * h) for sign in (1, -1)]
        torch.testing.assert_close(surrogate.secant(v, h, beta), (ends[0] - ends[1]) / beta, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("surrogate", PAIRS, ids=lambda s: s.name)
def test_a_small_nudge_loses_no_digits_in_float32(surrogate: Surrogate) -> None:
    v, h = grid().float()[::7] + 0.01, torch.tensor(1.3)
    wanted = surrogate.slope(v.double()) * float(h)
    found = surrogate.secant(v, h.expand_as(v), 1e-6)
    torch.testing.assert_close(found.double(), wanted, rtol=2e-4, atol=1e-6)


def test_a_borrowed_slope_has_no_value() -> None:
    surrogate = borrowed(torch.sigmoid)
    v = grid()
    assert not surrogate.paired
    torch.testing.assert_close(surrogate.secant(v, 2 * v, 0.0), torch.sigmoid(v) * 2 * v)
    with pytest.raises(NotImplementedError, match="only beta = 0 is possible"):
        surrogate.value(v)
