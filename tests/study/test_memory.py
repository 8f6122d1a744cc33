"""Peak memory against sizes known by hand."""

import sys

import pytest
import torch

from energy.study.memory import peak_bytes

CPU = torch.device("cpu")
MIB = 2**20


def _empty(count: int) -> torch.Tensor:
    return torch.empty(count * MIB, dtype=torch.uint8)


def test_the_peak_is_what_is_alive_at_once() -> None:
    def step() -> None:
        one = _empty(8)
        two = _empty(4)
        del one
        three = _empty(3)
        del two, three

    assert peak_bytes(step, CPU) == 12 * MIB


def test_what_was_there_before_does_not_count_and_what_stays_does() -> None:
    kept = [_empty(64)]
    assert peak_bytes(lambda: kept.append(_empty(5)), CPU) == 5 * MIB


def test_a_step_that_allocates_nothing_needs_nothing() -> None:
    x = torch.zeros(1000)
    assert peak_bytes(lambda: x.zero_(), CPU) == 0


def test_the_error_stream_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    peak_bytes(lambda: None, CPU)
    print("still here", file=sys.stderr)
    assert capfd.readouterr().err == "still here\n"
