"""A watch sees every step, and changes neither numbers nor counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from energy.ledger import Ledger
from energy.potentials import HardSigmoid
from energy.relax import Flow, Relaxation, SinglePhase, Solution, Sweep, Synchronous, Zebra, solve
from energy.relax.watch import watching
from energy.state import State
from tests.settle import nets

WAYS = [Sweep(momentum=0.9), Zebra(), Synchronous(damping=0.5), Flow(time=0.5)]


def solved(relax: Relaxation) -> tuple[Solution, Ledger]:
    network, ledger = nets.mlp(HardSigmoid(), norm=0.7), Ledger()
    problem = SinglePhase(network, nets.batch(network)[0], 1.0, ledger)
    return solve(problem, problem.initial_state(), relax), ledger


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("tolerance", [0.0, 1e-4])
@pytest.mark.parametrize("relax", WAYS, ids=lambda r: r.name)
def test_nothing_changes(relax: Relaxation, tolerance: float, drop: bool) -> None:
    relax = replace(relax, tolerance=tolerance, max_steps=30, check_every=3, drop_converged=drop)
    expected, price = solved(relax)
    seen: list[tuple[int, State]] = []
    with watching(lambda problem, state, steps: seen.append((steps, state))):
        found, counted = solved(relax)
    assert counted == price and found.outcome is expected.outcome
    assert all(map(torch.equal, found.state, expected.state)) and torch.equal(found.steps, expected.steps)
    assert [steps for steps, _ in seen] == list(range(1, found.taken + 1))
    assert all(map(torch.equal, seen[-1][1], found.state))
