"""Symmetric Gauss–Seidel: layers respond one after the other, up and down."""

from __future__ import annotations

from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.state import State


class Sweep(Relaxation, name="sweep"):
    """One bottom-up and one top-down half-sweep, s_k ← f(J(s)_k) at each visit.

    Going up a layer hears only the layers below, going down only those above: the other direction has no news. A step
    costs 2(U − U₁) for one replica, twice that for a dyad at γ > 0; the upward half of the first step costs nothing
    after a bottom-up start, so at γ = 0 one step on a dyad is exactly the top-down pass of back-propagation. With G =
    s²/2 on an interval and without max-pooling each visit minimises the energy over that layer, so the energy never
    rises."""

    def step(self, problem: Problem, state: State, memory: None) -> tuple[State, None]:
        layers = range(1, problem.depth + 1)
        if not problem.fresh:
            for k in layers:
                state = problem.visit(state, [k], below=True)
        elif problem.closing:
            problem.empty(state, layers)  # going down, each is set before anyone reads it
        for k in reversed(layers):
            state = problem.visit(state, [k], above=True, last=True)
        return state, None

    def residual(self, problem: Problem, before: State, after: State) -> State:
        return after - before
