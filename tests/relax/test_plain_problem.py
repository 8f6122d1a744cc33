"""A problem is four things: `batch`, `device`, `response` and `name`. Nothing else is asked of one without layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.relax import Flow, Outcome, Relaxation, Sweep, Synchronous, Zebra, solve
from energy.relax.flow import Method
from energy.state import State

M = 0.3 * torch.tensor([[0.0, 1.0, -1.0], [1.0, 0.0, 0.5], [0.2, -0.4, 0.0]], dtype=torch.float64)
B = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], dtype=torch.float64)


class Plain:
    """s ← M s + b, in two tensors of two and one units; no base class."""

    def __init__(self, scale: float = 1.0) -> None:
        self.batch, self.device, self.scale = len(B), torch.device("cpu"), scale

    def response(self, state: State) -> State:
        after = torch.cat(state.tensors, 1) @ (self.scale * M).T + B
        return State((after[:, :2], after[:, 2:]))

    def name(self, index: int) -> str:
        return ("pair", "last")[index]


def start() -> State:
    return State((torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)))


def fixed_point() -> Tensor:
    """(1 − M)⁻¹ b."""
    return torch.linalg.solve(torch.eye(3, dtype=torch.float64) - M, B.T).T


@pytest.mark.parametrize(
    "relax",
    [
        Synchronous(max_steps=200, tolerance=1e-13),
        Synchronous(max_steps=300, tolerance=1e-13, damping=0.4),
        Flow(max_steps=300, tolerance=1e-13, time=0.8),
        Flow(max_steps=300, tolerance=1e-13, method=Method.EULER),
    ],
    ids=str,
)
def test_it_is_solved(relax: Relaxation) -> None:
    solution = solve(Plain(), start(), relax)
    assert solution.outcome is Outcome.CONVERGED and bool(solution.converged.all())
    torch.testing.assert_close(torch.cat(solution.state.tensors, 1), fixed_point(), rtol=0, atol=1e-11)
    assert solution.output is not None and solution.output.shape == (2, 1)
    assert solution.taken == int(solution.steps.max()) < relax.max_steps


def test_the_output_is_where_it_is_said_to_be() -> None:
    solution = solve(Plain(), start(), Synchronous(max_steps=200, tolerance=1e-13), output=0)
    assert solution.output is not None
    torch.testing.assert_close(solution.output, fixed_point()[:, :2], rtol=0, atol=1e-11)


def test_a_fixed_number_of_steps_is_taken() -> None:
    """s₃ = b + M b + M² b from s₀ = 0, and nothing is asked."""
    solution = solve(Plain(), start(), Synchronous(max_steps=3, tolerance=0.0))
    wanted = (B.T + M @ B.T + M @ M @ B.T).T
    torch.testing.assert_close(torch.cat(solution.state.tensors, 1), wanted, rtol=0, atol=1e-14)
    assert solution.outcome is Outcome.FIXED and solution.taken == 3 and not solution.converged.any()


def test_what_diverges_is_named_by_it() -> None:
    """The spectral radius of 9 M is above 1."""
    assert float(torch.linalg.eigvals(9 * M).abs().max()) > 1
    solution = solve(Plain(9.0), start(), Synchronous(max_steps=400))
    assert solution.outcome is Outcome.DIVERGED and solution.layer in {"pair", "last"}


@pytest.mark.parametrize("relax", [Sweep(), Sweep(momentum=0.5), Zebra()])
def test_a_relaxation_of_layers_refuses_it(relax: Relaxation) -> None:
    words = rf"relax={relax.name}: must be flow or synchronous: Plain has no layers to update one by one"
    with pytest.raises(ConfigurationError, match=words):
        solve(Plain(), start(), relax)
