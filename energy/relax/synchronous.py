"""All layers at once, with damping."""

from __future__ import annotations

import torch
from torch import Tensor

from energy.component import require
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.state import State


class Synchronous(Relaxation, name="synchronous"):
    """s ← s + (1 − damping)(f(J(s)) − s) for all layers at once.

    Attributes:
        damping: in [0, 1). Undamped it can circle between two states; ½ settles more often, half as fast.
    """

    damping: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.damping < 1, self, "damping", "in [0, 1)")

    def step(self, problem: Problem, state: State, memory: None) -> tuple[State, None]:
        response = problem.response(state)
        return (state + (response - state) * (1 - self.damping) if self.damping else response), None

    def contraction_rate(self, lowest: Tensor, highest: Tensor) -> Tensor:
        """Return max |d + (1 − d)λ| over both ends of the spectrum, d being the damping."""
        return torch.maximum(*((self.damping + (1 - self.damping) * end).abs() for end in (lowest, highest)))
