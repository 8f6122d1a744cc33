"""References that share no code with the solver: everything here is built from the couplings' forward map, `response`
and autograd."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.rules.contrast import Contrast
from energy.settle.settled import Settled, SettledDyad
from energy.settle.settler import Settler

Tensors = list[Tensor]


def learn(
    settler: Settler, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
) -> Tensors:
    """The library's gradient of the summed objective."""
    return Contrast().gradients(network, settler.settle(network, x, target, objective, ledger))


def pair(settled: Settled, alpha: float, beta: float) -> tuple[Tensors, Tensors]:
    """The two replicas, s⁺ = m + (1 − α)βδ and s⁻ = m − αβδ."""
    assert isinstance(settled, SettledDyad)
    both = [(m, d) for m, d in zip(settled.mean, settled.delta, strict=True) if d is not None]
    return [m + (1 - alpha) * beta * d for m, d in both], [m - alpha * beta * d for m, d in both]


def autograd(network: Network, x: Tensor, target: Tensor, objective: Objective) -> Tensors:
    """Back-propagation through one bottom-up pass."""
    return list(torch.autograd.grad(objective.value(network(x), target).sum(), list(network.parameters())))


def heard(network: Network, x: Tensor, states: Sequence[Tensor], gamma: float) -> Tensors:
    """J(s), differentiable: drives from below, and the gradient of ⟨s_target, A(s_source)⟩ in s_source from above."""
    everything = (x, *states)
    drives: Tensors = []
    for k in range(1, len(everything)):
        total = sum((e.coupling(everything[e.source]) for e in network.into(k)), torch.zeros(()).to(x))
        for edge in network.out_of(k):
            gain = gamma ** (network.depth(edge.target) - network.depth(k)) if edge.feedback else 0.0
            if gain:
                pre = everything[k]
                pre = pre if pre.requires_grad else pre.detach().requires_grad_()
                said = edge.coupling(pre)
                held = everything[edge.target]
                total = total + gain * torch.autograd.grad(said, pre, held, create_graph=True)[0]
        drives.append(total)
    return drives


def respond(network: Network, x: Tensor, states: Sequence[Tensor], gamma: float) -> Tensors:
    """f(J(s))."""
    drives = heard(network, x, states, gamma)
    return [layer.potential.response(a) for layer, a in zip(network.layers, drives, strict=True)]


def equilibrium(
    network: Network, x: Tensor, gamma: float, top: Callable[[Tensor], Tensor] | None = None, steps: int = 600
) -> Tensors:
    """s = f(J(s)) by plain iteration from zero, all layers at once; `top(a)` replaces the output's response."""
    states = [torch.zeros(len(x), *layer.shape, dtype=x.dtype) for layer in network.layers]
    moved = math.inf
    for _ in range(steps):
        drives = [a.detach() for a in heard(network, x, states, gamma)]
        after = [layer.potential.response(a) for layer, a in zip(network.layers, drives, strict=True)]
        if top is not None:
            after[-1] = top(drives[-1])
        moved = max(float((a - b).abs().max()) for a, b in zip(after, states, strict=True))
        states = after
        if moved < 3e-15:
            return states
    raise AssertionError(f"the network of this test does not contract: still moving by {moved:.1e}")


def exact(network: Network, x: Tensor, target: Tensor, objective: Objective, gamma: float) -> Tensors:
    """∇θ of the objective through s = f(J(s)): a dense solve of (I − ∂f(J)/∂s)ᵀ λ = ∂C/∂s, sample by sample."""
    settled = equilibrium(network, x, gamma)
    total = [torch.zeros_like(p) for p in network.parameters()]
    for n in range(len(x)):
        states = [s[n : n + 1].clone().requires_grad_() for s in settled]
        after = respond(network, x[n : n + 1], states, gamma)
        flat = torch.cat([a.flatten() for a in after])
        rows = [
            torch.autograd.grad(u, states, retain_graph=True, allow_unused=True, materialize_grads=True) for u in flat
        ]
        jacobian = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
        cost = objective.value(states[-1], target[n : n + 1]).sum()
        push = torch.autograd.grad(cost, states, allow_unused=True, materialize_grads=True)
        ones = torch.eye(len(flat), dtype=flat.dtype)
        multiplier = torch.linalg.solve((ones - jacobian).T, torch.cat([p.flatten() for p in push]))
        parts = torch.autograd.grad(
            multiplier @ flat, list(network.parameters()), allow_unused=True, materialize_grads=True
        )
        total = [t + p for t, p in zip(total, parts, strict=True)]
    return total


@torch.no_grad()
def move(parameters: Sequence[Tensor], direction: Sequence[Tensor], step: float) -> None:
    """θ ← θ + step · direction, in place."""
    for parameter, along in zip(parameters, direction, strict=True):
        parameter.add_(along, alpha=step)


def finite_difference(
    network: Network, x: Tensor, target: Tensor, objective: Objective, gamma: float, direction: Tensors, step: float
) -> float:
    """The derivative of the settled objective along `direction` in parameter space, by central differences."""
    values = []
    parameters = list(network.parameters())
    for sign in (1, -1):
        move(parameters, direction, sign * step)
        values.append(float(objective.value(equilibrium(network, x, gamma)[-1], target).sum()))
        move(parameters, direction, -sign * step)
    return (values[0] - values[1]) / (2 * step)


def products(network: Network, x: Tensor, states: Sequence[Tensor]) -> Tensors:
    """∂E/∂θ = −∂θ Σ ⟨s_k, A(s_{k−1})⟩ by autograd, the states held; every edge inside the dynamics, at γ = 1."""
    everything = (x, *(s.detach() for s in states))
    energy = -sum(
        ((everything[e.target] * e.coupling(everything[e.source])).sum() for e in network.edges),
        torch.zeros(()).to(x),
    )
    return list(torch.autograd.grad(energy, list(network.parameters())))


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t.detach().double().flatten() for t in tensors])


def gap(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """The relative difference of two lists of tensors, taken as vectors."""
    reference = flatten(wanted)
    return float((flatten(found) - reference).norm() / reference.norm())


def cosines(network: Network, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> list[float]:
    """One cosine a coupling with weights, biases included."""
    values, start = [], 0
    for coupling in network.couplings:
        size = len(list(coupling.parameters()))
        if size:
            a, b = flatten(found[start : start + size]), flatten(wanted[start : start + size])
            values.append(float(a @ b / (a.norm() * b.norm())))
        start += size
    return values


def slope(error: Callable[[float], float], betas: Sequence[float]) -> float:
    """The order p of error ~ β^p between the first and the last β."""
    first, last = error(betas[0]), error(betas[-1])
    return math.log(first / last) / math.log(betas[0] / betas[-1])
