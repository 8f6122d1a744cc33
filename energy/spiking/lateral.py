"""Recurrent synapses of a layer in a simulation through time: a current from the layer's own last step.

    I[t] += V x[t−1],     c[t] += Vᵀ δ[t+1],     ΔV = Σ_{t ≥ 1} δ[t] x[t−1]ᵀ

with V the recurrent weights, x the traces, δ the errors and c the apical currents of the layer.
"""

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
        """Return V x, of the shape of x; differentiable."""
        said: list[Tensor] = [coupling(self._rows(coupling, trace)) for coupling in self.couplings]
        return sum(said[1:], said[0]).view(trace.shape)

    def adjoint(self, delta: Tensor) -> Tensor:
        """Return Vᵀ δ, of the shape of δ."""
        rows = [self._rows(coupling, delta) for coupling in self.couplings]
        said = [coupling.linearize(row)[1].adjoint(row) for coupling, row in zip(self.couplings, rows, strict=True)]
        return sum(said[1:], said[0]).view(delta.shape)

    @property
    def multiply_adds(self) -> int:
        """Multiply–adds of one application to one sample."""
        return sum(coupling.weight.numel() for coupling in self.couplings)

    def _rows(self, coupling: Dense, tensor: Tensor) -> Tensor:
        return tensor.reshape(-1, len(coupling.weight))


def lateral(network: Network, layer: int) -> Lateral | None:
    """Return the recurrent synapses of a layer, None if it has none."""
    found = [edge.coupling.lateral for edge in network.into(layer) if isinstance(edge.coupling, Recurrent)]
    return Lateral(found) if found else None


def lateral_product(edge: Edge, pre: Tensor, post: Tensor) -> Tensor | None:
    """Return ΔV of an edge, None if the edge has no V.

    Args:
        edge: the edge into the layer.
        pre: x[t−1], (B, N), or (steps·B, N).
        post: δ[t], of the same shape.
    """
    if not isinstance(edge.coupling, Recurrent):
        return None
    with torch.no_grad():
        return edge.coupling.lateral.linearize(pre)[1].weight_gradient(pre, post)[0]
