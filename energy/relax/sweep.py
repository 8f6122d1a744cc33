"""Symmetric Gauss–Seidel: layers respond one after the other, up and down; with momentum on the downward messages."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from energy.component import require
from energy.relax.layered import Layered, require_layers
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.state import State

Memory = tuple[State, State]


class Sweep(Relaxation, name="sweep"):
    """One bottom-up and one top-down half-sweep, s_k ← f(J(s)_k) at each visit.

    Going up a layer receives only from the layers below, going down only from those above: the other side has not
    changed. A step costs 2(U − U₁) for one replica, twice that for a dyad at γ > 0; the upward half of the first step
    costs nothing after a bottom-up start, so at γ = 0 one step on a dyad is exactly the top-down pass of
    back-propagation. With G = s²/2 on an interval and without max-pooling each visit minimizes the energy over that
    layer, so without momentum the energy never rises.

    Attributes:
        momentum: μ of Nesterov's extrapolation. The step after a top-down half depends on the downward messages g
            alone, so these are extrapolated, x ← g + μ(g − g_before), at no coupling application: the upward half
            receives x, and its states stay within bounds, with switches of their own. A sample whose steps turn,
            ⟨g − x, g − g_before⟩ ≤ 0 with the last x, goes on from g (the gradient restart of O'Donoghue & Candès,
            2015).
    """

    monotone: ClassVar[bool] = True
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.momentum < 1, self, "momentum", "in [0, 1)")

    def step(self, problem: Problem, state: State, memory: Memory | None) -> tuple[State, Memory | None]:
        layered = require_layers(problem, self.name)
        state = layered.top_down(layered.bottom_up(state))
        return state, self._extrapolate(layered, memory) if self.momentum else None

    def _extrapolate(self, problem: Layered, memory: Memory | None) -> Memory | None:
        """Put x in the place of g, and return (x, g)."""
        sent = problem.sent_down()
        if not len(sent):
            return None
        if memory is None:
            return sent, sent
        received, before = memory
        change = sent - before
        going_on = (sent - received).dot(change) > 0
        onward = sent + change.weighted(going_on.to(sent[0].dtype) * self.momentum)
        problem.replace_sent_down(onward)
        return onward, sent

    def residual(self, problem: Problem, before: State, after: State) -> State:
        return after - before

    def contraction_rate(self, lowest: Tensor, highest: Tensor) -> Tensor:
        """Return a bound: ρ² without momentum, which two layers reach; with it, that of Nesterov's recursion at ρ².

        z² = ρ²((1 + μ)z − μ) without a restart; restarts were nowhere measured to be slower on a linear chain.
        """
        size = torch.maximum(lowest.abs(), highest.abs()).square()
        half = size * (1 + self.momentum) / 2
        inside = half.square() - size * self.momentum
        return torch.where(inside < 0, (size * self.momentum).sqrt(), half + inside.clamp_min(0).sqrt())
