"""Objectives by hand: values, gradients, the proximal step, and what they refuse."""

import math

import pytest
import torch

from energy.component import ConfigurationError
from energy.objectives import CrossEntropy, Nudge, SquaredError, one_hot
from energy.potentials import ClippedReLU, HardSigmoid, Identity, Potential, ReLU, Tanh

DOUBLE = torch.float64


def test_values_by_hand() -> None:
    output, target = torch.tensor([[1.0, 2.0]], dtype=DOUBLE), torch.tensor([[0.0, 1.0]], dtype=DOUBLE)
    assert SquaredError().value(output, target).item() == 1.0
    assert SquaredError().gradient(output, target).tolist() == [[1.0, 1.0]]
    assert CrossEntropy().value(output, target).item() == pytest.approx(math.log(1 + math.exp(-1)))
    share = 1 / (1 + math.exp(1))
    torch.testing.assert_close(CrossEntropy().gradient(output, target), torch.tensor([[share, -share]], dtype=DOUBLE))


def test_cross_entropy_of_targets_that_are_no_distribution() -> None:
    """C = −Σ y ln p has ∇C = p Σy − y: here p = (½, ½) and Σy = 3, so C = 3 ln 2."""
    output, target = torch.zeros(1, 2, dtype=DOUBLE), torch.tensor([[2.0, 1.0]], dtype=DOUBLE)
    assert CrossEntropy().value(output, target).item() == pytest.approx(3 * math.log(2))
    torch.testing.assert_close(CrossEntropy().gradient(output, target), torch.tensor([[-0.5, 0.5]], dtype=DOUBLE))


def test_cross_entropy_of_large_logits_is_finite() -> None:
    output = torch.tensor([[1e4, 0.0]])
    target = one_hot(torch.tensor([1]), 2)
    assert CrossEntropy().value(output, target).item() == pytest.approx(1e4)
    assert CrossEntropy().gradient(output, target).tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("potential", [Identity(), ReLU(), HardSigmoid(), ClippedReLU()])
@pytest.mark.parametrize(("plus", "minus"), [(0.25, 0.25), (0.0, 0.5), (0.5, 0.0), (2.0, 0.9)])
def test_the_proximal_step_solves_its_problem(potential: Potential, plus: float, minus: float) -> None:
    """s± = clamp((a ± β±h ± β± y)/(1 ± β±)), the closed form on a quadratic with bounds."""
    a, h, y = (
        torch.tensor([row], dtype=DOUBLE)
        for row in ([-2.0, 0.3, 0.9, 5.0], [1.0, -0.5, 0.2, -3.0], [0.0, 1.0, 0.0, 1.0])
    )
    drive, pull = SquaredError(nudge=Nudge.PROXIMAL).nudged(potential, a, h, y, None, plus, minus)
    for sign, share in ((1, plus), (-1, minus)):
        expected = ((a + sign * share * (h + y)) / (1 + sign * share)).clamp(potential.lower, potential.upper)
        torch.testing.assert_close(potential.response(drive + sign * share * pull), expected)


@pytest.mark.parametrize(("plus", "minus"), [(0.5, 1.0), (0.5, 1.5), (-1.0, 0.5), (math.nan, 0.5), (0.5, math.nan)])
def test_a_singular_proximal_step_is_refused(plus: float, minus: float) -> None:
    one = torch.ones(1, 2)
    with pytest.raises(ConfigurationError, match=r"^beta: .* singular: must be "):
        SquaredError(nudge=Nudge.PROXIMAL).nudged(Identity(), one, one, one, None, plus, minus)


def test_what_an_output_layer_does_not_admit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"objective\.nudge=proximal.*Tanh"):
        SquaredError(nudge=Nudge.PROXIMAL).check(Tanh())
    with pytest.raises(ConfigurationError, match=r"objective\.nudge=proximal.*live or frozen"):
        CrossEntropy(nudge=Nudge.PROXIMAL).check(Identity())
    with pytest.raises(ConfigurationError, match=r"objective=cross_entropy.*identity"):
        CrossEntropy().check(HardSigmoid())


def test_frozen_and_live_nudges() -> None:
    a, h, y, frozen = (torch.tensor([[v]], dtype=DOUBLE) for v in (2.0, 0.5, 1.0, 7.0))
    assert SquaredError(nudge=Nudge.FROZEN).nudged(Identity(), a, h, y, frozen, 0.1, 0.1)[1].item() == 0.5 - 7
    assert SquaredError(nudge=Nudge.LIVE).nudged(Identity(), a, h, y, frozen, 0.1, 0.1)[1].item() == 0.5 - 1
    assert (
        SquaredError(nudge=Nudge.LIVE).nudged(HardSigmoid(), a, h, y, frozen, 0.1, 0.1)[1].item() == 0.5
    )  # f(2) = 1 = y


def test_one_hot() -> None:
    assert one_hot(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert one_hot(torch.tensor([1]), 2, DOUBLE).dtype == DOUBLE
