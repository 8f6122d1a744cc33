"""Even/odd updates: all layers of one color respond together."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from energy.relax.layered import require_layers
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.state import State


class Zebra(Relaxation, name="zebra"):
    """Layers of one color respond together, color after color; a chain has two, a graph with skips as many as it needs.

    A step costs 2(U − U₁) for one replica, like a sweep.

    Reference:
        Scellier et al., NeurIPS 2023 (the block scheme, here colored for any graph).
    """

    monotone: ClassVar[bool] = True

    def step(self, problem: Problem, state: State, memory: None) -> tuple[State, None]:
        layered = require_layers(problem, self.name)
        for layers in layered.colors:
            state = layered.update_layers(state, layers)
        return state, None

    def residual(self, problem: Problem, before: State, after: State) -> State:
        return after - before

    def contraction_rate(self, lowest: Tensor, highest: Tensor) -> Tensor:
        """Return ρ², the rate on a chain (Young 1971); a graph of more colors comes close to it, without a law."""
        return torch.maximum(lowest.abs(), highest.abs()).square()
