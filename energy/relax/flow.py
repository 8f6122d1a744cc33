"""The gradient flow ds/dt = f(J(s)) − s, by Runge–Kutta steps of fixed length; nothing is read from the device."""

from __future__ import annotations

import enum
import math

import torch
from torch import Tensor

from energy.component import require
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.state import State


class Method(enum.Enum):
    """Integrators of fixed step, named as in torchdiffeq; evaluations of the response per step: 1, 2, 4."""

    EULER = "euler"
    MIDPOINT = "midpoint"
    RK4 = "rk4"


class Flow(Relaxation, name="flow"):
    """The gradient flow ds/dt = f(J(s)) − s.

    For G = s²/2 the right side is −∂E/∂s inside the bounds, and for any other G it vanishes at the same states.

    Attributes:
        time: length of a step, in units of the layers' time constant.
        method: the integrator; `rk4` is Kutta's 3/8 rule.
    """

    time: float = 0.5
    method: Method = Method.RK4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.time < float("inf"), self, "time", "> 0 and finite")

    def step(self, problem: Problem, state: State, memory: None) -> tuple[State, None]:
        def velocity(now: State) -> State:
            return problem.response(now) - now

        time, first = self.time, velocity(state)
        if self.method is Method.EULER:
            return state + first * time, None
        if self.method is Method.MIDPOINT:
            return state + velocity(state + first * (time / 2)) * time, None
        second = velocity(state + first * time * (1 / 3))
        third = velocity(state + (second - first * (1 / 3)) * time)
        fourth = velocity(state + (first - second + third) * time)
        return state + (first + (second + third) * 3 + fourth) * time * 0.125, None

    def contraction_rate(self, lowest: Tensor, highest: Tensor) -> Tensor:
        """Return max |R(h(λ − 1))| over both ends of the spectrum: h is the time, R(z) the method's share of eᶻ."""
        return torch.maximum(*(self._growth((end - 1) * self.time).abs() for end in (lowest, highest)))

    def _growth(self, z: Tensor) -> Tensor:
        order = {Method.EULER: 1, Method.MIDPOINT: 2, Method.RK4: 4}[self.method]
        terms = [z**power / math.factorial(power) for power in range(order + 1)]
        return torch.stack(terms).sum(0)
