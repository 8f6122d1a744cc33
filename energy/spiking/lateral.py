"""The recurrent synapses of a layer, as a simulation through time has them: what the layer hears of its own last step.

I[t] += V x[t−1],     c[t] += Vᵀ δ[t+1],     ΔV = Σ_{t ≥ 1} δ[t] x[t−1]ᵀ"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from energy.couplings import Dense
from energy.couplings.recurrent import Recurrent
from energy.network import Edge, Network


class Lateral(NamedTuple):
    """The couplings of one layer with itself. Populations are flat, (B·N,), or (B, N)."""

    couplings: list[Dense]

    def drive(self, trace: Tensor) -> Tensor:
        """V x, of the shape of x; differentiable."""
        said: list[Tensor] = [coupling(self._rows(coupling, trace)) for coupling in self.couplings]
        return sum(said[1:], said[0]).view(trace.shape)

    def adjoint(self, delta: Tensor) -> Tensor:
        """Vᵀ δ, of the shape of δ."""
        rows = [self._rows(coupling, delta) for coupling in self.couplings]
        said = [coupling.linearize(row)[1].adjoint(row) for coupling, row in zip(self.couplings, rows, strict=True)]
        return sum(said[1:], said[0]).view(delta.shape)

    @property
    def multiply_adds(self) -> int:
        """Of one application to one sample."""
        return sum(coupling.weight.numel() for coupling in self.couplings)

    def _rows(self, coupling: Dense, tensor: Tensor) -> Tensor:
        return tensor.reshape(-1, len(coupling.weight))


def lateral(network: Network, layer: int) -> Lateral | None:
    """The recurrent synapses of a layer, None where it has none."""
    found = [edge.coupling.lateral for edge in network.into(layer) if isinstance(edge.coupling, Recurrent)]
    return Lateral(found) if found else None


def lateral_product(edge: Edge, pre: Tensor, post: Tensor) -> Tensor | None:
    """∂V of an edge from x[t−1] and δ[t], (B, N) or steps of them; None where the edge has no V."""
    if not isinstance(edge.coupling, Recurrent):
        return None
    with torch.no_grad():
        return edge.coupling.lateral.linearize(pre)[1].weight_gradient(pre, post)[0]
