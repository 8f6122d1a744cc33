"""How a solve says it ended: the residual in full, and the first layer that diverged."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from energy.ledger import Ledger
from energy.network import Network
from energy.potentials import HardSigmoid, Tanh
from energy.relax.flow import Flow
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Outcome, Solution
from energy.relax.solver import solve
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.settle.dyadic import DualPropagation
from tests.settle import nets


def free(network: Network, relax: Relaxation, gamma: float) -> Solution:
    problem = SinglePhase(network, nets.batch(network)[0], gamma, Ledger())
    return solve(problem, problem.initial_state(), relax)


@pytest.mark.parametrize("relax", [Synchronous(damping=0.9), Flow(time=0.1)], ids=lambda r: r.name)
def test_a_short_step_does_not_pass_for_convergence(relax: Relaxation) -> None:
    """A step of damping 0.9 moves a layer by a tenth of what its response asks for; the residual is all of it."""
    network = nets.mlp(HardSigmoid(), norm=0.5)
    solution = free(network, replace(relax, max_steps=500, tolerance=1e-5, check_every=1), gamma=1.0)
    assert solution.outcome is Outcome.CONVERGED
    drives, parts = network.drive(nets.batch(network)[0], solution.state), []
    for layer, drive, state in zip(network.layers, drives, solution.state, strict=True):
        change = (layer.potential.response(drive) - state).flatten(1).norm(dim=1)
        parts.append(change / state.flatten(1).norm(dim=1).clamp_min(1e-300))
    torch.testing.assert_close(solution.residual, torch.stack(parts).amax(0).detach(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("first", [1, 2, 3, 4])
def test_the_layer_named_is_the_first_that_diverged(first: int) -> None:
    """Without feedback what is not a number stays at its layer and above."""
    network = nets.mlp(Tanh())
    with torch.no_grad():
        network.get_parameter(f"couplings.{first - 1}.bias").fill_(math.nan)
    solution = free(network, Sweep(max_steps=3, check_every=1), gamma=0.0)
    assert (solution.outcome, solution.layer) == (Outcome.DIVERGED, f"layer{first}")


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_difference_that_diverged_is_named_by_its_layer(steps: int) -> None:
    """At α = 0 no error reaches a mean; all at once it descends one layer a step, from the top of four."""
    network = nets.mlp(Tanh())
    x, target = nets.batch(network)
    relax = Synchronous(max_steps=steps, check_every=steps)
    settled = DualPropagation(alpha=0.0, nudged=relax).settle(network, x, target * math.nan, nets.FROZEN)
    assert settled.solutions["nudged"].outcome is Outcome.DIVERGED
    assert settled.solutions["nudged"].layer == f"layer{5 - steps}"
