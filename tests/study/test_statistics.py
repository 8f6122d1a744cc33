"""Means and deviations against numpy; tables as text."""

import numpy as np
import pytest

from energy.study.statistics import markdown, plus_minus, sample_statistics


@pytest.mark.parametrize("count", [2, 3, 5, 100])
def test_mean_and_deviation_are_numpys(count: int) -> None:
    values = list(np.random.default_rng(count).normal(97.0, 0.3, count))
    found = sample_statistics(values)
    assert found["mean"] == pytest.approx(np.mean(values), rel=1e-14)
    assert found["sd"] == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert found["n"] == count
    assert found["values"] == values


def test_close_values_lose_nothing_to_cancellation() -> None:
    values = [1e9, 1e9 + 1, 1e9 + 2]
    assert sample_statistics(values)["sd"] == 1.0


def test_one_value_has_no_deviation() -> None:
    found = sample_statistics([3.0])
    assert found["sd"] is None
    assert plus_minus(found, 1) == "3.0"


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_what_has_no_mean_is_an_error(values: list[float]) -> None:
    with pytest.raises(ValueError, match="summar"):
        sample_statistics(values)


def test_plus_minus() -> None:
    assert plus_minus(sample_statistics([1.0, 2.0, 3.0])) == "2.00 ± 1.00"


def test_a_table_is_aligned_and_escapes_bars() -> None:
    text = markdown(["cell", "value"], [["a|b", "1.5"], ["long name", "12"]])
    assert text == ("| cell      | value |\n| --------- | ----: |\n| a\\|b      |   1.5 |\n| long name |    12 |\n")
