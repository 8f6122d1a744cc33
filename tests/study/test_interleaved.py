"""Steps in turn on a clock that the steps themselves move; ratios against numbers known by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from energy.errors import UsageError
from energy.study import interleaved as module
from energy.study.interleaved import interleaved, median_ratio

CPU = torch.device("cpu")


class Clock:
    """Stands still but for the steps, which take as long as they are told to, and are written down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.taken: list[str] = []
        monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)

    def step(self, label: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.taken.append(label)
            self.now += seconds

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_each_round_begins_one_place_further(clock: Clock) -> None:
    steps = {label: clock.step(label, 1.0) for label in "abc"}
    interleaved(steps, rounds=4, seconds=math.inf, device=CPU)
    assert "".join(clock.taken) == "abcbcacababc"


def test_the_seconds_of_a_step_are_its_own(clock: Clock) -> None:
    steps = {"fast": clock.step("fast", 0.25), "slow": clock.step("slow", 2.0)}
    assert interleaved(steps, rounds=3, seconds=1e9, device=CPU) == {"fast": [0.25] * 3, "slow": [2.0] * 3}


@pytest.mark.parametrize(("rounds", "seconds", "taken"), [(9, 0.1, 3), (2, 0.1, 2), (9, 10.5, 6), (5, 1e9, 5)])
def test_it_ends_after_the_seconds_but_not_before_three_rounds(
    clock: Clock, rounds: int, seconds: float, taken: int
) -> None:
    """A round takes two seconds; one that begins after 10 s ends after 12, and none begins then."""
    steps = {"a": clock.step("a", 1.0), "b": clock.step("b", 1.0)}
    times = interleaved(steps, rounds=rounds, seconds=seconds, device=CPU)
    assert {label: len(found) for label, found in times.items()} == {"a": taken, "b": taken}


def test_work_on_a_cuda_device_is_waited_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step only starts half a second of work, which the wait after it lets pass."""
    left = []

    def wait(device: torch.device) -> None:
        assert device.type == "cuda"
        clock.now += left.pop() if left else 0.0

    monkeypatch.setattr(torch.cuda, "synchronize", wait)
    times = interleaved({"a": lambda: left.append(0.5)}, rounds=2, seconds=9, device=torch.device("cuda"))
    assert times == {"a": [0.5, 0.5]}


@pytest.mark.parametrize(("count", "rounds", "seconds"), [(0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.0), (1, 1, math.nan)])
def test_nothing_to_time_is_refused(count: int, rounds: int, seconds: float) -> None:
    with pytest.raises(UsageError, match=f"{count} steps, rounds={rounds}"):
        interleaved({"a": lambda: None} if count else {}, rounds=rounds, seconds=seconds, device=CPU)


def test_the_ratio_is_taken_within_a_round() -> None:
    """The machine is ten times slower in the second round; a ratio of medians would be 4 / 2."""
    times = {"a": [3.0, 40.0, 4.0], "b": [1.0, 10.0, 2.0]}
    found = median_ratio(times, "a", "b")
    assert (found.ratio, found.low, found.high) == (3.0, 2.0, 4.0)
    assert median_ratio(times, "b", "b") == module.MedianRatio(1.0, 1.0, 1.0)


def test_a_single_round_has_no_interval() -> None:
    assert median_ratio({"a": [3.0], "b": [2.0]}, "a", "b") == module.MedianRatio(1.5, None, None)


def test_the_interval_is_that_of_a_median() -> None:
    """The standard error of the median of n normal numbers is σ √(π/2n)."""
    ratios = np.random.default_rng(0).normal(2.0, 0.1, 400)
    found = median_ratio({"a": ratios.tolist(), "b": [1.0] * 400}, "a", "b")
    assert found.low is not None and found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.1 * math.sqrt(math.pi / 800), rel=0.3)
    assert found.low < found.ratio < found.high


def test_mistakes_in_a_ratio_are_named() -> None:
    times = {"back": [1.0], "forth": [2.0, 3.0], "none": [], "zero": [0.0]}
    with pytest.raises(UsageError, match="did you mean 'back'"):
        median_ratio(times, "bak", "forth")
    for of, reference in (("back", "forth"), ("none", "none"), ("back", "zero")):
        with pytest.raises(UsageError, match="must have the same rounds"):
            median_ratio(times, of, reference)
