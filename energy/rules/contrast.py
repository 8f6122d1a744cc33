"""The contrastive rule: -∂F/∂θ of what was settled, as local products of the two activities that a coupling joins.

dyad    ∂θ⟨δ, J(m)⟩  =  δ_k m_{k−1}ᵀ + γ m_k δ_{k−1}ᵀ,   δ_k for a bias
phases  −Σ_phases weight · ∂E/∂θ,   −∂E/∂W_k = s_k s_{k−1}ᵀ
tape    back-propagation, by autograd
"""

from __future__ import annotations

import copy
from functools import singledispatch
from typing import Any

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
        return self.spend(network, copy.copy(settled), 1.0)

    def spend(self, network: Network, settled: Settled, scale: float) -> list[Tensor]:
        return contrast(settled, network, scale)


@singledispatch
def contrast(settled: Settled, network: Network, scale: float) -> list[Tensor]:
    """−scale·∂F/∂θ for one kind of settled states, which it may use up. Register a function for a kind of your own."""
    name = type(settled).__name__
    raise TypeError(f"rule=contrast does not know {name}: register a function with energy.rules.contrast.contrast")


@contrast.register
def _(settled: SettledDyad, network: Network, scale: float) -> list[Tensor]:
    """From the output down: what a layer was is dropped once the edges that leave it upwards are done."""
    means, deltas, points = settled.take()
    update: list[Gradients] = []
    for edge in reversed(network.edges):
        delta, below = deltas[edge.target - 1], deltas[edge.source - 1] if edge.source else None
        mean = means[edge.source - 1] if edge.source else settled.x
        point, points[edge.index] = points[edge.index], None
        products = _zeros(edge) if delta is None else _product(settled, edge, mean, delta, point, scale)
        if delta is not None and below is not None and (gain := edge.gain(settled.gamma)):
            second = edge.coupling.hebbian_tangent(below, means[edge.target - 1], point)
            foreach.add_(products, _counted(settled, edge, second), gain * scale)
        update.append(products)
        if edge is network.into(edge.target)[0]:
            del means[-1], deltas[-1]
    return [product for products in reversed(update) for product in products]


@contrast.register
def _(settled: SettledPhases, network: Network, scale: float) -> list[Tensor]:
    update: list[Tensor] = []
    for edge in network.edges:
        total = _zeros(edge)
        for phase in settled.phases:
            states = (settled.x, *phase.state)
            post, weight = states[edge.target], phase.weight * settled.factors[edge.index]
            if not edge.feedback and phase.error is not None:
                post, weight = phase.error, -1 / len(settled.phases)
            products = edge.coupling.hebbian(states[edge.source], post, phase.points[edge.index])
            foreach.add_(total, _counted(settled, edge, products), weight * scale)
        update += total
    return update


@contrast.register
def _(settled: SettledTape, network: Network, scale: float) -> list[Tensor]:
    for edge in network.edges:
        settled.ledger.apply("products", edge.multiply_adds, len(settled.x))
    parameters = list(network.parameters())
    learnt, seed = [p for p in parameters if p.requires_grad], torch.full_like(settled.merit, scale)
    found = iter(torch.autograd.grad(settled.merit, learnt, seed, materialize_grads=True))
    return [next(found) if p.requires_grad else torch.zeros_like(p) for p in parameters]


def _product(settled: Settled, edge: Edge, mean: Tensor, delta: Tensor, point: Any, scale: float) -> Gradients:
    """scale·∂θ⟨δ, A(m)⟩; the factor goes to the smaller of difference and products."""
    if delta.numel() < sum(parameter.numel() for parameter in edge.coupling.parameters()):
        return _counted(settled, edge, edge.coupling.hebbian(mean, delta * scale, point))
    products = _counted(settled, edge, edge.coupling.hebbian(mean, delta, point))
    foreach.multiply_(products, scale)
    return products


def _counted(settled: Settled, edge: Edge, products: Gradients) -> Gradients:
    settled.ledger.apply("products", edge.multiply_adds, len(settled.x))
    return products


def _zeros(edge: Edge) -> Gradients:
    return tuple(torch.zeros_like(parameter) for parameter in edge.coupling.parameters())
