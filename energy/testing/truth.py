"""The truth to compare methods with: the equilibrium and its exact gradient, by autograd and nothing else.

The equilibrium s = f(J(s)) of a contracting network is reached by iterating it, and the objective is differentiated
through the iterations. None of `energy.relax`, `energy.settle` and `energy.rules` takes part.
"""

from __future__ import annotations

import functools
from typing import Final

import torch
from torch import Tensor

from energy.network import Network
from energy.objectives import Objective
from energy.testing.small import batch, contracting

ITERATIONS: Final = 100  # of a contraction by 0.8 or less: 2e-10 is left


def equilibrium(network: Network, x: Tensor, gamma: float) -> list[Tensor]:
    """Return s = f(J(s)) of every layer; differentiable."""
    with torch.enable_grad():
        states = [x, *network.activity(x)]
        for _ in range(ITERATIONS if gamma else 0):
            drives = [_drive(network, states, layer, gamma) for layer in range(1, len(states))]
            potentials = [layer.potential for layer in network.layers]
            states = [x, *(one.response(drive) for one, drive in zip(potentials, drives, strict=True))]
    return states[1:]


def _drive(network: Network, states: list[Tensor], layer: int, gamma: float) -> Tensor:
    """Σ A(s_below) + Σ γ^span A′(s)ᵀ s_above."""
    total = torch.stack([edge.coupling(states[edge.source]) for edge in network.into(layer)]).sum(0)
    for edge in network.out_of(layer):
        if gain := edge.gain(gamma):
            here = states[layer] if states[layer].requires_grad else states[layer].detach().requires_grad_()
            said = (edge.coupling(here) * states[edge.target]).sum()
            total = total + gain * torch.autograd.grad(said, here, create_graph=True)[0]
    return total


def gradient(network: Network, x: Tensor, target: Tensor, objective: Objective, gamma: float) -> list[Tensor]:
    """Return ∂/∂θ of the objective's sum over the batch at the equilibrium, one tensor per parameter.

    Args:
        network: contracting at `gamma`.
        x: (B, *input shape).
        target: (B, *output shape).
        objective: the loss.
        gamma: γ, the gain of feedback.
    """
    with torch.enable_grad():
        total = objective.value(equilibrium(network, x, gamma)[-1], target).sum()
        return list(torch.autograd.grad(total, list(network.parameters()), materialize_grads=True))


@functools.lru_cache(maxsize=32)
def exact(objective: Objective, gamma: float, device: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the output of `small.contracting` on its `batch` at equilibrium, and the exact gradient by layer."""
    network, (x, target) = contracting(device), batch(device)
    output = equilibrium(network, x, gamma)[-1].detach()
    return output, by_layer(network, gradient(network, x, target, objective, gamma))


def by_layer(network: Network, gradients: list[Tensor]) -> dict[str, Tensor]:
    """Return the gradients of the parameters of all edges into a layer, as one vector, by the layer's name."""
    given, found = iter(gradients), {layer.name: [] for layer in network.layers}
    for edge in network.edges:
        found[network.layers[edge.target - 1].name] += [next(given).flatten() for _ in edge.coupling.parameters()]
    return {name: torch.cat(parts) for name, parts in found.items() if parts}


def cosine_or_zero(one: Tensor, other: Tensor) -> float:
    """Return the cosine of two vectors, 0 if one of them is zero."""
    return float(torch.dot(one, other) / (one.norm() * other.norm()).clamp_min(1e-300))
