"""The interface of a relaxation: one `step` down the energy. The loop around the step is the solver's."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from energy.component import Component, require
from energy.errors import UsageTypeError
from energy.relax.problem import Problem
from energy.state import State


class Relaxation(Component):
    """A way down the energy; a subclass defines `step`.

    Attributes:
        max_steps: the budget.
        tolerance: the relative residual at which a sample counts as converged; 0 runs exactly `max_steps` and asks for
            no convergence.
        check_every: steps between two looks at the residual, each of which reads the device once.
        drop_converged: let samples leave the batch once they have converged, an eighth of it at a time, so that the
            others go on at a lower price (`energy.relax.leaving`).
        bfloat16_until: take the first steps in bfloat16, down to this residual; 0 for none (`energy.relax.early`).
    """

    group: ClassVar[str] = "relax"
    monotone: ClassVar[bool] = False  # its residual does not rise, so that the last state is the best one
    max_steps: int = 100
    tolerance: float = 1e-4
    check_every: int = 4
    drop_converged: bool = False
    bfloat16_until: float = 0.0

    def __post_init__(self) -> None:
        require(self.max_steps >= 1, self, "max_steps", ">= 1")
        require(0 <= self.tolerance < 1, self, "tolerance", "in [0, 1)")
        require(self.check_every >= 1, self, "check_every", ">= 1")
        require(0 <= self.bfloat16_until < 1, self, "bfloat16_until", "a residual in [0, 1)")

    def step(self, problem: Problem, state: State, memory: Any) -> tuple[State, Any]:
        """Return the next state, and a memory for the next step.

        Args:
            problem: its `response` is the direction of the equilibrium.
            state: the present state.
            memory: as the last step returned it, None at the first. Tensors in it have the sample as their first axis.
        """
        raise NotImplementedError(f"{type(self).__name__} must define step(problem, state, memory)")

    def argument(self, problem: Problem, state: State) -> State:
        """Return the tensors that the next step depends on: `state`, unless a step reads something else.

        Args:
            problem: the problem.
            state: the present state.
        """
        return state

    def replace_argument(self, problem: Problem, state: State, argument: State) -> State:
        """Return the state from which the next step goes on, after `argument` took the place of its argument.

        Args:
            problem: the problem.
            state: the present state.
            argument: as returned by `argument`, moved.
        """
        return argument

    def residual(self, problem: Problem, before: State, after: State) -> State:
        """Return response − state at `after`, or the step's own change if a step sets every layer to its response.

        Args:
            problem: the problem.
            before, after: the states around the last step.
        """
        return problem.response(after) - after

    def contraction_rate(self, lowest: Tensor, highest: Tensor) -> Tensor | None:
        """Return the factor by which a step near the equilibrium shortens a deviation, or a bound on it from above.

        Args:
            lowest, highest: the ends of the spectrum of the linearized response there (`energy.relax.spectrum`), (B,).

        Returns:
            (B,); None for a relaxation without a law, as this one is unless it defines this method.
        """
        return None

    def spent(self, memory: Any) -> bool:
        """Return True if a budget of this relaxation's own is used up, which ends the solve at its next look.

        Args:
            memory: as the last step returned it.
        """
        return False


def returned(relax: Relaxation, answer: Any) -> tuple[State, Any]:
    """Return a step's `answer` once it is known to be (state, memory).

    Raises:
        TypeError: if it is anything else, which the message describes.
    """
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], State):
        return answer
    inside = f" of {', '.join(type(one).__name__ for one in answer[:4])}" if isinstance(answer, tuple | list) else ""
    raise UsageTypeError(
        f"{type(relax).__name__}.step returned a {type(answer).__name__}{inside}: must return (State, memory), the "
        "next state and the memory that the next step is given"
    )
