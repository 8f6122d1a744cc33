"""A whole training step as one program, against the plain step and torch's own optimizers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from energy.ledger import Ledger
from energy.models import MLP
from energy.network import Network
from energy.objectives import CrossEntropy, one_hot
from energy.program.record import Untraceable
from energy.program.training import Trained, TrainingStep
from energy.program.update import admits
from energy.rules.contrast import Contrast
from energy.settle.dyadic import DualPropagation
from energy.stream import stream

Optimizers = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Optimizers] = {
    "sgd": partial(torch.optim.SGD, lr=0.05),
    "momentum": partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "nesterov": partial(torch.optim.SGD, lr=0.05, momentum=0.8, nesterov=True),
    "adam": partial(torch.optim.Adam, lr=0.01, weight_decay=0.1),
    "adamw": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1, betas=(0.8, 0.99)),
}
ROOM = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-5}  # weights are float32 under bfloat16
SETTLER = DualPropagation()


def made(dtype: torch.dtype) -> Network:
    network = MLP(sizes=[9, 7]).build((6,), 4, seed=0)
    return network.double() if dtype == torch.float64 else network


def batch(step: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    drawn = stream(step, "batch")
    x, labels = torch.randn(5, 6, generator=drawn), torch.randint(4, (5,), generator=drawn)
    return x.to(dtype), one_hot(labels, 4, dtype)


def plainly(network: Network, optimizer: torch.optim.Optimizer, step: int, dtype: torch.dtype) -> None:
    Contrast().learn(network, SETTLER, *batch(step, dtype), CrossEntropy())
    optimizer.step()


def wholly(training: TrainingStep, network: Network, step: int, dtype: torch.dtype, found: float = 0.0) -> Trained:
    flag = torch.full((), found)
    return training(network, SETTLER, *batch(step, dtype), CrossEntropy(), Ledger(), flag)


def same(network: Network, other: Network, room: float) -> None:
    for a, b in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=room, atol=room)


@pytest.mark.parametrize("dtype", ROOM, ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_torch(name: str, dtype: torch.dtype) -> None:
    """With a rate that changes, plain steps in between, and weights that others write."""
    network, other = made(dtype), made(dtype)
    optimizer, reference = OPTIMIZERS[name](network.parameters()), OPTIMIZERS[name](other.parameters())
    training = TrainingStep(Contrast(), optimizer, compiled=False)
    for step in range(7):
        for one in (optimizer, reference):
            one.param_groups[0]["lr"] *= 0.9
        if step == 3:
            plainly(network, optimizer, step, dtype)
        else:
            assert bool(wholly(training, network, step, dtype).sound.all())
        plainly(other, reference, step, dtype)
        if step == 5:
            network.load_state_dict(other.state_dict())
    assert len(training.replays) == 1
    same(network, other, ROOM[dtype])


def test_loss_and_output_are_those_of_the_plain_step() -> None:
    network, ledger = made(torch.float64), Ledger()
    training = TrainingStep(Contrast(), torch.optim.SGD(network.parameters(), lr=0.1), compiled=False)
    before = copy.deepcopy(network)
    found = wholly(training, network, 0, torch.float64)
    x, target = batch(0, torch.float64)
    settled = Contrast().learn(before, SETTLER, x, target, CrossEntropy(), ledger)
    assert torch.equal(found.settled.output, settled.output)
    assert found.loss is not None and torch.equal(found.loss, CrossEntropy().value(settled.output, target))
    assert ledger.multiply_adds == before_counts(training, network)
    assert all(parameter.grad is None for parameter in network.parameters())


def before_counts(training: TrainingStep, network: Network) -> int:
    ledger = Ledger()
    training(network, SETTLER, *batch(0, torch.float64), CrossEntropy(), ledger, torch.zeros(()))
    return ledger.multiply_adds


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_nothing_is_written_once_a_number_is_not_finite(wrong: float) -> None:
    network = made(torch.float32)
    training = TrainingStep(Contrast(), torch.optim.Adam(network.parameters()), compiled=False)
    wholly(training, network, 0, torch.float32)
    held = copy.deepcopy(network.state_dict())
    x, target = batch(1, torch.float32)
    x[2, 3] = wrong
    found = training(network, SETTLER, x, target, CrossEntropy(), Ledger(), torch.zeros(()))
    assert not bool(found.sound.all())
    assert not bool(wholly(training, network, 2, torch.float32, found=1.0).sound.logical_not().any())
    assert all(torch.equal(held[name], tensor) for name, tensor in network.state_dict().items())


def test_frozen_weights_stay_and_lead_to_another_program() -> None:
    network = made(torch.float32)
    training = TrainingStep(Contrast(), torch.optim.SGD(network.parameters(), lr=0.1), compiled=False)
    wholly(training, network, 0, torch.float32)
    network.edges[0].coupling.requires_grad_(False)
    held = [parameter.clone() for parameter in network.edges[0].coupling.parameters()]
    wholly(training, network, 1, torch.float32)
    assert len(training.replays) == 2
    assert all(map(torch.equal, held, network.edges[0].coupling.parameters()))


def test_what_an_update_admits() -> None:
    network, other = made(torch.float32), made(torch.float32)
    weights = list(network.parameters())
    assert all(admits(make(weights), network) for make in OPTIMIZERS.values())
    assert not admits(torch.optim.SGD(weights, lr=0.1, momentum=0.9, dampening=0.1), network)
    assert not admits(torch.optim.SGD(weights, lr=0.1, maximize=True), network)
    assert not admits(torch.optim.Adam(weights, amsgrad=True), network)
    assert not admits(torch.optim.RMSprop(weights), network)
    assert not admits(torch.optim.SGD(other.parameters(), lr=0.1), network)


def test_a_step_that_cannot_be_recorded_writes_nothing() -> None:
    class Reading(Contrast):
        def apply(self, network: Network, settled: object) -> None:
            float(settled.output.sum())  # type: ignore[attr-defined]
            super().apply(network, settled)  # type: ignore[arg-type]

    network = made(torch.float32)
    held = copy.deepcopy(network.state_dict())
    training = TrainingStep(Reading(), torch.optim.SGD(network.parameters(), lr=0.1), compiled=False)
    with pytest.raises(Untraceable):
        wholly(training, network, 0, torch.float32)
    assert all(torch.equal(held[name], tensor) for name, tensor in network.state_dict().items())
