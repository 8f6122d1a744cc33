"""Momentum on what is said downwards: against the recursion written out by hand, and what it is good for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.couplings import Dense
from energy.ledger import Ledger
from energy.network import Network
from energy.potentials import HardSigmoid, Identity
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Outcome
from energy.relax.solver import solve
from energy.relax.sweep import Sweep
from energy.settle.dyadic import ContrastiveHebbian, EquilibriumPropagation
from energy.settle.settled import SettledDyad
from tests.settle import nets


def by_hand(network: Network, x: Tensor, gamma: float, momentum: float, sweeps: int) -> list[Tensor]:
    """A chain 6-7-5-4-3: x₁, x₂, x₃ are the drives said down to the hidden layers, extrapolated sample by sample."""
    weights, biases = ([e.coupling.get_parameter(name) for e in network.edges] for name in ("weight", "bias"))
    heard: list[Tensor] | None = None
    before: list[Tensor] = []
    states: list[Tensor] = []
    for _ in range(sweeps):
        states, drives = [x], list[Tensor]()
        for k in range(4):  # up
            drives.append(states[k] @ weights[k].T + biases[k])
            above = 0 if heard is None or k == 3 else heard[k]
            states.append(drives[k] + above if k == 3 else (drives[k] + above).clamp(0, 1))
        said = [torch.empty(0)] * 3
        for k in (2, 1, 0):  # down
            said[k] = gamma * states[k + 2] @ weights[k + 1]
            states[k + 1] = (drives[k] + said[k]).clamp(0, 1)
        if heard is None:
            heard = said
        else:
            change = [g - b for g, b in zip(said, before, strict=True)]
            turns = torch.stack([(g - h).mul(c).sum(1) for g, h, c in zip(said, heard, change, strict=True)])
            going = (turns.sum(0) > 0).double()[:, None]
            heard = [g + momentum * going * c for g, c in zip(said, change, strict=True)]
        before = said
    return states[1:]


@pytest.mark.parametrize("gamma", [0.5, 1.0])
@pytest.mark.parametrize("sweeps", [1, 2, 3, 7])
def test_the_recursion_by_hand(sweeps: int, gamma: float) -> None:
    network = nets.mlp(HardSigmoid(), gain=0.9, bias=0.3)
    x = nets.batch(network, samples=6)[0]
    problem = SinglePhase(network, x, gamma, Ledger())
    relax = Sweep(max_steps=sweeps, tolerance=0.0, momentum=0.7)
    with torch.no_grad():
        found, wanted = solve(problem, problem.initial_state(), relax).state, by_hand(network, x, gamma, 0.7, sweeps)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


def test_fewer_sweeps_where_the_chain_is_stiff() -> None:
    """Five linear layers joined by w·1, whose J has the spectral radius 2w cos(π/6) = 0.97."""
    network = Network((4,))
    for _ in range(5):
        network.add(Dense(4, 4), Identity())
        torch.nn.init.eye_(network.edges[-1].coupling.get_parameter("weight")).data.mul_(
            0.97 / (2 * math.cos(math.pi / 6))
        )
    x, taken = nets.batch(network.double())[0], {}
    for momentum in (0.0, 0.8):
        problem = SinglePhase(network, x, 1.0, Ledger())
        relax = Sweep(max_steps=2000, tolerance=1e-9, check_every=1, momentum=momentum)
        solution = solve(problem, problem.initial_state(), relax)
        assert solution.outcome is Outcome.CONVERGED
        taken[momentum] = int(solution.steps.max())
    assert taken[0.8] < taken[0.0] / 2


def test_without_feedback_there_is_nothing_to_extrapolate() -> None:
    network = Network((4,))
    network.add(Dense(4, 3), Identity())
    problem = SinglePhase(network.double(), torch.randn(2, 4, dtype=torch.float64), 1.0, Ledger())
    assert solve(problem, problem.initial_state(), Sweep(momentum=0.9)).outcome is Outcome.CONVERGED


def test_a_held_mean_stays_where_it_settled_freely() -> None:
    """And is consistent with its drives: after T sweeps it climbs once more, m = f(a)."""
    network = nets.cnn(HardSigmoid(), nets.POOLS["max"], gain=0.8)
    x, target = nets.batch(network)
    relax = Sweep(max_steps=3, tolerance=0.0, momentum=0.5)
    settler = EquilibriumPropagation(relax=relax, nudged=nets.once(4))
    settled = settler.settle(network, x, target, nets.PROXIMAL)
    assert isinstance(settled, SettledDyad)
    problem, state, _ = settler.free(network, x, Ledger())
    for found, wanted in zip(settled.mean, problem.bottom_up(state), strict=True):
        assert torch.equal(found, wanted)
    for k, layer in enumerate(network.layers, start=1):
        assert torch.equal(settled.mean[k - 1], layer.potential.response(problem.drive(k)))


def test_a_solve_leaves_the_state_it_starts_from() -> None:
    """And what its problem has heard."""
    network = nets.mlp(HardSigmoid(), norm=0.4)
    x = nets.batch(network)[0]
    problem = SinglePhase(network, x, 0.5, Ledger())
    start = problem.initial_state()
    before, numbers = list(start), [tensor.clone() for tensor in start]
    assert not solve(problem, start, nets.once()).state[0].equal(numbers[0])
    assert all(now is then for now, then in zip(start, before, strict=True))
    assert all(now.equal(then) for now, then in zip(start, numbers, strict=True))
    assert all(drive is not None for drive in problem.messages.up)


def test_what_cannot_be_is_refused() -> None:
    for momentum in (1.0, -0.1, math.nan):
        with pytest.raises(ConfigurationError, match="momentum"):
            Sweep(momentum=momentum)
    with pytest.raises(ConfigurationError, match="freeze_mean"):
        ContrastiveHebbian(freeze_mean=True)
