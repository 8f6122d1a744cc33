"""The contrastive rule: ∂F/∂θ of what was settled, as local products of the two activities that a coupling joins.

    dyad    −∂θ⟨δ, J(m)⟩  =  −δ_k m_{k−1}ᵀ − γ m_k δ_{k−1}ᵀ,   −δ_k for a bias
    phases  Σ_phases weight · ∂E/∂θ,   ∂E/∂W_k = −s_k s_{k−1}ᵀ
    tape    back-propagation, by autograd
"""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor

from energy.network import Edge, Network
from energy.rules.rule import Rule
from energy.settle.backprop import SettledTape
from energy.settle.settler import Settled, SettledDyad, SettledPhases


class Contrast(Rule, name="contrast"):
    """The gradient of F, or of the contrast of phases; equals the gradient of the objective as β → 0 where the method says so."""

    def gradients(self, network: Network, settled: Settled) -> list[Tensor]:
        return contrast(settled, network)


@singledispatch
def contrast(settled: Settled, network: Network) -> list[Tensor]:
    """∂F/∂θ for one kind of settled states. Register a function for a kind of your own."""
    raise TypeError(f"rule=contrast does not know {type(settled).__name__}: register it with energy.rules.contrast.contrast")


@contrast.register
def _(settled: SettledDyad, network: Network) -> list[Tensor]:
    states, differences = (settled.x, *settled.mean), (None, *settled.delta)
    gradients = []
    for edge in network.edges:
        pre, post, delta = states[edge.source], states[edge.target], differences[edge.target]
        if delta is None:
            gradients += [torch.zeros_like(p) for p in edge.coupling.parameters()]
            continue
        products = _count(settled, edge, edge.coupling.hebbian(pre, delta, settled.points[edge.index]))
        below, gain = differences[edge.source], edge.gain(settled.gamma)
        if gain and below is not None:
            point = settled.points[edge.index]
            second = _count(settled, edge, edge.coupling.hebbian_tangent(below, post, point))
            products = tuple(first + gain * other for first, other in zip(products, second, strict=True))
        gradients += products
    return _negative(gradients)


@contrast.register
def _(settled: SettledPhases, network: Network) -> list[Tensor]:
    gradients = []
    for edge in network.edges:
        total: list[Tensor] = [torch.zeros_like(p) for p in edge.coupling.parameters()]
        for phase in settled.phases:
            states = (settled.x, *phase.state)
            post, weight = states[edge.target], phase.weight * settled.factors[edge.index]
            if not edge.feedback and phase.error is not None:
                post, weight = phase.error, -1 / len(settled.phases)
            products = _count(settled, edge, edge.coupling.hebbian(states[edge.source], post, phase.points[edge.index]))
            torch._foreach_add_(total, products, alpha=weight)
        gradients += total
    return _negative(gradients)


@contrast.register
def _(settled: SettledTape, network: Network) -> list[Tensor]:
    for edge in network.edges:
        settled.ledger.apply("products", edge.multiply_adds, len(settled.x))
    return list(torch.autograd.grad(settled.total, list(network.parameters()), materialize_grads=True))


def _count(settled: Settled, edge: Edge, products: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    settled.ledger.apply("products", edge.multiply_adds, len(settled.x))
    return products


def _negative(gradients: list[Tensor]) -> list[Tensor]:
    if gradients:
        torch._foreach_neg_(gradients)
    return gradients
