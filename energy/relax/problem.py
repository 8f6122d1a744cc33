"""The least that a relaxation and the solver know of what they solve."""

from __future__ import annotations

from typing import Protocol

import torch

from energy.state import State


class Problem(Protocol):
    """s = response(s) for a batch of states.

    A network's layers are one (`energy.relax.layered.Layered`, which also offers half-sweeps), any differentiable
    energy is another (`energy.relax.custom.EnergyProblem`).
    """

    @property
    def batch(self) -> int:
        """How many samples are solved together."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the states are."""
        ...

    def response(self, state: State) -> State:
        """Every tensor's response to the others, all of them standing still at `state`."""
        ...

    def name(self, index: int) -> str:
        """Whose activity the tensor at `index` of a state is."""
        ...
