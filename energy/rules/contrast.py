"""The contrastive rule: −∂F/∂θ of settled states, as local products of the two activities that a coupling joins.

dyad    ∂θ⟨δ, J(m)⟩ (`energy.rules.products`)
energy  −Σ_phases weight · ∂E/∂θ, by autograd
phases  −Σ_phases weight · ∂E/∂θ,   −∂E/∂W_k = s_k s_{k−1}ᵀ
tape    back-propagation, by autograd
spikes  Σ_t δ_k[t] x_{k−1}[t]ᵀ, in one product over time and batch
"""

from __future__ import annotations

from functools import singledispatch
from typing import ClassVar

import torch
from torch import Tensor

from energy import exchange, foreach
from energy.errors import UsageTypeError
from energy.graph import learns
from energy.network import Network
from energy.rules.products import dyadic_gradients, zeros
from energy.rules.rule import Rule
from energy.settle.energy_phases import SettledEnergies, require_energy
from energy.settle.settled import Settled, SettledDyad, SettledDyads, SettledPhases, SettledTape
from energy.settle.spiking import SettledOnline, SettledSpikes
from energy.spiking.products import products as spike_products


class Contrast(Rule, name="contrast"):
    """Descend F, or the contrast of phases: the gradient of the objective as β → 0 if the settler is exact."""

    exact: ClassVar[bool] = True

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        return contrast(settled, network, 1.0)

    def gradients(self, network: Network, settled: Settled) -> list[Tensor]:
        return contrast(settled, network, -1.0)

    def apply(self, network: Network, settled: Settled) -> None:
        scale = -1 / exchange.count_of_all(len(settled.x))
        if isinstance(settled, SettledDyad):
            self.write(network, dyadic_gradients(settled, network, scale, exchange.Sums()))
        else:
            self.write(network, exchange.sum_of_all(contrast(settled, network, scale)))


@singledispatch
def contrast(settled: Settled, network: Network, scale: float) -> list[Tensor]:
    """Return −scale·∂F/∂θ for one kind of settled states. Register a function for a kind of your own.

    Args:
        settled: the states; their class selects the function.
        network: that was settled.
        scale: a factor of the result.

    Returns:
        One tensor per parameter, in the order of `network.parameters()`, summed over the batch.

    Raises:
        TypeError: for a kind without a function.
    """
    name = type(settled).__name__
    raise UsageTypeError(f"rule=contrast does not know {name}: register a function with energy.rules.contrast.contrast")


contrast.register(SettledDyad, dyadic_gradients)


@contrast.register
def _(settled: SettledDyads, network: Network, scale: float) -> list[Tensor]:
    first, *others = settled.dyads
    total = dyadic_gradients(first, network, scale / len(settled.dyads))
    for dyad in others:
        foreach.add_(total, dyadic_gradients(dyad, network, scale / len(settled.dyads)), 1.0)
    return total


@contrast.register
def _(settled: SettledPhases, network: Network, scale: float) -> list[Tensor]:
    update: list[Tensor] = []
    for edge in network.edges:
        total = zeros(edge)
        for phase in settled.phases:
            states = (settled.x, *phase.state)
            post, weight = states[edge.target], phase.weight * settled.factors[edge.index]
            if not edge.feedback:
                if edge.target not in phase.errors:  # it leads nowhere
                    continue
                post, weight = phase.errors[edge.target], -1 / len(settled.phases)
            elif phase.sign is not None:
                post = post * phase.sign
            linear = phase.linear[edge.index]
            assert linear is not None  # every edge has sent
            products = linear.weight_gradient(states[edge.source], post)
            settled.ledger.apply("products", edge.multiply_adds, len(settled.x))
            foreach.add_(total, products, weight * scale)
        update += total
    return update


@contrast.register
def _(settled: SettledEnergies, network: Network, scale: float) -> list[Tensor]:
    network, total = require_energy(network), [torch.zeros_like(parameter) for parameter in network.parameters()]
    for state, weight in settled.minima:
        foreach.add_(total, network.slope_theta(settled.x, state), -weight * scale)
        settled.ledger.apply("products", network.gradient_multiply_adds, len(settled.x))
    return total


@contrast.register
def _(settled: SettledTape, network: Network, scale: float) -> list[Tensor]:
    for edge in filter(lambda edge: learns(edge.coupling), network.edges):
        settled.ledger.apply("products", edge.multiply_adds, len(settled.x) * settled.passes)
    parameters, (end, retain) = list(network.parameters()), settled.take()
    learned, seed = [p for p in parameters if p.requires_grad], torch.full_like(end, scale)
    found = iter(torch.autograd.grad(end, learned, seed, retain_graph=retain, materialize_grads=True))
    return [next(found) if p.requires_grad else torch.zeros_like(p) for p in parameters]


@contrast.register
def _(settled: SettledSpikes, network: Network, scale: float) -> list[Tensor]:
    update = spike_products(network, settled.activity, settled.delta, settled.ledger)
    foreach.multiply_(update, scale)
    return update


@contrast.register
def _(settled: SettledOnline, network: Network, scale: float) -> list[Tensor]:
    return foreach.multiply(settled.products, scale)
