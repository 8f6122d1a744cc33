"""A recorded step is never a stale one: whatever changes between two batches is read, or recorded anew."""

from __future__ import annotations

import copy
import dataclasses
import gc
import math
from collections.abc import Callable
from weakref import ref

import pytest
import torch

from energy.feedback import KolenPollack, Random, SignBatch, resample
from energy.network import Network
from energy.pooling import AveragePool, MaxPool
from energy.potentials import Identity, ReLU, Tanh
from energy.program.program import KEPT
from energy.relax import Sweep
from energy.relax.contraction import ContractBy, attach_contraction
from energy.rules import Contrast
from energy.settle import Backprop, DualPropagation, EquilibriumPropagation, TwoPhase
from energy.settle.settler import Settler
from tests.program.cases import NETWORKS, batches, normalized, short
from tests.program.pairs import Pair
from tests.settle import nets

EP = short(EquilibriumPropagation())


def pair(kind: str = "mlp", settler: Settler | None = None) -> Pair:
    found = Pair(NETWORKS[kind](), settler or DualPropagation(), Contrast())
    found.run(*batches(found.plain, count=2))
    assert found.recorded == 1
    return found


def changed(found: Pair, change: Callable[[Network], object], *, anew: int = 1) -> None:
    """Apply a change to both networks, and check the steps after it; `anew` steps are recorded for it."""
    for network in found.networks:
        change(network)
    found.run(*(nets.batch(found.plain, seed=k) for k in (5, 6)))
    assert found.recorded == 1 + anew


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("samples", [1, 3, 7])
def test_another_batch_size(samples: int) -> None:
    found = pair(settler=EP)
    found.run(nets.batch(found.plain, samples), nets.batch(found.plain), nets.batch(found.plain, samples, seed=2))
    assert found.recorded == 2


def test_another_layout_of_a_batch() -> None:
    found = pair("pooled")
    x, target = nets.batch(found.plain)
    found.run((x.contiguous(memory_format=torch.channels_last), target), (x, target.T.contiguous().T))
    assert found.recorded == 3


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)], ids=str)
def test_another_dtype_of_a_batch(dtype: torch.dtype) -> None:
    found = pair(settler=EP)
    found.run(nets.batch(found.plain, dtype=dtype), nets.batch(found.plain))
    assert found.recorded == 2


def test_another_dtype_of_the_target() -> None:
    found = pair()
    x, target = nets.batch(found.plain)
    found.run((x, target.float()))
    assert found.recorded == 2


def test_another_dtype_of_the_weights() -> None:
    changed(pair(), lambda network: network.float())


@pytest.mark.parametrize("settler", [DualPropagation(), EP, Backprop()])
def test_a_frozen_weight(settler: DualPropagation) -> None:
    found = pair(settler=settler)
    changed(found, lambda network: network.couplings[1].requires_grad_(False))
    assert all(p.grad is None for p in found.traced.couplings[1].parameters())
    found.run(*batches(found.plain))


def test_a_weight_that_is_thawed_again() -> None:
    found = pair()
    changed(found, lambda network: network.couplings[0].requires_grad_(False))
    changed(found, lambda network: network.couplings[0].requires_grad_(True))


@pytest.mark.parametrize(
    "other",
    [
        DualPropagation(beta=0.2),
        DualPropagation(nudged=nets.once(2)),
        EP,
        dataclasses.replace(EP, beta=0.5),
        Backprop(),
    ],
)
def test_another_settler(other: DualPropagation) -> None:
    found = pair()
    found.settler = other
    changed(found, lambda network: None)


@pytest.mark.parametrize("objective", [nets.PROXIMAL, nets.LIVE, nets.CROSS])
def test_another_objective(objective: object) -> None:
    found = pair(settler=DualPropagation(alpha=0.0))
    found.objective = objective  # type: ignore[assignment]
    changed(found, lambda network: None)


def test_another_potential() -> None:
    """Also where the new one takes the place in memory of the old one."""

    def replaced(kind: type) -> Callable[[Network], None]:
        def change(network: Network) -> None:
            network.layers[0] = dataclasses.replace(network.layers[0], potential=kind())
            gc.collect()

        return change

    found = pair()
    changed(found, replaced(ReLU), anew=1)
    changed(found, replaced(Identity), anew=2)
    changed(found, replaced(Tanh), anew=2)  # equals the first


def test_another_pooling() -> None:
    def swap(network: Network) -> None:
        network.couplings[1].pool = AveragePool(2)  # type: ignore[assignment]

    def moved(network: Network) -> None:
        network.couplings[1].pool = MaxPool(2, 2)  # type: ignore[assignment]

    found = pair("pooled", EP)
    changed(found, swap)
    changed(found, moved)  # equals the first


def test_another_epsilon_of_a_normalization() -> None:
    def change(network: Network) -> None:
        network.couplings[0].eps = 0.5  # type: ignore[assignment]

    found = Pair(normalized(), DualPropagation(), Contrast())
    found.run(*batches(found.plain))
    changed(found, change)


def test_a_hook_of_a_module() -> None:
    """Modules by autograd are called with their hooks."""

    def hook(network: Network) -> None:
        network.couplings[1].module[0].register_forward_hook(lambda *given: 2 * given[-1])  # type: ignore[index]

    changed(pair("autograd"), hook)


def test_a_hook_of_a_closed_form_is_refused_as_ever() -> None:
    found = pair()
    found.traced.couplings[0].register_forward_hook(lambda *given: None)
    with pytest.raises(ValueError, match="hook"):
        found.program.learn(found.traced, found.settler, *nets.batch(found.plain), found.objective)


def test_deterministic_algorithms() -> None:
    found = pair()
    torch.use_deterministic_algorithms(True)
    try:
        changed(found, lambda network: None)
    finally:
        torch.use_deterministic_algorithms(False)


def test_inference_mode() -> None:
    found = pair()
    with torch.inference_mode():
        changed(found, lambda network: None)
    found = pair(settler=Backprop())
    with torch.inference_mode(), pytest.raises(ValueError, match="inference_mode"):
        found.program.learn(found.traced, found.settler, *nets.batch(found.plain), found.objective)


def test_autocast_is_refused_as_ever() -> None:
    found = pair()
    with torch.autocast("cpu"), pytest.raises(ValueError, match="autocast"):
        found.program.learn(found.traced, found.settler, *nets.batch(found.plain), found.objective)


@pytest.mark.parametrize("bad", ["x", "target", "shape", "type"])
def test_bad_arguments_are_refused_in_the_words_of_the_plain_step(bad: str) -> None:
    found = pair()
    x, target = nets.batch(found.plain)
    given = {
        "x": (x[:, 1:], target),
        "target": (x, target[:2]),
        "shape": (x, target[:, :1]),
        "type": (x, [0, 1, 2, 0]),
    }[bad]
    errors = []
    for rule, network in ((found.rule, found.plain), (found.program, found.traced)):
        with pytest.raises((ValueError, TypeError)) as raised:
            rule.learn(network, found.settler, *given, found.objective)  # type: ignore[arg-type]
        errors.append((type(raised.value), str(raised.value)))
    assert errors[0] == errors[1]
    found.run((x, target))


@pytest.mark.parametrize("settler", [DualPropagation, pytest.param(EquilibriumPropagation, marks=pytest.mark.slow)])
def test_feedback_weights_that_are_attached_anew(settler: type[DualPropagation]) -> None:
    """Other numbers are read; another kind is recorded anew."""
    kinds = [Random(), Random(), KolenPollack()]
    network = NETWORKS["mlp"]()
    kinds[0].attach(network, seed=0)
    found = Pair(network, short(settler(feedback=kinds[0])), Contrast())
    found.run(*batches(network))
    for seed, kind in enumerate(kinds):
        for one in found.networks:
            kind.attach(one, seed=seed)
        found.settler = dataclasses.replace(found.settler, feedback=kind)  # type: ignore[call-arg]
        found.run(*batches(network))


def test_feedback_weights_that_are_drawn_again() -> None:
    network, kind = NETWORKS["mlp"](), SignBatch()
    kind.attach(network)
    found = Pair(network, DualPropagation(feedback=kind), Contrast())
    found.run(*batches(network))
    for step in range(1, 4):
        for one in found.networks:
            resample(one, step)
        found.run(*batches(network))
    assert found.recorded == 1


def shift(network: Network) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)


def load(network: Network) -> None:
    network.load_state_dict({name: 1.01 * tensor for name, tensor in network.state_dict().items()})


def data(network: Network) -> None:
    for parameter in network.parameters():
        parameter.data = parameter.data * 0.99


def step(network: Network) -> None:
    torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9).step()


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("change", [shift, load, data, step])
@pytest.mark.parametrize("settler", [DualPropagation(), EP, Backprop()])
def test_new_numbers_in_weights_are_read(settler: DualPropagation, change: Callable[[Network], None]) -> None:
    changed(pair(settler=settler), change, anew=0)


def test_new_numbers_in_running_statistics_are_read() -> None:
    def change(network: Network) -> None:
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.fill_(3.0)

    found = Pair(normalized(), DualPropagation(), Contrast())
    found.run(*batches(found.plain))
    for network in found.networks:
        change(network)
    found.run(*batches(found.plain))
    assert found.recorded == 1


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize(
    "settler",
    [
        EP,
        short(TwoPhase()),
        short(DualPropagation(gamma=0.5)),
        dataclasses.replace(EP, contract_by=ContractBy.WEIGHTS),
        short(TwoPhase(contract_by=ContractBy.GAMMA)),
    ],
)
@pytest.mark.parametrize("loaded", [False, True])
def test_a_network_that_is_held_contracting(settler: EquilibriumPropagation, loaded: bool) -> None:
    """The step that begins the estimate is plain; those after it are recorded, also after a state dict was loaded.

    Up to rounding: the gain of feedback is a number in a plain step on a CPU, and a tensor in a recorded one.
    """
    settler, network = dataclasses.replace(settler, keep_contracting=0.2), NETWORKS["mlp"]()
    settler.attach_feedback(network)
    found = Pair(network, settler, Contrast(), rounding=1e-12)
    found.run(nets.batch(network))
    assert found.recorded == 0
    if loaded:
        for one in found.networks:
            one.load_state_dict(one.state_dict())
        found.run(nets.batch(network, seed=1))
        assert found.recorded == 0
    found.run(*batches(network))
    assert found.recorded == 1
    plain, traced = (attach_contraction(network) for network in (found.plain, found.traced))
    assert 0 < float(traced.scale) <= 1 and (float(traced.scale) < 1) == (settler.contract_by is ContractBy.GAMMA)
    assert float(traced.factor) == pytest.approx(float(plain.factor), rel=1e-9)


def test_another_network_of_the_same_form() -> None:
    found = pair()
    other = Pair(NETWORKS["mlp"](), DualPropagation(), Contrast())
    for network in other.networks:
        shift(network)
    other.program = found.program
    other.run(*batches(other.plain))
    found.run(*batches(found.plain))
    assert found.recorded == 2


def test_the_number_of_programs_is_bounded() -> None:
    found = Pair(NETWORKS["mlp"](), DualPropagation(), Contrast())
    for samples in range(1, KEPT + 4):
        found.run(nets.batch(found.plain, samples))
    assert found.recorded == len(found.program._known) == KEPT
    found.run(nets.batch(found.plain, 1))  # recorded again


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "normalized", "autograd"])
@pytest.mark.parametrize("settler", [DualPropagation(), EP, Backprop()])
def test_a_program_keeps_no_network_alive(settler: DualPropagation, kind: str) -> None:
    found = Pair(NETWORKS[kind](), settler, Contrast())
    found.run(*batches(found.plain))
    program, gone = found.program, [ref(found.traced), *map(ref, found.traced.parameters())]
    assert found.recorded == 1
    del found
    gc.collect()
    assert not any(one() is not None for one in gone)
    other = Pair(NETWORKS["skips"](), settler, Contrast())
    other.program = program
    other.run(*batches(other.plain))
    assert len(program._known) == 1  # those of dead networks are let go


def test_a_solve_that_takes_more_blocks_than_ever_before() -> None:
    """Blocks that were not needed for the first batch are recorded when they are, in the modes that it had."""
    network, residuals = normalized(), {}
    for seed in range(4):
        x, target = nets.batch(network, seed=seed)
        one = dataclasses.replace(EP, relax=Sweep(max_steps=2, tolerance=1e-15, check_every=2, momentum=0.5))
        settled = one.settle(copy.deepcopy(network), x, target, nets.FROZEN)
        residuals[seed] = float(settled.solutions["free"].residual.max())
    easy, hard = min(residuals, key=residuals.__getitem__), max(residuals, key=residuals.__getitem__)
    between = math.sqrt(residuals[easy] * residuals[hard])
    relax = Sweep(max_steps=6, tolerance=between, check_every=2, momentum=0.5)
    found = Pair(network, dataclasses.replace(EP, relax=relax), Contrast())
    taken = []
    for seed in (easy, hard):
        taken.append(found.check(*nets.batch(network, seed=seed)).solutions["free"].taken)
        found.move()
    assert taken[0] == 2 < taken[1]
    assert found.recorded == 1
