"""The contrastive rule: -∂F/∂θ of what was settled, as local products of the two activities that a coupling joins.

dyad    ∂θ⟨δ, J(m)⟩  =  δ_k m_{k−1}ᵀ + γ m_k δ_{k−1}ᵀ,   δ_k for a bias
phases  −Σ_phases weight · ∂E/∂θ,   −∂E/∂W_k = s_k s_{k−1}ᵀ
tape    back-propagation, by autograd
"""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor

from energy import foreach
from energy.couplings import Gradients
from energy.network import Edge, Network
from energy.rules.rule import Rule
from energy.settle.backprop import SettledTape
from energy.settle.settler import Settled, SettledDyad, SettledPhases


class Contrast(Rule, name="contrast"):
    """Descend F, or the contrast of phases: the gradient of the objective as β → 0 where the settler says so."""

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        return contrast(settled, network)


@singledispatch
def contrast(settled: Settled, network: Network) -> list[Tensor]:
    """-∂F/∂θ for one kind of settled states. Register a function for a kind of your own."""
    name = type(settled).__name__
    raise TypeError(f"rule=contrast does not know {name}: register a function with energy.rules.contrast.contrast")


@contrast.register
def _(settled: SettledDyad, network: Network) -> list[Tensor]:
    states, differences = (settled.x, *settled.mean), (None, *settled.delta)
    update: list[Tensor] = []
    for edge in network.edges:
        delta, below, gain = differences[edge.target], differences[edge.source], edge.gain(settled.gamma)
        point = settled.points[edge.index]
        if delta is None:
            update += _zeros(edge)
            continue
        products = _counted(settled, edge, edge.coupling.hebbian(states[edge.source], delta, point))
        if gain and below is not None:
            second = edge.coupling.hebbian_tangent(below, states[edge.target], point)
            foreach.add_(products, _counted(settled, edge, second), gain)
        update += products
    return update


@contrast.register
def _(settled: SettledPhases, network: Network) -> list[Tensor]:
    update: list[Tensor] = []
    for edge in network.edges:
        total = _zeros(edge)
        for phase in settled.phases:
            states = (settled.x, *phase.state)
            post, weight = states[edge.target], phase.weight * settled.factors[edge.index]
            if not edge.feedback and phase.error is not None:
                post, weight = phase.error, -1 / len(settled.phases)
            products = edge.coupling.hebbian(states[edge.source], post, phase.points[edge.index])
            foreach.add_(total, _counted(settled, edge, products), weight)
        update += total
    return update


@contrast.register
def _(settled: SettledTape, network: Network) -> list[Tensor]:
    for edge in network.edges:
        settled.ledger.apply("products", edge.multiply_adds, len(settled.x))
    parameters = list(network.parameters())
    found = iter(torch.autograd.grad(settled.merit, [p for p in parameters if p.requires_grad], materialize_grads=True))
    return [next(found) if p.requires_grad else torch.zeros_like(p) for p in parameters]


def _counted(settled: Settled, edge: Edge, products: Gradients) -> Gradients:
    settled.ledger.apply("products", edge.multiply_adds, len(settled.x))
    return products


def _zeros(edge: Edge) -> list[Tensor]:
    return [torch.zeros_like(parameter) for parameter in edge.coupling.parameters()]
