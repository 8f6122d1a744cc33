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

    def argument(self, problem: Problem, state: State) -> State:
        """Return the downward messages, on which alone the step after a top-down half depends."""
        return require_layers(problem, self.name).sent_down()

    def replace_argument(self, problem: Problem, state: State, argument: State) -> State:
        require_layers(problem, self.name).replace_sent_down(argument)
        return state

    def step(self, problem: Problem, state: State, memory: State | None) -> tuple[State, State | None]:
        layered = require_layers(problem, self.name)
        received = layered.sent_down() if self.momentum else None
        state = layered.top_down(layered.bottom_up(state))
        return state, None if received is None else self._extrapolate(layered, state, received, memory)

    def _extrapolate(self, problem: Layered, state: State, received: State, before: State | None) -> State:
        """Put x in the place of g, and return g."""
        sent = self.argument(problem, state)
        if before is not None and len(sent):
            change = sent - before
            going_on = (sent - received).dot(change) > 0
            onward = sent + change.weighted(going_on.to(sent[0].dtype) * self.momentum)
            self.replace_argument(problem, state, onward)
        return sent

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
