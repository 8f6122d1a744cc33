"""Messages are those of one state, or of none: after every way of sending them, on every kind of problem."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from energy.graph import total
from energy.ledger import Ledger
from energy.network import Network
from energy.potentials import HardSigmoid, Tanh
from energy.relax import Dyad, Layered, NudgeForm, Nudging, SinglePhase, Sweep, Synchronous, Zebra, solve
from energy.relax.dyad import HeldDyad
from energy.relax.messages import Messages
from energy.state import State
from tests.settle import nets

NETWORKS: dict[str, Callable[[], Network]] = {
    "mlp": lambda: nets.mlp(Tanh(), norm=0.5),
    "graph": lambda: nets.skips(HardSigmoid(), norm=0.6),
    "max": lambda: nets.pooled(Tanh(), nets.POOLS["max"], norm=0.5),
    "curved": lambda: nets.curved(Tanh(), norm=0.7),
}
OPERATIONS: dict[str, Callable[[Layered, State], State]] = {
    "bottom_up": lambda problem, state: problem.bottom_up(state),
    "top_down": lambda problem, state: problem.top_down(state),
    "response": lambda problem, state: problem.response(state),
    "even": lambda problem, state: problem.update_layers(state, problem.colors[0]),
    "odd": lambda problem, state: problem.update_layers(state, problem.colors[1]),
    "first": lambda problem, state: problem.update_layers(state, [1]),
    "nothing": lambda problem, state: state,
    "equal": lambda problem, state: State(state),
}


def free(network: Network, gamma: float = 0.5) -> SinglePhase:
    return SinglePhase(network, nets.batch(network)[0], gamma, Ledger())


def started(kind: str, network: Network, gamma: float = 0.5) -> tuple[Layered, State]:
    """A problem and the state it begins with."""
    problem = free(network, gamma)
    state = problem.initial_state()
    if kind == "single":
        return problem, state
    target = nets.batch(network)[1]
    nudging = Nudging(objective=nets.PROXIMAL, target=target, beta=0.3, form=NudgeForm.ADJOINT)
    dyad = {"dyad": Dyad, "held": HeldDyad}[kind](network, problem.x, gamma, problem.ledger, nudging)
    return dyad, dyad.initial_state(state, problem)


def same(one: Tensor | None, wanted: Tensor) -> None:
    """To rounding; nothing sent is zero."""
    found = torch.zeros_like(wanted) if one is None else one
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-13)


@torch.no_grad()
def current(problem: Layered, kind: str) -> None:
    """What the messages say of `sent_by`, against the couplings themselves."""
    state = problem.messages.sent_by
    if state is None:
        return
    for edge in problem.network.edges:
        below = problem.mean(state, edge.source)
        drive, linear = edge.coupling.linearize(below)
        same(problem.messages.up[edge.index], drive)
        held = problem.messages.linear[edge.index]
        post = torch.linspace(-1, 1, drive.numel(), dtype=drive.dtype).view_as(drive)
        assert held is not None
        same(held.adjoint(post), linear.adjoint(post))
        if isinstance(problem, Dyad) and edge.source:
            gain = edge.gain(float(problem.gamma))
            same(problem.messages.d_up[edge.index], gain * linear.tangent(problem.delta(state, edge.source)))


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("kind", ["single", "dyad", "held"])
@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(names=st.lists(st.sampled_from(list(OPERATIONS)), max_size=7))
def test_upward_messages_are_those_of_the_state_that_sent_them(name: str, kind: str, names: list[str]) -> None:
    with torch.no_grad():
        problem, state = started(kind, NETWORKS[name]())
        current(problem, kind)
        for one in names:
            state = OPERATIONS[one](problem, state)
            current(problem, kind)
            if one == "bottom_up":
                assert problem.messages.sent_by is state


@pytest.mark.parametrize("kind", ["single", "dyad", "held"])
def test_a_half_sweep_whose_messages_are_current_costs_nothing(kind: str) -> None:
    problem, state = started(kind, NETWORKS["graph"]())
    spent = problem.ledger.multiply_adds
    assert problem.bottom_up(state) is state and problem.ledger.multiply_adds == spent
    below = problem.top_down(state)
    down = problem.ledger.multiply_adds
    again = problem.bottom_up(below)
    assert again is not below and problem.ledger.multiply_adds > down > spent
    spent = problem.ledger.multiply_adds
    assert problem.bottom_up(again) is again and problem.ledger.multiply_adds == spent


@pytest.mark.parametrize("operation", ["top_down", "response", "even", "odd", "first", "equal"])
@pytest.mark.parametrize("kind", ["single", "dyad", "held"])
def test_they_are_stale_for_every_other_state(kind: str, operation: str) -> None:
    """Even for one with the same numbers: `bottom_up` sends again, and gives what a problem that knows nothing does."""
    network = NETWORKS["mlp"]()
    problem, state = started(kind, network)
    state = OPERATIONS[operation](problem, state)
    assert problem.messages.sent_by is not state
    other, _ = started(kind, network)
    other.messages = problem.messages.copy()
    other.messages.sent_by = None
    spent, wanted = problem.ledger.multiply_adds, other.bottom_up(state)
    found = problem.bottom_up(state)
    assert problem.ledger.multiply_adds > spent
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_a_response_leaves_nobody_the_sender() -> None:
    problem, state = started("single", NETWORKS["mlp"]())
    problem.response(state)
    assert problem.messages.sent_by is None  # it was sent by `state`, but nobody promises that of a response


def test_a_problem_that_has_heard_nothing_hears_from_below_first() -> None:
    """Going down before going up sends up once along each edge, for its linearization."""
    network = NETWORKS["mlp"]()
    problem, other = free(network), free(network)
    state = other.initial_state()
    assert problem.messages.sent_by is None
    for edge in network.edges[1:]:
        assert problem.messages.linear[edge.index] is None
        problem.linearization(state, edge)
        same(problem.messages.up[edge.index], edge.coupling(state[edge.source - 1]).detach())
    assert problem.messages.up[0] is None


def test_a_copy_has_slots_of_its_own() -> None:
    problem, state = started("single", NETWORKS["graph"]())
    copied = problem.messages.copy()
    assert copied.sent_by is state
    names = ("up", "down", "d_up", "d_down", "linear")
    for name in names:
        mine, theirs = getattr(copied, name), getattr(problem.messages, name)
        assert mine is not theirs and all(a is b for a, b in zip(mine, theirs, strict=True))
        mine[:] = [None] * len(mine)
    copied.sent_by = None
    assert problem.messages.sent_by is state
    assert all(one is not None for one in (*problem.messages.up, *problem.messages.linear))


@pytest.mark.parametrize("kind", ["dyad", "held"])
@pytest.mark.parametrize("settled", [False, True])
def test_a_dyad_takes_over_what_its_mean_has_heard(kind: str, settled: bool) -> None:
    """Current only if the mean is the state that sent it."""
    network = NETWORKS["mlp"]()
    problem = free(network)
    mean = problem.initial_state()
    mean = problem.top_down(mean) if settled else mean
    nudging = Nudging(objective=nets.PROXIMAL, target=nets.batch(network)[1], beta=0.3)
    dyad = {"dyad": Dyad, "held": HeldDyad}[kind](network, problem.x, 0.5, Ledger(), nudging)
    state = dyad.initial_state(mean, problem)
    assert dyad.messages is not problem.messages
    assert dyad.messages.sent_by is (None if settled else state)
    assert all(a is b for a, b in zip(dyad.messages.up, problem.messages.up, strict=True))
    assert len(state) == 8 and not any(bool(delta.any()) for delta in state.tensors[4:])


@pytest.mark.parametrize("relax", [Sweep(max_steps=3, tolerance=0.0), Zebra(max_steps=3), Synchronous(max_steps=3)])
def test_after_a_solve_the_last_state_is_not_mistaken_for_the_sender(relax: Sweep) -> None:
    network = NETWORKS["mlp"]()
    problem = free(network, 1.0)
    state = solve(problem, problem.initial_state(), relax).state
    current(problem, "single")
    settled = problem.bottom_up(state)
    assert settled is not state
    current(problem, "single")


def test_what_a_layer_has_received_is_freed_and_summed() -> None:
    network = NETWORKS["graph"]()
    problem, state = started("dyad", network)
    state = problem.bottom_up(problem.top_down(state))
    messages = problem.messages
    for layer in range(1, 5):
        into, out = network.into(layer), network.out_of(layer)
        parts = [messages.up[e.index] for e in into] + [messages.down[e.index] for e in out]
        assert [id(one) for one in messages.received(network, layer)] == [id(p) for p in parts if p is not None]
        assert len(messages.errors(network, layer)) == sum(bool(e.source) for e in into) + len(out)
        problem.messages.drop(network, layer)
        assert messages.received(network, layer) == messages.errors(network, layer) == []
    assert all(linear is not None for linear in messages.linear)  # whoever learns takes them


def test_the_sum_goes_from_left_to_right() -> None:
    """(1e16 + 1) − 1e16 is 0 in float64, and 1 in another order."""
    parts = [torch.tensor(value, dtype=torch.float64) for value in (1e16, 1.0, -1e16)]
    assert float(total(parts)) == 0.0 and float(parts[0]) == 1e16
    assert float(total([parts[0], parts[2], parts[1]])) == 1.0
    assert Messages.none(NETWORKS["mlp"]()).up == [None] * 4
