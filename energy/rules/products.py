"""The gradients of a settled dyad, as local products of the two activities that a coupling joins.

    ∂θ⟨δ, J(m)⟩ = δ_k m_{k−1}ᵀ + γ m_k δ_{k−1}ᵀ,      δ_k for a bias

The rule pulls the layers from the output down and makes an edge's product as soon as both its ends are final.
"""

from __future__ import annotations

import torch
from torch import Tensor

from energy import foreach
from energy.couplings import Gradients, Linearization
from energy.exchange import Sums
from energy.graph import learns
from energy.network import Edge, Network
from energy.settle.settled import SettledDyad

Pair = tuple[Tensor, Tensor | None]  # (m, δ) of a layer


def dyadic_gradients(settled: SettledDyad, network: Network, scale: float, sums: Sums | None = None) -> list[Tensor]:
    """Return `scale` times ∂θ⟨δ, J(m)⟩, one tensor per parameter in the order of `network.parameters()`.

    Layers are freed as soon as no edge needs them any more.

    Args:
        settled: the dyad.
        network: that was settled.
        scale: a factor of the result.
        sums: adds up the products of all ranks, those of one layer while the layers below it come to rest.
    """
    alive: dict[int, Pair] = {0: (settled.x, None)}
    found: dict[int, Gradients] = {}
    for layer, mean, delta, linear in settled.layers():
        alive[layer], waiting = (mean, delta), dict(linear)
        del mean, delta, linear  # else these names keep their tensors alive while the next layer is computed
        for edge in network.completed_by(layer):
            found[edge.index] = edge_gradient(edge, alive, waiting.pop(edge.index), settled, scale)
            if sums is not None and learns(edge.coupling):
                sums.send(found[edge.index])
        for done in network.last_read_at(layer):
            del alive[done]
    if sums is not None:
        sums.wait()
    return [tensor for index in sorted(found) for tensor in found[index]]


def edge_gradient(
    edge: Edge, alive: dict[int, Pair], linear: Linearization | None, settled: SettledDyad, scale: float
) -> Gradients:
    """Return scale·(δ_k m_{k−1}ᵀ + γ m_k δ_{k−1}ᵀ) of one edge.

    Args:
        edge: from layer k − 1 to layer k.
        alive: (m, δ) of its two layers, by number.
        linear: its coupling, linearized at m.
        settled: the dyad; gives γ and the ledger.
        scale: a factor of the result.
    """
    (below, below_delta), (above, delta) = alive[edge.source], alive[edge.target]
    if delta is None or linear is None or not learns(edge.coupling):
        return zeros(edge)
    gain = None if below_delta is None else edge.gain_on_device(settled.gamma)
    applied = linear.products_cost(below, gain is not None)
    settled.ledger.apply("products", edge.multiply_adds, len(settled.x) * applied)
    early = delta.numel() < edge.size  # the factor multiplies the smaller of difference and products
    post, factor = (delta * scale, scale) if early else (delta, 1.0)
    if below_delta is None or gain is None:
        found = linear.weight_gradient(below, post)
    else:
        found = linear.products(below, post, below_delta, above, gain * factor)
    if not early:
        foreach.multiply_(found, scale)
    return found


def zeros(edge: Edge) -> Gradients:
    """Return gradients of zero, for an edge that learns nothing."""
    return tuple(torch.zeros_like(parameter) for parameter in edge.coupling.parameters())
