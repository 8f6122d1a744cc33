"""The arithmetic of the benchmarks, on times that are known."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.benchmarks.timing import Record, interleaved, ratio, rows


def test_the_ratio_is_taken_within_rounds() -> None:
    """The machine slows down eightfold meanwhile; one step takes twice the time of the other all along."""
    slower = np.geomspace(1.0, 8.0, 12)
    found = ratio(2.0 * slower, slower)
    assert (found.median, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_the_interval_has_the_true_ratio_in_it_and_narrows() -> None:
    """Noise of 10 % around 1.5: the standard error of a median of n is 1.25 σ/√n."""
    noise = np.random.default_rng(1).normal(0, 0.15, 400)
    wide, narrow = (ratio(1.5 + noise[:n], np.ones(n)) for n in (25, 400))
    assert wide.low < 1.5 < wide.high and narrow.low < 1.5 < narrow.high
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 * 1.25 * 0.15 / 20, rel=0.5)
    assert ratio(1.5 + noise, np.ones(400)) == ratio(1.5 + noise, np.ones(400))


def test_every_candidate_goes_first_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGY_BENCH_PAIRS", "3")
    taken: list[str] = []
    times = interleaved({name: lambda name=name: taken.append(name) for name in "abc"})
    assert "".join(taken) == "abc" + "abc" + "bca" + "cab"
    assert {name: len(found) for name, found in times.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_slow_measurement_stops_after_three_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGY_BENCH_SECONDS", "0")
    assert len(interleaved({"a": lambda: None})["a"]) == 3


def test_a_record_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGY_BENCH", str(tmp_path))
    record = Record("some", torch.device("cpu"))
    record.add(*rows({"a": [1.0, 3.0, 2.0], "b": [2.0, 6.0, 4.0]}, "a", group="one"))
    found = json.loads((tmp_path / "some.json").read_text())
    assert set(found) == {"benchmark", "device_name", "threads", "torch", "commit", "rows"}
    assert [(row["group"], row["name"], row["seconds"], row["ratio"]) for row in found["rows"]] == [
        ("one", "a", 2.0, 1.0),
        ("one", "b", 4.0, 2.0),
    ]
