"""The interface of a problem to relaxations and the solver."""

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
        """The number of samples that are solved together."""
        ...

    @property
    def device(self) -> torch.device:
        """The device of the states."""
        ...

    def response(self, state: State) -> State:
        """Return every tensor's response to the others, all of them held at `state`."""
        ...

    def name(self, index: int) -> str:
        """Return the name of the layer whose activity the tensor at `index` of a state is."""
        ...
