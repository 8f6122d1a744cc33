"""Oracles of the linearized response: dense Jacobians by autograd, and rates from the residuals of every step."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from energy.couplings import Convolution, Dense
from energy.ledger import Ledger
from energy.network import Network
from energy.pooling import MaxPool
from energy.potentials import HardSigmoid, Identity
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.solver import solve
from energy.relax.zebra import Zebra
from energy.state import State

GAINS = (0.4, 0.7, 0.6, 0.3, 0.4)


def response(network: Network, x: Tensor, flat: Tensor, gamma: float) -> Tensor:
    """f(J(s)) of one sample by the derivative of Φ = Σ γ^(d_target − 1) ⟨s_target, A(s_source)⟩, differentiable."""
    shapes = [layer.shape for layer in network.layers]
    parts = flat.split([math.prod(shape) for shape in shapes])
    with torch.enable_grad():
        states = [part.view(1, *shape) for part, shape in zip(parts, shapes, strict=True)]
        states = [one if one.requires_grad else one.detach().requires_grad_() for one in states]
        total = torch.zeros((), dtype=flat.dtype)
        for edge in network.edges:
            weight = gamma ** (network.depth(edge.target) - 1)
            total = total + weight * (states[edge.target - 1] * edge.coupling([x, *states][edge.source])).sum()
        slopes = torch.autograd.grad(total, states, create_graph=True)
        drives = [slope / gamma ** (layer.depth - 1) for slope, layer in zip(slopes, network.layers, strict=True)]
        return torch.cat(
            [layer.potential.response(a).flatten() for layer, a in zip(network.layers, drives, strict=True)]
        )


def dense_jacobian(network: Network, x: Tensor, state: State, gamma: float, sample: int) -> Tensor:
    """∂f(J(s))/∂s of one sample, by autograd."""
    flat = torch.cat([tensor[sample].flatten() for tensor in state])
    found = torch.autograd.functional.jacobian(
        lambda s: response(network, x[sample : sample + 1], s, gamma), flat, create_graph=False
    )
    assert isinstance(found, Tensor)
    return found


def equilibrium(network: Network, x: Tensor, gamma: float) -> State:
    problem = SinglePhase(network, x, gamma, Ledger())
    return solve(problem, problem.initial_state(), Zebra(max_steps=600, tolerance=1e-13)).state


@torch.no_grad()
def residuals(problem: Problem, relax: Relaxation, state: State, steps: int, least: float = 0.0) -> list[Tensor]:
    """The relative residual of every sample after each step, (B,), until all are at most `least`."""
    memory, found = None, list[Tensor]()
    while len(found) < steps and not (found and float(found[-1].max()) <= least):
        before = state
        state, memory = relax.step(problem, before, memory)
        moved, size = relax.residual(problem, before, state).norms(), state.norms()
        found.append((moved / size.clamp_min(1e-300)).amax(0))
    return found


def late_rate(found: list[Tensor], least: float) -> Tensor:
    """The factor per step by which the residual of each sample fell in the second half of its steps down to `least`."""
    rows, rates = torch.stack(found), list[float]()
    for column in rows.unbind(1):
        kept = column[column > least]
        half = len(kept) // 2
        rates.append(float((kept[-1] / kept[half]) ** (1 / max(len(kept) - 1 - half, 1))))
    return torch.tensor(rates, dtype=torch.float64)


def hopfield(
    scale: float,
    seed: int,
    channels: tuple[int, ...] = (8, 16, 16, 16),
    side: int = 16,
    gains: tuple[float, ...] = GAINS,
) -> Network:
    """Four 3×3 convolutions with 2×2 max-pooling and a dense output, hard sigmoid, weights N(0, (c·g)²/fan-in)."""
    network = Network((3, side, side))
    for fan_in, width in itertools.pairwise((3, *channels)):
        network.add(Convolution(fan_in, width, 3, padding=1, pool=MaxPool(2)), HardSigmoid())
    network.add(Dense(math.prod(network.output.shape), 10), Identity())
    network.double()
    drawn, each = torch.Generator().manual_seed(seed), iter(gains)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=drawn, dtype=torch.float64)
            fan_in = parameter[0].numel()
            parameter.copy_(noise * scale * next(each) / fan_in**0.5 if parameter.ndim > 1 else 0.0 * noise)
    return network
