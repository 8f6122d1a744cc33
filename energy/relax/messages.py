"""The last messages on the edges of a network, and the linearizations they were computed with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from energy.couplings import Linearization
from energy.network import Network
from energy.state import State


@dataclass
class Messages:
    """The last messages, one slot per edge e from layer j up to layer k; None before the first message.

        up[e] = A_e(m_j)                 down[e] = γ^span A_e′(m_j)ᵀ m_k
        d_up[e] = γ^span A_e′(m_j) δ_j   d_down[e] = A_e′(m_j)ᵀ δ_k, or by feedback weights B_eᵀ δ_k

    `linear[e]` is the coupling linearized at m_j. `sent_by` is the state that sent the upward messages, for which they
    are current; whatever sends a new one upwards resets it.
    """

    up: list[Tensor | None]
    down: list[Tensor | None]
    d_up: list[Tensor | None]
    d_down: list[Tensor | None]
    linear: list[Linearization | None]
    sent_by: State | None = field(default=None)

    @classmethod
    def none(cls, network: Network) -> Messages:
        """Return empty slots for the edges of a network."""
        empty: list[list[Any]] = [[None] * len(network.edges) for _ in range(5)]
        up, down, d_up, d_down, linear = empty
        return cls(up, down, d_up, d_down, linear)

    def copy(self) -> Messages:
        """Return the same messages, in slots of their own."""
        lists = {name: list(getattr(self, name)) for name in ("up", "down", "d_up", "d_down", "linear")}
        return dataclasses.replace(self, **lists)

    def drop(self, network: Network, layer: int) -> None:
        """Free the messages that a layer has received. The linearizations stay."""
        for edge in network.into(layer):
            self.up[edge.index] = self.d_up[edge.index] = None
        for edge in network.out_of(layer):
            self.down[edge.index] = self.d_down[edge.index] = None

    def received(self, network: Network, layer: int) -> list[Tensor]:
        """Return the parts of J(m) of a layer: from below, then from above."""
        below = [self.up[edge.index] for edge in network.into(layer)]
        above = [self.down[edge.index] for edge in network.out_of(layer)]
        return [tensor for tensor in (*below, *above) if tensor is not None]

    def errors(self, network: Network, layer: int) -> list[Tensor]:
        """Return the parts of J′(m)ᵀδ of a layer, in the same order."""
        below = [self.d_up[edge.index] for edge in network.into(layer)]
        above = [self.d_down[edge.index] for edge in network.out_of(layer)]
        return [tensor for tensor in (*below, *above) if tensor is not None]
