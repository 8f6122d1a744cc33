"""Peak memory and moved bytes against sizes known by hand."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from energy.study.memory import moved_bytes, peak_bytes

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


N = 96


def _vectors() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.ones(N), torch.ones(N)


def test_an_addition_reads_two_and_writes_one() -> None:
    a, b = _vectors()
    assert moved_bytes(lambda: a + b) == 3 * 4 * N
    assert moved_bytes(lambda: a.add_(b)) == 3 * 4 * N
    out = torch.ones(N)
    assert moved_bytes(lambda: torch.add(a, b, out=out)) == 3 * 4 * N


def test_an_argument_given_twice_is_read_once() -> None:
    a, _ = _vectors()
    assert moved_bytes(lambda: a * a) == 2 * 4 * N


def test_a_product_of_matrices() -> None:
    m, k, n = 3, 5, 7
    assert moved_bytes(lambda: torch.ones(m, k) @ torch.ones(k, n)) == 4 * (
        m * k + k * n + (m * k + k * n + m * n)
    )  # each factor is written before it is read
    x, y = torch.ones(m, k), torch.ones(k, n)
    assert moved_bytes(lambda: x @ y) == 4 * (m * k + k * n + m * n)
    half = x.to(torch.bfloat16), y.to(torch.bfloat16)
    assert moved_bytes(lambda: half[0] @ half[1]) == 2 * (m * k + k * n + m * n)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a.view(8, -1).t()[1:3],
        lambda a: a.expand(10, N),
        lambda a: a.detach(),
        lambda a: a.split(8),
        lambda a: a.reshape(8, -1).contiguous(),
        lambda a: a.unsqueeze_(0).squeeze_(0),
        lambda a: torch.empty_like(a),
        lambda a: a.shape[0] + a.dim(),
    ],
)
def test_a_view_moves_nothing(view: Callable[[torch.Tensor], object]) -> None:
    assert moved_bytes(lambda: view(torch.empty(N))) == 0


def test_a_copy_that_a_view_asks_for_moves() -> None:
    a = torch.ones(8, N)
    assert moved_bytes(lambda: a.t().contiguous()) == 2 * 4 * 8 * N


def test_repeated_places_are_read_once() -> None:
    """Of the expanded vector there are N numbers, of the sum ten times as many."""
    a, b = torch.ones(N), torch.ones(10, N)
    assert moved_bytes(lambda: a.expand(10, N) + b) == 4 * (N + 10 * N + 10 * N)


def test_lists_of_tensors_count_with_all_of_them() -> None:
    a, b = _vectors()
    assert moved_bytes(lambda: torch.cat([a, b])) == 2 * 2 * 4 * N
    add: Any = vars(torch)["_foreach_add_"]
    assert moved_bytes(lambda: add([a, b], [b.clone(), a.clone()])) == 2 * 2 * 4 * N + 2 * 3 * 4 * N


def test_a_backward_pass_counts() -> None:
    """Forward the product and its sum; back the ones of its gradient, expanded from one, and two products."""
    m, k, n = 3, 5, 7
    x, w = torch.ones(m, k, requires_grad=True), torch.ones(k, n, requires_grad=True)
    forward = 4 * (m * k + k * n + m * n) + 4 * (m * n + 1)
    assert moved_bytes(lambda: (x @ w).sum()) == forward
    back = 4 * 1 + 4 * (1 + k * n + m * k) + 4 * (1 + m * k + k * n)
    assert moved_bytes(lambda: (x @ w).sum().backward()) == forward + back


def test_nothing_is_counted_after_the_step() -> None:
    a, b = _vectors()
    assert moved_bytes(lambda: None) == 0
    assert torch.equal(a + b, 2 * torch.ones(N)) and moved_bytes(lambda: a + b) == 3 * 4 * N
