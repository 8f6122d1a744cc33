"""Nothing of a batch is kept, nothing is shared between two steps, and gradients add up on request."""

from __future__ import annotations

import gc
from weakref import ref

import pytest
import torch
from torch import Tensor

from energy.network import Network
from energy.rules import Contrast
from energy.rules.rule import Rule
from energy.settle import Backprop, DualPropagation, EquilibriumPropagation, Feedforward, Spiking, TwoPhase
from energy.settle.settler import Settler
from tests.program.cases import NETWORKS, SETTLERS, batches, normalized, short, subject
from tests.program.pairs import Pair
from tests.rules.test_memory import BCM
from tests.settle import nets

SOME = [DualPropagation(), short(EquilibriumPropagation()), short(TwoPhase()), Backprop(), Spiking(steps=3)]


def label(value: object) -> str:
    return getattr(value, "name", "") or str(value)


def tensors(seen: set[int]) -> list[Tensor]:
    """All tensors with numbers that are alive, but for those of `seen`."""
    gc.collect()
    found = [one for one in gc.get_objects() if issubclass(type(one), Tensor) and id(one) not in seen]
    return [one for one in found if type(one) in (Tensor, torch.nn.Parameter) and not one.is_meta]


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("settler", SOME, ids=label)
@pytest.mark.parametrize("kind", ["mlp", "pooled"])
def test_a_program_keeps_nothing_of_its_first_batch(settler: Settler, kind: str) -> None:
    """Of a batch of seven samples nothing is left that has them, but its gradients."""
    others = tensors(set())  # of tests before this one; held, so that no other takes the place of one
    pair = Pair(NETWORKS[kind](), settler, Contrast())
    x, target = nets.batch(pair.plain, 7)
    gone = [ref(x), ref(target)]
    settled = pair.program.learn(pair.traced, settler, x, target, pair.objective)
    gone += [ref(settled.output)]
    assert pair.recorded == 1
    del x, target, settled
    left = [one for one in tensors(set(map(id, others))) if one.ndim and one.shape[0] == 7 and one.stride()[0] != 0]
    assert left == [] and [one() for one in gone] == [None] * 3


def results(network: Network, rule: Rule, settler: Settler, x: Tensor, target: Tensor) -> list[Tensor]:
    """All tensors that come out of a step: gradients, output and solutions."""
    settled = rule.learn(network, settler, x, target, nets.FROZEN)
    solved = [one for solution in settled.solutions.values() for one in (*solution.state, solution.residual)]
    return [settled.output, *solved, *(p.grad for p in network.parameters() if p.grad is not None)]


@pytest.mark.parametrize("settler", SOME, ids=label)
def test_no_result_shares_memory_with_an_argument_or_with_the_step_before(settler: Settler) -> None:
    pair = Pair(NETWORKS["mlp"](), settler, Contrast())
    network, (first, second) = pair.traced, batches(pair.traced, count=2)
    held = [tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers(), *first)]
    one = results(network, pair.program, settler, *first)
    kept = [tensor.clone() for tensor in one]
    pair.traced.couplings[0].weight.data.add_(0.01)  # type: ignore[operator, union-attr]
    last = next(reversed(list(network.parameters())))
    last.data.add_(0.01)
    two = results(network, pair.program, settler, *second)
    storages = [tensor.untyped_storage().data_ptr() for tensor in (*one, *two) if tensor.numel()]
    assert not set(storages) & set(held)
    before = {tensor.untyped_storage().data_ptr() for tensor in one if tensor.numel()}
    assert not before & {tensor.untyped_storage().data_ptr() for tensor in two if tensor.numel()}
    assert all(torch.equal(a.nan_to_num(nan=7.0), b.nan_to_num(nan=7.0)) for a, b in zip(one, kept, strict=True))


@pytest.mark.parametrize("settler", SOME, ids=label)
def test_gradients_add_up(settler: Settler) -> None:
    pair = Pair(NETWORKS["mlp"](), settler, Contrast())
    given = batches(pair.plain, count=3)
    single = []
    for x, target in given:
        pair.program.learn(pair.traced, settler, x, target, pair.objective)
        single.append([p.grad.clone() for p in pair.traced.parameters() if p.grad is not None])
        pair.traced.zero_grad()
    for x, target in given:
        pair.check(x, target, accumulate=True)
    total = [a + b + c for a, b, c in zip(*single, strict=True)]
    found = [p.grad for p in pair.traced.parameters()]
    assert all(one is not None and torch.equal(one, other) for one, other in zip(found, total, strict=True))


@pytest.mark.parametrize("name", SETTLERS)
def test_a_recording_alone_changes_nothing(name: str) -> None:
    """Weights, buffers and gradients move when a step is replayed, and only then."""
    from energy.program.replay import Replay

    network = subject(SETTLERS[name], "mlp") if name != "dual_propagation" else normalized()
    x, target = batches(network, count=1)[0]
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    kept = [vars(edge.coupling).copy() for edge in network.edges]
    Replay(Contrast(), network, SETTLERS[name], nets.FROZEN, x, target, compiled=False)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert kept == [vars(edge.coupling) for edge in network.edges]


def test_what_a_rule_remembers_moves_once_a_batch() -> None:
    network = NETWORKS["mlp"]()
    BCM().attach(network)
    pair = Pair(network, Feedforward(), BCM())
    before = pair.traced.memory.theta_1.clone()  # type: ignore[union-attr, operator]
    x, target = nets.batch(network)
    pair.check(x, target)
    after = pair.traced.memory.theta_1  # type: ignore[union-attr]
    drive = x @ network.couplings[0].weight.T + network.couplings[0].bias  # type: ignore[union-attr, operator]
    wanted = before.lerp(drive.square().mean(0), 0.25)
    torch.testing.assert_close(after, wanted.detach(), rtol=1e-12, atol=1e-14)
