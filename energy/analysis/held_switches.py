"""Max-pooling whose switches are held: each window keeps the unit that won in one state, whoever is largest later.

Separately settled phases pool by switches of their own. With the switches of the free equilibrium held, pooling is the
same linear map in every phase, so the part of a gradient that is due to switching is its difference from that.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.network import Network
from energy.pooling import AdaptiveMaxPool, MaxPool, Pool
from energy.state import State


class HeldSwitches(Pool):
    """A pooling that keeps the switches of the first tensor that it opens.

    Args:
        pool: gives the switches, and the maps that they stand for.
    """

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.size, pool.stride, padding=pool.padding)
        self.pool = pool
        self.switches: Tensor | None = None

    def shape(self, full: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a pooled layer of shape `full`, (channels, height, width)."""
        return self.pool.shape(full)

    def open(self, full: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.switches is None:
            self.switches = self._winners(full.detach())
        return self.pool.tangent(full, self.switches), self.switches  # differentiable, as positions are gathered

    def _winners(self, full: Tensor) -> Tensor | None:
        """Positions in the image: not the byte of the compiled kernel, through which autograd does not pass."""
        if isinstance(self.pool, AdaptiveMaxPool):
            return self.pool.open(full)[1]
        return F.max_pool2d(full, self.size, self.stride, self.padding, return_indices=True)[1]

    def adjoint(self, post: Tensor, switches: Tensor | None, full: torch.Size) -> Tensor:
        return self.pool.adjoint(post, switches, full)

    def tangent(self, full: Tensor, switches: Tensor | None) -> Tensor:
        return self.pool.tangent(full, switches)


def switching(network: Network) -> bool:
    """Return True if a coupling pools by a maximum, outside of modules of the user's own."""
    return any(isinstance(getattr(edge.coupling, "pool", None), MaxPool | AdaptiveMaxPool) for edge in network.edges)


def hold_switches(network: Network, x: Tensor, state: State) -> Network:
    """Return a copy of the network that pools this batch by the switches of `state`, and no other batch.

    Args:
        network: stays as it is.
        x: (B, *input shape).
        state: the activity of every layer.
    """
    held = copy.deepcopy(network)
    with torch.no_grad(), held.normalizing():
        for edge in held.edges:
            pool = getattr(edge.coupling, "pool", None)
            if isinstance(pool, MaxPool | AdaptiveMaxPool):
                edge.coupling.pool = HeldSwitches(pool)  # pyright: ignore[reportArgumentType] (a plain attribute)
                edge.coupling.linearize(state[edge.source - 1] if edge.source else x)
    return held
