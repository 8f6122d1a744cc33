"""A watch over solves: a function that sees the state after every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from energy.relax.block import BlockEnd, Point, Run
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.state import State

See = Callable[[Problem, State, int], None]  # the problem, its state, and the steps taken so far

_watch: ContextVar[See | None] = ContextVar("watch", default=None)


@contextmanager
def watching(see: See) -> Iterator[None]:
    """Call see(problem, state, steps) after every step of every solve while the context lasts.

    Nothing else changes: neither the numbers nor the looks. A step that a rule carries out itself, as the last one of a
    fixed number is under `Settler.settle_once`, is not seen, nor is one inside a program.

    Args:
        see: must not write to a state.

    Example:
        >>> import torch
        >>> from energy.relax import Synchronous, solve
        >>> from energy.relax.custom import EnergyProblem
        >>> problem = EnergyProblem(lambda x, s, theta: (s[0] - x).square().sum(1) / 2, torch.ones(1, 2), {})
        >>> with watching(lambda problem, state, steps: print(steps, float(problem.value(state)))):
        ...     found = solve(problem, State([torch.zeros(1, 2)]), Synchronous(damping=0.5, max_steps=2, tolerance=0.0))
        1 0.25
        2 0.0625
    """
    token = _watch.set(see)
    try:
        yield
    finally:
        _watch.reset(token)


def watched(run: Run) -> Run:
    """Return `run`, step by step under the eyes of `watching` if there are any."""
    see = _watch.get()
    if see is None:
        return run
    taken = 0

    def stepwise(problem: Any, relax: Relaxation, point: Point, steps: int) -> BlockEnd | None:
        nonlocal taken
        end, blind = None, dataclasses.replace(relax, tolerance=0.0)  # which looks at no residual
        for left in reversed(range(steps)):
            end = run(problem, blind if left else relax, point, 1)
            taken += 1
            see(problem, point.state, taken)
        return end

    return stepwise
