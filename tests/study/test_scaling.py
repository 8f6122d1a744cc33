"""Fitted powers, against powers that were put in and against the textbook formula of the interval."""

import math
from typing import Any

import numpy as np
import pytest

from energy.study.points import points_of
from energy.study.scaling import exponents, grown, lawful_sweeps
from tests.study.records import ANDERSON, EXPONENTS, SWEEP, converged, point, scaling

BLOCKS = {"depth": "scaling-depth", "units": "scaling-width", "batch": "scaling-batch"}


def _points(sweeps: dict[int, list[int]], axis: str = "depth") -> list[dict[str, Any]]:
    return [
        point("scaling", SWEEP, seed, {axis: value}, outcome="converged", steps={"free": count})
        for value, counts in sweeps.items()
        for seed, count in enumerate(counts)
    ]


@pytest.mark.parametrize("axis", list(BLOCKS))
def test_the_power_that_was_put_in_is_found(axis: str) -> None:
    fits = exponents(points_of({"points": list(scaling())}, BLOCKS[axis]), axis)
    assert [fit.label for fit in fits] == [SWEEP.settler, ANDERSON.settler]
    for fit in fits:
        assert fit.power == pytest.approx(EXPONENTS[axis], abs=1e-3) and fit.low < fit.power < fit.high
        assert fit.left_out == 0


def test_an_exact_power_has_no_interval_to_speak_of() -> None:
    (fit,) = exponents(_points({1: [7], 2: [28], 4: [112], 8: [448]}), "depth")
    assert (fit.power, fit.scale) == (pytest.approx(2.0), pytest.approx(7.0))
    assert fit.high - fit.low < 1e-6 and fit.at(16) == pytest.approx(7 * 256) and fit.said() == "2.00 (2.00 to 2.00)"


def test_the_interval_is_that_of_least_squares() -> None:
    """±t s / √Σ(x − x̄)², with s² the squares that are left over n − 2; t of 4 degrees from its closed form."""
    counts = {2: [10, 14], 4: [22, 19], 8: [60, 41]}
    (fit,) = exponents(_points(counts), "depth")
    x = np.log([value for value, found in counts.items() for _ in found])
    y = np.log([count for found in counts.values() for count in found])
    slope = ((x - x.mean()) @ (y - y.mean())) / ((x - x.mean()) @ (x - x.mean()))
    left = y - y.mean() - slope * (x - x.mean())
    t = 2.7764451051977987
    sine = t / math.sqrt(t * t + 4)  # the probability between −t and t is sine (1 + cosine² / 2)
    assert sine * (1 + (1 - sine**2) / 2) == pytest.approx(0.95, abs=1e-9)
    half = t * math.sqrt(left @ left / 4 / ((x - x.mean()) @ (x - x.mean())))
    assert (fit.power, fit.low, fit.high) == (
        pytest.approx(slope),
        pytest.approx(slope - half),
        pytest.approx(slope + half),
    )
    assert (fit.n, fit.values) == (6, 3)


def test_two_values_are_no_law() -> None:
    assert exponents(_points({2: [10, 14], 4: [22, 19]}), "depth") == []


def test_points_that_did_not_converge_and_values_of_zero_are_left_out() -> None:
    points = _points({0: [5], 1: [7], 2: [28], 4: [112]}, "age")
    points.append(converged("scaling", SWEEP, 0, 9000, {"age": 8}, outcome="budget"))
    (fit,) = exponents(points, "age")
    assert (fit.power, fit.n, fit.left_out) == (pytest.approx(2.0), 3, 1)


def test_networks_that_differ_in_another_axis_are_told_apart() -> None:
    points = [
        point("scaling", SWEEP, 0, {"depth": depth, "gain": gain, "units": 64 * depth})
        for depth in (2, 4)
        for gain in (0.7, 1.0)
    ]
    assert list(grown(points, "depth")) == [f"{SWEEP.settler}; gain {gain}, untrained" for gain in ("0.7", "1")]


@pytest.mark.parametrize(("rate", "tolerance"), [(0.5, 1e-3), (0.99, 1e-6)])
def test_the_law_is_the_root_of_its_equation(rate: float, tolerance: float) -> None:
    sweeps = lawful_sweeps(rate, tolerance)
    assert sweeps is not None and rate**sweeps == pytest.approx(tolerance)


@pytest.mark.parametrize(("rate", "tolerance"), [(1.0, 1e-3), (0.0, 1e-3), (None, 1e-3), (0.5, None)])
def test_the_law_says_nothing_where_nothing_contracts(rate: float | None, tolerance: float | None) -> None:
    assert lawful_sweeps(rate, tolerance) is None
