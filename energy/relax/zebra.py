"""Even/odd updates: all layers of one colour respond together."""

from __future__ import annotations

from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.state import State


class Zebra(Relaxation, name="zebra"):
    """Layers of one colour respond together, colour after colour; a chain has two, a graph with skips as many as it
    needs.

    A step costs 2(U − U₁) for one replica, like a sweep. Source: the block scheme of Scellier et al. (2023), coloured
    for any graph."""

    def step(self, problem: Problem, state: State, memory: None) -> tuple[State, None]:
        for layers in problem.colours:
            state = problem.visit(state, layers, below=True, above=True)
        return state, None

    def residual(self, problem: Problem, before: State, after: State) -> State:
        return after - before
