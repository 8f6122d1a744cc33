"""A way down the energy: one `step` of it. The loop around the step is the solver's."""

from __future__ import annotations

from typing import Any, ClassVar

from energy.component import Component, require
from energy.errors import UsageTypeError
from energy.relax.problem import Problem
from energy.state import State


class Relaxation(Component):
    """Fields every relaxation has; a subclass defines `step`.

    max_steps: the budget. tolerance: the relative residual at which a sample counts as converged; 0 runs exactly
    `max_steps` and asks for no convergence. check_every: how many steps pass between two looks at the residual, each of
    which reads the device once."""

    group: ClassVar[str] = "relax"
    max_steps: int = 100
    tolerance: float = 1e-4
    check_every: int = 4

    def __post_init__(self) -> None:
        require(self.max_steps >= 1, self, "max_steps", ">= 1")
        require(0 <= self.tolerance < 1, self, "tolerance", "in [0, 1)")
        require(self.check_every >= 1, self, "check_every", ">= 1")

    def step(self, problem: Problem, state: State, memory: Any) -> tuple[State, Any]:
        """The next state, and what the relaxation wants to remember; `memory` is None at the first step."""
        raise NotImplementedError(f"{type(self).__name__} must define step(problem, state, memory)")

    def residual(self, problem: Problem, before: State, after: State) -> State:
        """response − state at `after`. A relaxation whose step sets every layer to its response may return what the
        step changed.
        """
        return problem.response(after) - after


def returned(relax: Relaxation, answer: Any) -> tuple[State, Any]:
    """(state, memory), what a step must have returned.

    Raises TypeError that says what it has returned instead."""
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], State):
        return answer
    inside = f" of {', '.join(type(one).__name__ for one in answer[:4])}" if isinstance(answer, tuple | list) else ""
    raise UsageTypeError(
        f"{type(relax).__name__}.step returned a {type(answer).__name__}{inside}: must return (State, memory), the "
        "next state and what the next step is to be told"
    )
