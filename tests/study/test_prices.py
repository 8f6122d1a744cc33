"""The price of a cosine: against the formula of the record, and on points made for one question each."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from energy.component import ConfigurationError
from energy.errors import UsageError
from energy.study.front import Rung, front, rungs
from energy.study.points import points_of
from energy.study.prices import (
    LEVELS,
    CosinePrice,
    cheapest,
    cosine_prices,
    judged_cosine,
    mean_interval,
)
from tests.study.records import AGES, ANDERSON, ARMS, DUAL, GAINS, LADDER, SEEDS, SWEEP, Arm, anytime, point, rate

RUNGS = sorted(free + nudged for free, nudged in LADDER)
T_2 = 0.95 * math.sqrt(2 / (1 - 0.95**2))  # 97.5 % point of Student's t with 2 degrees of freedom: t / √(t² + 2) = 0.95


def _bought(cosines: Sequence[tuple[float, float | None]], seed: int = 0, arm: Arm = SWEEP) -> list[dict[str, Any]]:
    """Points of one seed by price, whose budget is numbered."""
    return [
        point("anytime", arm, seed, {"budget": f"{number}+0"}, backprop_steps=price, cosine_worst=cosine)
        for number, (price, cosine) in enumerate(cosines)
    ]


def _only(prices: list[CosinePrice]) -> CosinePrice:
    (price,) = prices
    return price


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.relaxation)
def test_the_price_is_that_of_the_first_rung_after_the_root(arm: Arm, gain: float, age: int, level: float) -> None:
    """0.8 r^n (1 + 0.1 (seed − 1)) = 1 − level at n = ln((1 − level) / …) / ln r."""
    found = [
        price
        for price in cosine_prices(list(anytime()))
        if (price.axes["settler"], price.axes["gain"], price.axes["age"], price.level)
        == (arm.settler, gain, age, level)
    ]
    price = _only(found)
    for seed in SEEDS:
        root = math.log((1 - level) / (0.8 * (1 + 0.1 * (seed - 1)))) / math.log(rate(arm, gain, age))
        assert price.by_seed[seed] == pytest.approx(1 + arm.sweep * min(n for n in RUNGS if n >= root))


def test_prices_name_settler_and_network() -> None:
    prices = cosine_prices(list(anytime()), levels=(0.9,))
    assert {price.label for price in prices} == {
        *(f"{arm.settler}, γ = 1" for arm in ARMS),
        f"{DUAL.settler}, γ = 0",
    }
    assert {price.cell for price in prices} == {
        "gain 0.7, untrained",
        "gain 0.7, 5 epochs",
        "gain 1, untrained",
        "gain 1, 5 epochs",
    }


def test_the_least_price_counts_though_dearer_points_fall_back() -> None:
    price = _only(cosine_prices(_bought([(2.0, 0.4), (3.0, 0.6), (4.0, 0.3), (5.0, 0.9)]), levels=(0.5,)))
    assert price.by_seed == {0: 3.0} and price.rungs == {0: "1+0"}
    assert price.mean == pytest.approx(3.0) and price.low is None and price.said() == "3"


def test_the_interval_is_students_over_the_logarithms_of_seeds() -> None:
    """Powers e⁰, e¹, e⁵ have logarithms of mean 2 and variance (4 + 1 + 9)/2."""
    prices = [math.exp(power) for power in (0, 1, 5)]
    points = [one for seed, price in enumerate(prices) for one in _bought([(price, 0.99)], seed)]
    price = _only(cosine_prices(points, levels=(0.9,)))
    half = T_2 * math.sqrt(7) / math.sqrt(3)
    assert price.mean == pytest.approx(math.exp(2))
    assert (price.low, price.high) == (pytest.approx(math.exp(2 - half)), pytest.approx(math.exp(2 + half)))


def test_a_seed_that_does_not_reach_the_level_leaves_no_mean() -> None:
    points = [*_bought([(2.0, 0.99)], 0), *_bought([(2.0, 0.8), (9.0, 0.85)], 1)]
    price = _only(cosine_prices(points, levels=(0.9,)))
    assert price.by_seed == {0: 2.0, 1: None} and price.reached == 1
    assert price.mean is None and price.low is None and price.shared is None
    assert price.said() == "not within 9 (1 of 2 seeds reach it)"


def test_one_budget_for_all_seeds_is_the_cheapest_that_each_of_them_reaches_with() -> None:
    points = [
        *_bought([(2.0, 0.99), (4.0, 0.2), (6.0, 0.99)], 0),
        *_bought([(2.0, 0.3), (4.0, 0.95), (7.0, 0.95)], 1),
    ]
    price = _only(cosine_prices(points, levels=(0.9,)))
    assert price.by_seed == {0: 2.0, 1: 4.0} and price.mean == pytest.approx(math.sqrt(8))
    assert price.shared == "2+0" and price.shared_price == pytest.approx(6.5)


def test_a_relaxation_can_be_chosen_with_the_budget() -> None:
    other = ANDERSON._replace(settler=SWEEP.settler)
    points = [*_bought([(5.0, 0.99)]), *_bought([(3.0, 0.99)], arm=other)]
    told = cosine_prices(points, levels=(0.9,))
    assert [price.label for price in told] == [f"{SWEEP.settler}, block", f"{SWEEP.settler}, anderson"]
    price = _only(cosine_prices(points, levels=(0.9,), chosen=("relaxation",)))
    assert price.by_seed == {0: 3.0} and price.rungs == {0: "0+0, anderson"} and "relaxation" not in price.axes


def test_a_chosen_axis_must_be_one_of_an_arm() -> None:
    with pytest.raises(UsageError, match="chosen='gain': known are relaxation, gamma, beta, precision"):
        cosine_prices([], chosen=("gain",))
    assert not issubclass(UsageError, ConfigurationError)


@pytest.mark.parametrize(
    "measures",
    [{"reference": {"free": "converged", "nudged": "budget"}}, {"outcome": "diverged"}, {"cosine_worst": None}],
    ids=["exact gradient not settled", "diverged", "no cosine"],
)
def test_what_judges_nothing_reaches_nothing(measures: dict[str, Any]) -> None:
    usual = {"cosine_worst": 0.999}
    assert judged_cosine(point("anytime", SWEEP, 0, None, **usual)) == 0.999
    doubtful = point("anytime", SWEEP, 0, None, **{**usual, **measures})
    assert judged_cosine(doubtful) is None
    assert _only(cosine_prices([doubtful], levels=(0.9,))).mean is None


def test_seconds_are_those_of_the_points_that_were_bought() -> None:
    points = [
        point("anytime", SWEEP, seed, {"budget": "1+1"}, cosine_worst=0.99, seconds=0.1 * (seed + 1), **ratios)
        for seed, ratios in enumerate([{"seconds_over_backprop": 2.0}, {"seconds_over_backprop": 4.0}])
    ]
    price = _only(cosine_prices(points, levels=(0.9,)))
    assert price.seconds == pytest.approx(0.15) and price.over_backprop == pytest.approx(3.0)
    assert price.over_compiled is None
    assert price.row()["seed 1"] == 1.0 and price.row()["n"] == 2 and price.row()["gamma"] == 1.0


def test_intervals_that_overlap_the_least_price_are_tied() -> None:
    arms = {"a": (1.0, 1.1), "b": (1.05, 1.12), "c": (30.0, 30.1), "d": (0.5, None)}
    points = [
        one
        for name, prices in arms.items()
        for seed, price in enumerate(prices)
        for one in _bought([(price or 1.0, 0.2 if price is None else 0.99)], seed, SWEEP._replace(settler=name))
    ]
    assert [price.label for price in cheapest(cosine_prices(points, levels=(0.9,)))] == ["a", "b"]


def test_one_seed_rules_out_nothing() -> None:
    points = [
        one
        for name, price in (("a", 1.0), ("b", 50.0))
        for one in _bought([(price, 0.99)], arm=SWEEP._replace(settler=name))
    ]
    assert [price.label for price in cheapest(cosine_prices(points, levels=(0.9,)))] == ["a", "b"]


def test_the_front_is_what_no_other_point_beats() -> None:
    generator = np.random.default_rng(3)
    found = [
        Rung(str(n), {}, "", float(price), float(0.6 * price + 0.3 * luck), 1)
        for n, (price, luck) in enumerate(generator.random((60, 2)))
    ]
    kept = front(found)
    beaten = {
        one.label
        for one in found
        if any(other.price <= one.price and other.cosine >= one.cosine and other is not one for other in found)
    }
    assert {one.label for one in found} - beaten == {one.label for one in kept} and 1 < len(kept) < 60


def test_rounding_beats_nothing() -> None:
    close = [Rung("cheap", {}, "", 1.0, 1 - 1e-12, 3), Rung("dear", {}, "", 2.0, 1.0, 3)]
    assert [rung.label for rung in front(close)] == ["cheap"]


def test_rungs_have_the_mean_price_and_the_least_cosine() -> None:
    points = [*_bought([(2.0, 0.9), (3.0, 0.95)], 0), *_bought([(4.0, 0.8), (3.0, None)], 1)]
    assert [(rung.budget, rung.price, rung.cosine, rung.n) for rung in rungs(points)] == [("0+0", 3.0, 0.8, 2)]


def test_the_interval_of_one_number_is_none() -> None:
    assert mean_interval([3.0]) is None and mean_interval([2.0, 2.0]) == pytest.approx((2.0, 2.0))


def test_blocks_may_have_a_suffix_after_a_dash() -> None:
    titles = ["anytime", "anytime-late", "anytime – wide", "anytimes", "tolerance"]
    record = {"points": [{"id": title, "blocks": [title]} for title in titles]}
    assert [point["id"] for point in points_of(record, "anytime")] == titles[:3]


def test_a_fixed_budget_takes_the_seconds_that_another_seed_was_timed_at() -> None:
    """A seed that was not timed is left out at a tolerance, where seeds take different steps."""
    points = [*_bought([(2.0, 0.99)], 0), *_bought([(2.0, 0.2), (3.0, 0.99)], 1)]
    for one, seconds, budget in zip(points, (0.3, 0.5, None), ("1+1", "2+1", "1+1"), strict=True):
        one["measures"]["seconds"] = seconds
        one["axes"]["budget"] = budget
    assert _only(cosine_prices(points, levels=(0.9,))).seconds == pytest.approx(0.3)
    points[2]["measures"]["seconds"] = 0.7
    assert _only(cosine_prices(points, levels=(0.9,))).seconds == pytest.approx(0.5)
    points[2]["measures"]["seconds"], points[2]["axes"]["budget"] = None, None
    assert _only(cosine_prices(points, levels=(0.9,))).seconds == pytest.approx(0.3)
