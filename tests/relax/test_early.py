"""Early steps in bfloat16: the last ones are the states' own, and they reach the tolerance there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from energy.ledger import Ledger
from energy.network import Network
from energy.potentials import HardSigmoid
from energy.relax import Outcome, PhaseNudge, SinglePhase, Sweep, Zebra
from energy.relax.early import settle_early
from energy.relax.relaxation import Relaxation
from energy.settle.settler import solve_layers
from tests.settle import nets

FINE = Sweep(max_steps=200, tolerance=1e-5, check_every=1)


def prepared(dtype: torch.dtype = torch.float32) -> tuple[Network, SinglePhase]:
    network = nets.mlp(HardSigmoid(), norm=0.7).to(dtype)
    return network, SinglePhase(network, nets.batch(network)[0].to(dtype), 1.0, Ledger())


@pytest.mark.parametrize("relax", [FINE, replace(FINE, momentum=0.9), Zebra(max_steps=200, tolerance=1e-5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_end_is_the_same_equilibrium(relax: Relaxation, dtype: torch.dtype) -> None:
    _, problem = prepared(dtype)
    expected = solve_layers(problem, problem.initial_state(), relax)
    _, early = prepared(dtype)
    found = solve_layers(early, early.initial_state(), replace(relax, bfloat16_until=0.05))
    assert found.outcome is Outcome.CONVERGED
    assert all(tensor.dtype is dtype for tensor in found.state)
    for one, other in zip(found.state, expected.state, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    response = early.response(found.state)
    moved = ((response - found.state).norms() / found.state.norms()).nan_to_num().amax(0)  # a layer may be all zero
    assert float(moved.max()) <= 3e-5


def test_steps_and_sweeps_are_those_of_both_parts() -> None:
    _, problem = prepared()
    state = problem.initial_state()
    relax = replace(FINE, bfloat16_until=0.05)
    found = solve_layers(problem, state, relax)
    _, parts = prepared()
    near, before = settle_early(parts, parts.initial_state(), relax)
    after = solve_layers(parts, near, FINE)
    assert before is not None and torch.equal(found.steps, before + after.steps)
    assert int(before.min()) >= 1 and int(after.steps.min()) >= 1
    _, cold = prepared()
    assert int(after.steps.sum()) < int(solve_layers(cold, cold.initial_state(), FINE).steps.sum())
    assert problem.ledger == parts.ledger
    assert problem.ledger.sweeps["free"] == int(before.max()) + after.taken


def test_nothing_is_done_unless_it_can_help() -> None:
    network, problem = prepared()
    state, target = problem.initial_state(), nets.batch(network)[1].float()
    for relax in (FINE, replace(FINE, tolerance=0.0, bfloat16_until=0.1), replace(FINE, bfloat16_until=1e-6)):
        assert settle_early(problem, state, relax) == (state, None)
    nudged = SinglePhase(network, problem.x, 1.0, Ledger(), nudge=PhaseNudge(0.1, nets.FROZEN, target))
    assert settle_early(nudged, state, replace(FINE, bfloat16_until=0.1)) == (state, None)
    low = SinglePhase(network, problem.x.bfloat16(), 1.0, Ledger())
    start = low.initial_state()
    assert settle_early(low, start, replace(FINE, bfloat16_until=0.1)) == (start, None)


def test_a_residual_that_is_no_number_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="bfloat16_until"):
        Sweep(bfloat16_until=1.0)
