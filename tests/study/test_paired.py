"""Paired statistics against closed forms, enumeration and integration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from energy.errors import UsageError
from energy.study.paired import (
    MOST_SEEDS,
    closest_pair,
    paired_difference,
    seeds_needed,
    signed,
    t_test_power,
    within_noise,
)

NUMBERS = st.lists(st.floats(0, 100), min_size=2, max_size=7)


def _arm(values: list[float]) -> dict[int, float]:
    return dict(enumerate(values))


def _against_nothing(values: list[float]) -> dict[int, float]:
    return dict.fromkeys(range(len(values)), 0.0)


def test_mean_deviation_and_effect_are_those_of_the_differences() -> None:
    found = paired_difference({0: 90.0, 1: 92.0, 2: 97.0}, {2: 95.0, 0: 91.0, 1: 90.0})
    assert (found.seeds, found.differences) == ([0, 1, 2], [-1.0, 2.0, 2.0])
    assert found.mean == 1.0 and found.sd == pytest.approx(math.sqrt(3), rel=1e-14)
    assert found.effect == pytest.approx(1 / math.sqrt(3), rel=1e-14)


def test_the_t_interval_at_three_seeds_is_the_closed_form() -> None:
    """With two degrees of freedom the quantile of Student's t is (2q − 1)/√(2q(1 − q))."""
    values = [1.0, 2.0, 6.0]
    quantile = 0.95 / math.sqrt(2 * 0.975 * 0.025)
    half = quantile * math.sqrt(7) / math.sqrt(3)
    assert paired_difference(_arm(values), _against_nothing(values)).t_interval == pytest.approx((3 - half, 3 + half))


def test_the_t_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        values = rng.normal(1.0, 2.0, 3).tolist()
        interval = paired_difference(_arm(values), _against_nothing(values)).t_interval
        assert interval is not None
        held += interval[0] <= 1.0 <= interval[1]
    assert 0.95 - 4 * math.sqrt(0.05 * 0.95 / 200) < held / 200


def test_the_bootstrap_is_the_normal_interval_where_there_are_many_seeds() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 200).tolist()
    found = paired_difference(_arm(values), _against_nothing(values))
    assert found.bootstrap_interval is not None
    half = 1.96 * float(np.std(values, ddof=1)) / math.sqrt(200)
    assert found.bootstrap_interval == pytest.approx((found.mean - half, found.mean + half), abs=0.1 * half)


def test_the_bootstrap_is_narrow_where_there_are_three() -> None:
    """Its resamples lie between the least and the greatest difference, from which the t interval reaches far out."""
    values = [1.0, 2.0, 6.0]
    found = paired_difference(_arm(values), _against_nothing(values))
    assert found.bootstrap_interval is not None and found.t_interval is not None
    assert 1.0 <= found.bootstrap_interval[0] < found.bootstrap_interval[1] <= 6.0
    assert found.t_interval[0] < 1.0 - 4 and found.t_interval[1] > 6.0 + 3


def test_the_bootstrap_can_be_had_again() -> None:
    values = [1.0, 2.0, 6.0, 7.5, 3.0]
    arms = _arm(values), _against_nothing(values)
    assert paired_difference(*arms) == paired_difference(*arms)
    assert paired_difference(*arms, rng_seed=1).bootstrap_interval != paired_difference(*arms).bootstrap_interval


@pytest.mark.parametrize("values", [[1.0, 2.0, 6.0], [3.0, -1.0, 2.0, 2.0], [1.0, 1.5, 0.5, 2.0, 1.2, 0.1, -0.2]])
def test_the_sign_flip_test_is_the_enumeration(values: list[float]) -> None:
    found = paired_difference(_arm(values), _against_nothing(values))
    means = [np.dot(signs, values) for signs in itertools.product((-1, 1), repeat=len(values))]
    share = np.mean([abs(mean) >= abs(sum(values)) - 1e-12 for mean in means])
    assert found.p == pytest.approx(share)
    assert found.smallest_p == 2 ** (1 - len(values)) <= found.p


def test_the_smallest_p_is_reached_where_all_seeds_agree() -> None:
    for count in (2, 3, 5, 6, 8):
        values = [1.0 + 0.1 * place for place in range(count)]
        found = paired_difference(_arm(values), _against_nothing(values))
        assert found.p == pytest.approx(found.smallest_p) and found.smallest_p == 2 ** (1 - count)


def test_more_seeds_than_can_be_enumerated_are_drawn() -> None:
    values = np.random.default_rng(2).normal(0.4, 1.0, 20).tolist()
    found = paired_difference(_arm(values), _against_nothing(values))
    normal = 2 * stats.norm.sf(abs(sum(values)) / math.sqrt(sum(value**2 for value in values)))
    assert found.p == pytest.approx(normal, abs=0.02) and found.smallest_p < 1e-4


@settings(deadline=None, max_examples=50)
@given(NUMBERS, NUMBERS)
def test_exchanging_the_arms_changes_the_sign_alone(first: list[float], second: list[float]) -> None:
    one, other = (paired_difference(*arms) for arms in itertools.permutations((_arm(first), _arm(second))))
    assert (one.mean, one.sd, one.p) == (-other.mean, other.sd, pytest.approx(other.p))
    assert one.told_apart == other.told_apart and one.seeds_needed == other.seeds_needed


@pytest.mark.parametrize("unit", [2.0**-522, 2.0**500])
def test_the_unit_of_the_numbers_does_not_matter(unit: float) -> None:
    values = [0.5, -0.25, 1.75, 0.625]
    plain, scaled = (paired_difference(_arm([u * v for v in values]), _arm([0.0] * 4)) for u in (1.0, unit))
    assert plain.bootstrap_interval is not None and scaled.bootstrap_interval is not None
    assert [bound / unit for bound in scaled.bootstrap_interval] == [*plain.bootstrap_interval]
    assert scaled.p == plain.p and scaled.effect == pytest.approx(plain.effect)


def test_the_luck_of_a_seed_cancels() -> None:
    """Quarters, so that the sums are exact."""
    luck, first, second = [0.0, -8.25, 30.5, 2.75], [1.0, 1.5, 1.25, 0.75], [0.5, 0.5, 0.75, 0.25]
    plain = paired_difference(_arm(first), _arm(second))
    lucky = [[a + b for a, b in zip(arm, luck, strict=True)] for arm in (first, second)]
    assert paired_difference(_arm(lucky[0]), _arm(lucky[1])) == plain


def test_one_seed_has_a_difference_and_nothing_else() -> None:
    found = paired_difference({3: 2.0, 4: 7.0}, {3: 1.0, 5: 0.0})
    assert (found.seeds, found.mean, found.p, found.smallest_p, found.told_apart) == ([3], 1.0, 1.0, 1.0, False)
    assert [found.sd, found.t_interval, found.bootstrap_interval, found.effect, found.seeds_needed] == [None] * 5


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_no_spread_has_no_interval(shift: float) -> None:
    """The spread of 0.3 added to three numbers is one of rounding, and must not pass for certainty."""
    numbers = [92.1, 90.7, 88.3]
    found = paired_difference(_arm([number + shift for number in numbers]), _arm(numbers))
    assert found.sd == 0.0 and found.mean == pytest.approx(shift) and not found.told_apart
    assert [found.t_interval, found.bootstrap_interval, found.effect, found.seeds_needed] == [None] * 4
    assert found.p == (1.0 if shift == 0 else pytest.approx(0.25))


def test_a_constant_difference_is_told_apart_where_the_sign_test_can() -> None:
    numbers = [90.0, 91.0, 92.0, 93.0, 94.0, 95.0]
    found = paired_difference(_arm([number + 1 for number in numbers]), _arm(numbers))
    assert found.p == pytest.approx(2 / 64) and found.told_apart and found.t_interval is None


def test_below_six_seeds_the_t_interval_decides() -> None:
    clear, unclear = [2.0, 2.1, 2.2], [2.0, -1.0, 2.2]
    assert paired_difference(_arm(clear), _against_nothing(clear)).told_apart
    assert not paired_difference(_arm(unclear), _against_nothing(unclear)).told_apart


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [({0: 1.0}, {1: 1.0}, "must share one"), ({}, {}, "must share one"), ({0: math.nan}, {0: 1.0}, "finite")],
)
def test_what_cannot_be_paired_is_refused(a: dict[int, float], b: dict[int, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        paired_difference(a, b)


def _integrated(count: int, effect: float) -> float:
    """The power as P(|Z + δ| > c √(V/ν)), Z normal and V chi-squared with ν = n − 1, integrated over V."""
    freedom, shift = count - 1, effect * math.sqrt(count)
    critical = stats.t.ppf(0.975, freedom)

    def both(v: float) -> float:
        edge = critical * math.sqrt(v / freedom)
        return float(stats.chi2.pdf(v, freedom) * (stats.norm.sf(edge - shift) + stats.norm.cdf(-edge - shift)))

    middle = stats.chi2.ppf((1e-13, 0.5, 1 - 1e-13), freedom)
    return sum(integrate.quad(both, *ends, limit=200)[0] for ends in itertools.pairwise(middle))


@pytest.mark.parametrize(("count", "effect"), [(3, 0.5), (3, 4.0), (5, 1.5), (15, 0.8), (34, 0.5), (200, 0.2)])
def test_the_power_is_the_integral(count: int, effect: float) -> None:
    assert t_test_power(count, effect) == pytest.approx(_integrated(count, effect), abs=1e-6)
    assert t_test_power(count, -effect) == t_test_power(count, effect)


def test_without_a_difference_the_power_is_the_level() -> None:
    for count in (2, 3, 30):
        assert t_test_power(count, 0.0) == pytest.approx(0.05)
        assert t_test_power(count, 0.0, level=0.2) == pytest.approx(0.2)


@pytest.mark.parametrize("effect", [0.2, 0.5, 0.8, 1.0, 2.0])
def test_the_seeds_needed_are_the_least(effect: float) -> None:
    count = seeds_needed(-3 * effect, 3.0)
    assert count is not None
    assert _integrated(count - 1, effect) < 0.8 <= _integrated(count, effect)


def test_the_seeds_needed_are_those_of_the_tables() -> None:
    """The usual tables of sample sizes for a paired t test, 80 % power at 5 % two-sided."""
    assert [seeds_needed(effect, 1.0) for effect in (0.2, 0.5, 0.8)] == [199, 34, 15]


def test_many_seeds_are_those_of_the_normal_approximation() -> None:
    count = seeds_needed(0.02, 1.0)
    assert count == pytest.approx((1.959964 + 0.841621) ** 2 / 0.02**2, rel=1e-3)


def test_seeds_needed_of_extremes() -> None:
    assert seeds_needed(0.0, 1.0) is None and seeds_needed(1.0, 0.0) is None
    assert seeds_needed(1.0, 2 * math.sqrt(MOST_SEEDS)) is None
    assert seeds_needed(1e9, 1e-9) == 2


@pytest.mark.parametrize(
    "given_", [{"sd": -1.0}, {"difference": math.inf}, {"power": 1.0}, {"level": 0.0}, {"sd": math.nan}]
)
def test_seeds_needed_of_what_is_no_question(given_: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(given_))):
        seeds_needed(**{"difference": 1.0, "sd": 1.0, **given_})
    with pytest.raises(UsageError, match="count=1"):
        t_test_power(1, 0.5)


def test_within_noise_is_the_best_and_what_is_not_told_from_it() -> None:
    best = [95.0, 96.0, 97.0]
    arms = {
        "far": [value - 10 - 0.1 * place for place, value in enumerate(best)],
        "near": [95.4, 95.5, 96.9],
        "best": best,
    }
    assert within_noise({label: _arm(values) for label, values in arms.items()}) == ["best", "near"]


def test_within_noise_where_little_is_known() -> None:
    one = {"a": {0: 99.0}, "b": {0: 10.0}, "none": {}}
    assert within_noise(one) == ["a", "b"] and within_noise({"none": {}}) == [] == within_noise({})
    assert within_noise({"a": {0: 2.0, 1: 2.1}, "elsewhere": {5: 1.0, 6: 1.0}}) == ["a", "elsewhere"]


def test_the_closest_pair_is_ordered() -> None:
    arms = {"low": _arm([1.0, 2.0, 4.0]), "high": _arm([1.5, 2.0, 4.5]), "far": _arm([9.0, 9.0, 9.5])}
    found = closest_pair(arms)
    assert found is not None and (found.first, found.second) == ("high", "low")
    assert found.difference.differences == [0.5, 0.0, 0.5]
    assert closest_pair({"a": _arm([1.0, 2.0]), "same": _arm([1.0, 2.0]), "alone": {0: 5.0}, "none": {}}) is None


def test_a_difference_as_text() -> None:
    assert signed(-0.001, None) == "+0.00" and signed(-1.0, (-2.5, 0.5), 1) == "-1.0 (-2.5 to +0.5)"
