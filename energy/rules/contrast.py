"""The contrastive rule: -∂F/∂θ of what was settled, as local products of the two activities that a coupling joins.

dyad    ∂θ⟨δ, J(m)⟩  =  δ_k m_{k−1}ᵀ + γ m_k δ_{k−1}ᵀ,   δ_k for a bias
phases  −Σ_phases weight · ∂E/∂θ,   −∂E/∂W_k = s_k s_{k−1}ᵀ
tape    back-propagation, by autograd
spikes  Σ_t δ_k[t] x_{k−1}[t]ᵀ, in one product over time and batch
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from energy import foreach
from energy.couplings import Gradients
from energy.ledger import Ledger
from energy.network import Edge, Network, laid_out
from energy.objectives import Objective
from energy.rules.health import health
from energy.rules.rule import Rule
from energy.settle.backprop import SettledTape
from energy.settle.settler import Settled, SettledDyad, SettledPhases, Settler
from energy.settle.spiking import SettledOnline, SettledSpikes
from energy.spiking.products import products as spike_products


class Contrast(Rule, name="contrast"):
    """Descend F, or the contrast of phases: the gradient of the objective as β → 0 where the settler says so."""

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        return self.spend(network, settled.kept(), 1.0)

    def spend(self, network: Network, settled: Settled, scale: float) -> list[Tensor]:
        return contrast(settled, network, scale)

    def batch(
        self, network: Network, settler: Settler, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger
    ) -> Settled:
        network.zero_grad()
        x = laid_out(x)
        harvest = Products(network, x, ledger, -1 / max(len(x), 1))
        settled = settler.deliver(network, x, target, objective, ledger, to=harvest)
        health(network).solved(network, settler, settled)
        if harvest.complete:
            self.write(network, harvest.update)
        else:
            self.apply(network, settled)
        return settled


class Products:
    """The products of a dyad, `scale` times, an edge's as soon as both its ends have come. Layers are dropped when no
    edge needs them any more.
    """

    def __init__(self, network: Network, x: Tensor, ledger: Ledger, scale: float, gamma: float = 0.0) -> None:
        self.network, self.x, self.ledger, self.scale, self.gamma = network, x, ledger, scale, gamma
        self.means: dict[int, Tensor] = {}
        self.deltas: dict[int, Tensor | None] = {}
        self.edges: dict[int, Gradients] = {}

    @property
    def complete(self) -> bool:
        return len(self.edges) == len(self.network.edges)

    @property
    def update(self) -> list[Tensor]:
        """One tensor a parameter, in the order of `network.parameters()`."""
        return [product for index in sorted(self.edges) for product in self.edges[index]]

    def take(self, layer: int, mean: Tensor, delta: Tensor | None, points: list[Any], spreads: dict[int, Any]) -> None:
        """A layer comes, from the output down: make the products of its edges upwards, and of those from the input."""
        self.means[layer], self.deltas[layer] = mean, delta
        inputs = [edge for edge in self.network.into(layer) if not edge.source]
        for edge in (*self.network.out_of(layer), *inputs):
            self.edges[edge.index] = self.product(edge, points[edge.index], spreads.pop(edge.index, None))
            points[edge.index] = None
        for done in self.network.done_at(layer):
            del self.means[done], self.deltas[done]

    def product(self, edge: Edge, point: Any, spread: Any) -> Gradients:
        """δ_k m_{k−1}ᵀ + γ m_k δ_{k−1}ᵀ."""
        delta, below = self.deltas[edge.target], self.deltas.get(edge.source)
        if delta is None:
            return _zeros(edge)
        products = self._first(edge, self.means[edge.source] if edge.source else self.x, delta, point, spread)
        if below is not None and (gain := edge.gain(self.gamma)):
            second = edge.coupling.hebbian_tangent(below, self.means[edge.target], point)
            foreach.add_(products, second, gain * self.scale)
            self.ledger.apply("products", edge.multiply_adds, len(self.x))
        return products

    def _first(self, edge: Edge, mean: Tensor, delta: Tensor, point: Any, spread: Any) -> Gradients:
        """scale·∂θ⟨δ, A(m)⟩; the factor goes to the smaller of difference and products."""
        self.ledger.apply("products", edge.multiply_adds, len(self.x))
        if delta.numel() < edge.size:
            return edge.coupling.hebbian(mean, delta * self.scale, point)
        products = edge.coupling.hebbian(mean, delta if spread is None else spread, point)
        foreach.multiply_(products, self.scale)
        return products


@singledispatch
def contrast(settled: Settled, network: Network, scale: float) -> list[Tensor]:
    """−scale·∂F/∂θ for one kind of settled states, which it may use up. Register a function for a kind of your own."""
    name = type(settled).__name__
    raise TypeError(f"rule=contrast does not know {name}: register a function with energy.rules.contrast.contrast")


@contrast.register
def _(settled: SettledDyad, network: Network, scale: float) -> list[Tensor]:
    products = Products(network, settled.x, settled.ledger, scale, settled.gamma)
    settled.give(products)
    return products.update


@contrast.register
def _(settled: SettledPhases, network: Network, scale: float) -> list[Tensor]:
    update: list[Tensor] = []
    for edge in network.edges:
        total = _zeros(edge)
        for phase in settled.phases:
            states = (settled.x, *phase.state)
            post, weight = states[edge.target], phase.weight * settled.factors[edge.index]
            if not edge.feedback:
                if edge.target not in phase.errors:  # it leads nowhere
                    continue
                post, weight = phase.errors[edge.target], -1 / len(settled.phases)
            elif phase.sign is not None:
                post = post * phase.sign
            products = edge.coupling.hebbian(states[edge.source], post, phase.points[edge.index])
            settled.ledger.apply("products", edge.multiply_adds, len(settled.x))
            foreach.add_(total, products, weight * scale)
        update += total
    return update


@contrast.register
def _(settled: SettledTape, network: Network, scale: float) -> list[Tensor]:
    for edge in network.edges:
        settled.ledger.apply("products", edge.multiply_adds, len(settled.x) * settled.times)
    parameters = list(network.parameters())
    learnt, seed = [p for p in parameters if p.requires_grad], torch.full_like(settled.merit, scale)
    if settled.walked:
        raise ValueError("this tape was used up by Rule.apply or Rule.learn: settle again, or call update or gradients")
    settled.walked = not settled.keep
    found = iter(torch.autograd.grad(settled.merit, learnt, seed, retain_graph=settled.keep, materialize_grads=True))
    return [next(found) if p.requires_grad else torch.zeros_like(p) for p in parameters]


@contrast.register
def _(settled: SettledSpikes, network: Network, scale: float) -> list[Tensor]:
    update = spike_products(network, settled.activity, settled.delta, settled.ledger)
    foreach.multiply_(update, scale)
    return update


@contrast.register
def _(settled: SettledOnline, network: Network, scale: float) -> list[Tensor]:
    return foreach.multiply(settled.products, scale)


def _zeros(edge: Edge) -> Gradients:
    return tuple(torch.zeros_like(parameter) for parameter in edge.coupling.parameters())
