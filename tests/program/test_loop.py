"""A solve with a tolerance inside a program ends as the plain one does, in every field, wherever it ends."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from energy.network import Network
from energy.potentials import ReLU, Tanh
from energy.program.record import Untraceable
from energy.relax import Sweep, Synchronous, Zebra
from energy.relax.solution import Outcome
from energy.rules import Contrast
from energy.settle import EquilibriumPropagation, TwoPhase
from tests.program.cases import NETWORKS, normalized
from tests.program.pairs import Pair
from tests.settle import nets


def contracting() -> Network:
    return nets.mlp(Tanh(), sizes=(5, 4, 4, 3), norm=0.4)


def ends(network: Network, relax: Any, *scales: float, kind: Any = EquilibriumPropagation) -> list[tuple[Outcome, int]]:
    """Outcome and steps of the free solves of batches of these sizes, each checked against the plain one."""
    pair, found = Pair(network, kind(relax=relax, nudged=relax), Contrast()), []
    for k, scale in enumerate(scales):
        x, target = nets.batch(network, seed=k)
        one = pair.check(scale * x, target).solutions["free"]
        found.append((one.outcome, one.taken))
        pair.move()
    assert pair.recorded == 1
    return found


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("kind", [EquilibriumPropagation, TwoPhase])
@pytest.mark.parametrize("relax", [Sweep, Synchronous, Zebra])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_the_budget_runs_out(kind: Any, relax: Any, every: int) -> None:
    """Seven steps: with a last block that is shorter at two and three steps a block."""
    given = relax(max_steps=7, tolerance=1e-15, check_every=every)
    assert ends(contracting(), given, 1.0, 2.0, kind=kind) == [(Outcome.BUDGET, 7)] * 2


@pytest.mark.parametrize("momentum", [0.0, pytest.param(0.5, marks=pytest.mark.slow)])
def test_converged_at_the_first_look_or_later(momentum: float) -> None:
    """Without biases zeros stand still at once; others need longer, be they the first batch or the second."""
    relax = Sweep(max_steps=60, tolerance=1e-6, check_every=2, momentum=momentum)
    network = nets.mlp(Tanh(), sizes=(5, 4, 4, 3), norm=0.4, bias=0.0)
    still, *others = ends(network, relax, 0.0, 1.0, 0.01)
    assert still == (Outcome.CONVERGED, 2)
    assert all(outcome is Outcome.CONVERGED and 2 < taken < 60 for outcome, taken in others)
    (outcome, taken), (last, fewer) = ends(contracting(), relax, 1.0, 1.0)
    assert outcome is last is Outcome.CONVERGED and taken > 2 and fewer > 2


def test_a_way_that_may_rise_ends_with_and_without_a_way_back() -> None:
    """Zeros converge, the batch after them runs out of budget and gets its best states back."""
    network = nets.mlp(Tanh(), sizes=(5, 4, 4, 3), norm=0.9, bias=0.0)
    relax = Synchronous(max_steps=6, tolerance=1e-9, check_every=2)
    assert ends(network, relax, 0.0, 1.0) == [(Outcome.CONVERGED, 2), (Outcome.BUDGET, 6)]


def test_converged_at_the_last_look() -> None:
    """The last of four looks is the first that finds the residual below a tolerance between its third and fourth."""
    network, (x, target) = contracting(), nets.batch(contracting())
    residuals = []
    for steps in (6, 8):
        relax = Sweep(max_steps=steps, tolerance=1e-15, check_every=2)
        pair = Pair(network, EquilibriumPropagation(relax=relax, nudged=relax), Contrast())
        residuals.append(float(pair.learn(x, target)[0].solutions["free"].residual.max()))
    between = math.sqrt(residuals[0] * residuals[1])
    found = ends(network, Sweep(max_steps=8, tolerance=between, check_every=2), 1.0)
    assert found == [(Outcome.CONVERGED, 8)]


def test_diverged() -> None:
    """Activity that feeds itself: the layer is named, and the caution is that of the plain step."""
    network = nets.mlp(ReLU(), sizes=(5, 4, 4, 3), gain=6.0, bias=1.0)
    relax = Sweep(max_steps=40, tolerance=1e-3, check_every=4)
    pair = Pair(network, EquilibriumPropagation(relax=relax, nudged=relax), Contrast())
    x, target = nets.batch(network)
    said = []
    for rule, one in ((pair.rule, pair.plain), (pair.program, pair.traced)):
        with pytest.warns(UserWarning, match="the free solve diverged at layer") as caught:
            settled = rule.learn(one, pair.settler, x, target, pair.objective)
        said.append([str(one.message) for one in caught])
        assert settled.solutions["free"].outcome is Outcome.DIVERGED and settled.solutions["free"].layer
    assert said[0] == said[1]
    pair.move(0.0)
    with torch.no_grad():
        for network_ in pair.networks:
            next(network_.parameters()).mul_(1.01)  # as an optimizer would
    pair.check(x, target)


def test_a_solve_that_fails_in_the_middle_leaves_the_step_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running statistics that moved before it are taken back, so that they move once."""
    pair = Pair(normalized(), EquilibriumPropagation(relax=nets.once(2), nudged=Sweep(max_steps=2)), Contrast())
    pair.run(nets.batch(pair.plain))
    replay = pair.program._known[0].replay
    assert replay is not None and replay.written and len(replay.loops) == 1

    def fails(*_: Any) -> Any:
        raise Untraceable("no more")

    monkeypatch.setattr(replay.loops[0], "_advance", fails)
    with pytest.warns(UserWarning, match="this step stays plain: .*no more") as said:
        pair.run(*(nets.batch(pair.plain, seed=k) for k in range(3)))
    assert len(said) == 1 and pair.recorded == 0


def test_a_state_that_starts_from_another_form_is_recorded_for_each() -> None:
    """The first block starts without messages and momentum: two forms, and two more for a shorter last block."""
    relax = Sweep(max_steps=5, tolerance=1e-15, check_every=2, momentum=0.5)
    pair = Pair(NETWORKS["mlp"](), EquilibriumPropagation(relax=relax, nudged=relax), Contrast())
    pair.run(*(nets.batch(pair.plain, seed=k) for k in range(3)))
    replay = pair.program._known[0].replay
    assert replay is not None
    assert [len(loop.blocks) for loop in replay.loops] == [3, 3]
    assert all(torch.is_tensor(one) is False for loop in replay.loops for one in vars(loop).values())
