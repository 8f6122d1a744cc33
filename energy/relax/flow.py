"""The gradient flow ds/dt = f(J(s)) − s, integrated by torchdiffeq."""

from __future__ import annotations

import enum

import torch
from torch import Tensor

from energy.component import require
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.state import State


class Method(enum.Enum):
    """Fixed-step integrators of torchdiffeq; evaluations of the response a step: 1, 2, 4."""

    EULER = "euler"
    MIDPOINT = "midpoint"
    RK4 = "rk4"


class Flow(Relaxation, name="flow"):
    """One step follows the flow for `time` units of the layers' time constant. Where G = s²/2 inside its bounds the
    right side is −∂E/∂s, and elsewhere it vanishes at the same states. torchdiffeq is imported on first use.
    """

    time: float = 0.5
    method: Method = Method.RK4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.time > 0, self, "time", "> 0")

    def step(self, problem: Problem, state: State, memory: None) -> tuple[State, None]:
        from torchdiffeq import odeint

        def velocity(_: Tensor, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            now = State(tensors)
            return (problem.response(now) - now).tensors

        dtype = torch.promote_types(state[0].dtype, torch.float32)
        span = torch.tensor([0.0, self.time], dtype=dtype, device=state[0].device)
        ends = odeint(velocity, tuple(t.contiguous() for t in state), span, method=self.method.value)
        return State(end[-1] for end in ends), None
