"""The last half-sweep, layer by layer: what it yields, when it frees, and that it notices what moves under it."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from energy.couplings import Block, Convolution, Dense
from energy.feedback import DirectFeedback, Random
from energy.ledger import Ledger
from energy.network import Network
from energy.pooling import MaxPool
from energy.potentials import HardSigmoid, Identity, Tanh
from energy.relax import Dyad, FinalLayer, NudgeForm
from energy.relax.dyad import HeldDyad
from energy.relax.top_down import stream_final_layers
from energy.settle import DualPropagation, Dyadic, EquilibriumPropagation
from energy.settle.settled import SettledDyad
from energy.state import State
from tests.settle import nets


def block() -> Network:
    network = Network((2, 6, 6))
    network.add(Convolution(2, 3, padding=1), Tanh())
    network.add(Block(Convolution(3, 4, 2), torch.nn.MaxPool2d(2), centered=True), Tanh())
    network.add(Dense(16, 3), Identity())
    return nets.draw(network, 0.7, 1)


NETWORKS: dict[str, Callable[[], Network]] = {
    "mlp": lambda: nets.mlp(Tanh(), norm=0.5),
    "graph": lambda: nets.skips(HardSigmoid(), norm=0.4),
    "max": lambda: nets.cnn(HardSigmoid(), nets.POOLS["max"], norm=0.4),
    "average": lambda: nets.cnn(Tanh(), nets.POOLS["average"], norm=0.4),
    "pooled state": lambda: nets.pooled(Tanh(), MaxPool(2), norm=0.4),
    "curved": lambda: nets.curved(Tanh(), norm=0.4),
    "block": block,
    "readout": lambda: nets.mlp(HardSigmoid(), norm=0.5, readout=True),
}
SETTLERS: dict[str, Dyadic] = {
    "one sweep": DualPropagation(),
    "three sweeps": DualPropagation(nudged=nets.once(3)),
    "lower replica": DualPropagation(alpha=0.0, beta=0.5),
    "saddle": DualPropagation(alpha=0.3, beta=0.2, form=NudgeForm.SADDLE),
    "with feedback": DualPropagation(gamma=0.5, relax=nets.once(2)),
    "equilibrium": EquilibriumPropagation(freeze_mean=False, relax=nets.once(3), nudged=nets.once(3)),
    "held": EquilibriumPropagation(relax=nets.once(3), nudged=nets.once(3)),
    "direct": DualPropagation(feedback=DirectFeedback()),
    "direct, three sweeps": DualPropagation(feedback=DirectFeedback(), nudged=nets.once(3)),
    "random": DualPropagation(feedback=Random()),
}


def feedback_weight(name: str, how: str) -> bool:
    """Whether there are feedback weights for such a network."""
    return name != "curved" or how != "random"


CASES = [(name, how) for name in NETWORKS for how in SETTLERS if feedback_weight(name, how)]


def prepared(name: str, how: str) -> tuple[Network, Dyadic]:
    network, settler = NETWORKS[name](), SETTLERS[how]
    settler.attach_feedback(network, seed=3)
    return network, settler


@contextmanager
def no_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def pending(network: Network, settler: Dyadic) -> tuple[Dyad, State]:
    """The dyad before its last downward half-sweep, after `max_steps` − 1 sweeps by hand, and its state."""
    x, target = nets.batch(network)
    with torch.no_grad():
        dyad, state, _, _ = settler.nudge(network, x, target, nets.FROZEN, Ledger())
        for _ in range(settler.nudged.max_steps - 1):
            state = dyad.top_down(dyad.bottom_up(state))
        return dyad, dyad.bottom_up(state)


def settled(network: Network, settler: Dyadic, *, once: bool) -> SettledDyad:
    x, target = nets.batch(network)
    found = (settler.settle_once if once else settler.settle)(network, x, target, nets.FROZEN)
    assert isinstance(found, SettledDyad)
    return found


def present(delta: Tensor | None) -> Tensor:
    assert delta is not None
    return delta


@pytest.mark.parametrize(("name", "how"), CASES)
def test_it_yields_the_half_sweep_of_all_layers_from_the_output_down(name: str, how: str) -> None:
    """Bit for bit what `top_down` gives, which holds all of it; with and without shared un-pooling."""
    network, settler = prepared(name, how)
    dyad, state = pending(network, settler)
    with torch.no_grad():
        whole = dyad.top_down(state)
    depth = len(network.layers)
    for share in (False, True):
        twin, start = pending(network, settler)
        layers = list(stream_final_layers(twin, start, share=share))
        assert [one.layer for one in layers] == list(range(depth, 0, -1))
        for one in layers:
            assert torch.equal(one.mean, whole[one.layer - 1])
            assert torch.equal(present(one.delta), whole[depth + one.layer - 1])
            assert not one.mean.requires_grad and not present(one.delta).requires_grad
            assert set(one.linear) == {edge.index for edge in network.completed_by(one.layer)}
        assert all(linear is None for linear in twin.messages.linear)  # whoever pulls has them


@pytest.mark.parametrize(("name", "how"), CASES)
def test_what_is_read_once_is_what_is_retained(name: str, how: str) -> None:
    network, settler = prepared(name, how)
    kept, once = settled(network, settler, once=False), settled(network, settler, once=True)
    depth, seen = len(network.layers), 0
    for one in once.layers():
        assert torch.equal(one.mean, kept.mean[one.layer - 1])
        assert torch.equal(present(one.delta), present(kept.delta[one.layer - 1]))
        for edge, linear in one.linear.items():
            other, post = kept.linear[edge], present(kept.delta[network.edges[edge].target - 1])
            assert linear is not None and other is not None
            assert torch.equal(linear.adjoint(post), other.adjoint(post))
        seen += 1
    assert seen == depth and torch.equal(once.output, kept.output)


@pytest.mark.parametrize(("name", "how"), CASES)
def test_what_is_settled_is_so_many_sweeps(name: str, how: str) -> None:
    """Bit for bit those by hand, and as many as are told."""
    network, settler = prepared(name, how)
    dyad, state = pending(network, settler)
    with torch.no_grad():
        wanted = dyad.top_down(state)
    for once in (False, True):
        found = settled(network, settler, once=once)
        assert all(torch.equal(a, b) for a, b in zip(found.mean, wanted.tensors[: dyad.depth], strict=True))
        assert all(torch.equal(present(a), b) for a, b in zip(found.delta, wanted.tensors[dyad.depth :], strict=True))
        steps = settler.nudged.max_steps
        solution = found.solutions["nudged"]
        assert solution.taken == steps == found.ledger.sweeps["nudged"] and solution.steps.tolist() == [steps] * 4


def done_after(network: Network, layer: int) -> set[int]:
    """The layers that neither `layer`'s lower neighbours nor those further down hear from: from the edges alone."""
    return {
        k
        for k in range(layer, len(network.layers) + 1)
        if not any(edge.target == k and 0 < edge.source < layer for edge in network.edges)
    }


@pytest.mark.parametrize(("name", "how"), CASES)
def test_each_layer_is_freed_as_soon_as_none_below_reads_it(name: str, how: str) -> None:
    """By the count of references alone."""
    network, settler = prepared(name, how)
    depth, means, deltas = len(network.layers), dict[int, weakref.ref[Tensor]](), dict[int, weakref.ref[Tensor]]()
    with no_collector():
        result = settled(network, settler, once=True)
        # the mean of the output layer, where it is an output that the result tells
        free = {depth} if settler.freeze_mean else set[int]()
        top = {depth} if isinstance(settler.feedback, DirectFeedback) else set[int]()
        for one in result.layers():
            for k in done_after(network, one.layer + 1) - {one.layer}:
                assert k in free or means[k]() is None, (one.layer, k)
                assert k in top or deltas[k]() is None, (one.layer, k)
            for k in set(means) - done_after(network, one.layer + 1):
                assert means[k]() is not None and deltas[k]() is not None  # it is still read
            free |= {one.layer} if one.mean is result.output else set[int]()
            means[one.layer], deltas[one.layer] = weakref.ref(one.mean), weakref.ref(present(one.delta))
            linear = [weakref.ref(linear) for linear in one.linear.values() if linear is not None]
            assert len(linear) == len(one.linear)
            del one
            assert all(ref() is None for ref in linear)  # no one else holds them
        assert all(ref() is None for k, ref in means.items() if k not in free)
        assert free <= {depth}
        assert all(ref() is None for ref in deltas.values())  # with the pass, the output's goes too


@pytest.mark.parametrize("name", NETWORKS)
def test_states_of_a_solve_are_freed_one_by_one_too(name: str) -> None:
    """With a tolerance there is no pending pass; the layers are handed on and let go of all the same."""
    network = NETWORKS[name]()
    settler = EquilibriumPropagation(freeze_mean=False, relax=nets.once(3))
    with no_collector():
        result, refs = settled(network, settler, once=True), list[weakref.ref[Tensor]]()
        for one in result.layers():
            assert all(ref() is None for ref in refs)
            refs = [weakref.ref(one.mean), weakref.ref(present(one.delta))]
            del one
        assert all(ref() is None for ref in refs)


@pytest.mark.parametrize("when", [0, 1, 2])
def test_a_parameter_that_moves_between_two_layers_is_noticed(when: int) -> None:
    network = NETWORKS["mlp"]()
    layers = settled(network, DualPropagation(), once=True).layers()
    taken = [next(layers).layer for _ in range(when)]
    with torch.no_grad():
        network.edges[0].coupling.get_parameter("bias").add_(1e-3)
    with pytest.raises(ValueError, match="the parameters have moved since these states were settled: settle again"):
        next(layers)
    assert taken == [4, 3, 2][:when]
    assert next(layers, None) is None  # it ended there


def test_a_parameter_that_is_replaced_by_itself_has_not_moved() -> None:
    """Reading weights, or writing gradients, is no movement."""
    network = NETWORKS["mlp"]()
    result = settled(network, DualPropagation(), once=True)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
        assert torch.isfinite(parameter.detach().sum())
    assert len(list(result.layers())) == 4


@pytest.mark.parametrize("enabled", [True, False])
def test_the_gradient_mode_of_whoever_pulls_stays(enabled: bool) -> None:
    network = NETWORKS["mlp"]()
    with torch.set_grad_enabled(enabled):
        for one in settled(network, DualPropagation(), once=True).layers():
            assert torch.is_grad_enabled() is enabled
            assert not one.mean.requires_grad


@pytest.mark.parametrize("how", ["one sweep", "with feedback", "held", "direct"])
@pytest.mark.parametrize("name", ["mlp", "graph", "max"])
def test_a_pending_pass_costs_when_it_is_taken(name: str, how: str) -> None:
    """Together what the whole half-sweep costs, entered under the dyad's phase."""
    network, settler = prepared(name, how)
    dyad, state = pending(network, settler)
    before = dyad.ledger.multiply_adds
    with torch.no_grad():
        dyad.top_down(state)
    wanted = dyad.ledger.multiply_adds - before
    twin, start = pending(network, settler)
    before = twin.ledger.multiply_adds
    layers = stream_final_layers(twin, start, share=True)
    assert twin.ledger.multiply_adds == before
    list(layers)
    assert twin.ledger.multiply_adds - before == wanted > 0


def test_nothing_is_held_for_going_down_that_is_set_before_it_is_read() -> None:
    """At γ = 0 no state is read; with feedback the differences (curved couplings look at δ below); a held mean is."""
    network = NETWORKS["mlp"]()
    for how, wanted in (("one sweep", 0), ("with feedback", 4), ("held", 8)):
        dyad, state = pending(network, SETTLERS[how])
        assert len(dyad.read_going_down(state)) == wanted
        assert isinstance(dyad, HeldDyad) is (how == "held")


@st.composite
def graphs(draw: st.DrawFn) -> Network:
    """Two to six layers of two units; every layer hears some of those below, the input among them."""
    network = Network((2,))
    for k in range(1, draw(st.integers(2, 6)) + 1):
        sources = draw(st.sets(st.integers(0, k - 1), min_size=1, max_size=3))
        network.add({source: Dense(2, 2) for source in sorted(sources)}, Tanh())
    return nets.draw(network, 0.7, draw(st.integers(0, 5)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(network=graphs())
def test_edges_and_layers_are_each_finished_once(network: Network) -> None:
    depth = len(network.layers)
    edges = Counter(edge.index for k in range(1, depth + 1) for edge in network.completed_by(k))
    assert edges == Counter(range(len(network.edges)))
    layers = Counter(done for k in range(1, depth + 1) for done in network.last_read_at(k))
    assert layers == Counter(range(1, depth + 1))
    for k in range(depth, 0, -1):
        for edge in network.completed_by(k):  # going down, k is the end that comes last
            assert k == min(end for end in (edge.source, edge.target) if end)
        there = {done for j in range(k, depth + 1) for done in network.last_read_at(j)}
        assert there == done_after(network, k)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(network=graphs(), how=st.sampled_from(["one sweep", "three sweeps", "with feedback", "held"]))
def test_any_graph_is_streamed_as_it_is_settled(network: Network, how: str) -> None:
    settler = SETTLERS[how]
    kept, once = settled(network, settler, once=False), settled(network, settler, once=True)
    order, refs = list[int](), dict[int, weakref.ref[Tensor]]()
    with no_collector():
        for one in once.layers():
            assert torch.equal(one.mean, kept.mean[one.layer - 1])
            assert torch.equal(present(one.delta), present(kept.delta[one.layer - 1]))
            gone = done_after(network, one.layer + 1)
            assert all((ref() is None) is (k in gone) for k, ref in refs.items())
            order.append(one.layer)
            refs[one.layer] = weakref.ref(present(one.delta))
            del one
    assert order == list(range(len(network.layers), 0, -1))


def test_a_final_layer_is_a_plain_value() -> None:
    one = FinalLayer(2, torch.ones(1, 3), None, {})
    assert one._replace(layer=1).layer == 1 and one.delta is None
