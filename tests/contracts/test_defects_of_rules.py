"""Planted defects of rules and spiking parts: each check notices its own, and says in one line which and whose."""

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from energy.couplings import Affine, UnitInputs
from energy.network import Network
from energy.rules import Hebb, Oja, SoftHebb, Variant
from energy.rules.contrast import Contrast
from energy.rules.local import Local
from energy.rules.rule import Rule
from energy.settle.settled import Settled
from energy.spiking.errors import VanRossum
from energy.spiking.neurons import LIF, Membrane
from energy.spiking.surrogates import Logistic
from energy.testing import (
    check_neuron,
    check_plasticity,
    check_rule,
    check_spike_error,
    check_surrogate,
)
from tests.contracts.noticing import noticed


class Meaned(Contrast):
    def gradients(self, network: Network, settled: Settled) -> list[Tensor]:
        return [one / len(settled.x) for one in super().gradients(network, settled)]

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        return [one / len(settled.x) for one in super().update(network, settled)]


class Twice(Contrast):
    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        return [2 * one for one in super().update(network, settled)]

    def gradients(self, network: Network, settled: Settled) -> list[Tensor]:
        return [2 * one for one in super().gradients(network, settled)]

    def apply(self, network: Network, settled: Settled) -> None:
        super().apply(network, settled)
        for parameter in network.parameters():
            parameter.grad = None if parameter.grad is None else 2 * parameter.grad


class Forgotten(Contrast):
    """`apply` knows nothing of what `update` does here."""

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        return [one.clamp(-1e-3, 1e-3) for one in super().update(network, settled)]

    def gradients(self, network: Network, settled: Settled) -> list[Tensor]:
        return [one.clamp(-1e-3, 1e-3) for one in super().gradients(network, settled)]


class Unlearned(Contrast):
    """`apply` does otherwise than `update` says."""

    def apply(self, network: Network, settled: Settled) -> None:
        super().apply(network, settled)
        for parameter in network.parameters():
            parameter.grad = None if parameter.grad is None else 1.01 * parameter.grad


class OfRule(Rule):
    """Divides by the batch."""

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        return [one / len(settled.x) for one in Contrast().update(network, settled)]


class Dictionary(Rule):
    def update(self, network: Network, settled: Settled) -> Any:
        return dict.fromkeys(["weight"], 1.0)


class Unpaired(Rule):
    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        return Contrast().update(network, settled)[:-1]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Meaned(), "sum over its samples"),
        (OfRule(), "sum over its samples"),
        (Twice(), "against autograd"),
        (Forgotten(), "sum over its samples|mean over the batch"),
        (Unlearned(), "mean over the batch|apply"),
        (Dictionary(), "update"),
        (Unpaired(), "one tensor of each parameter's shape"),
        (Rule(), "must define update"),
    ],
)
def test_rules(rule: Rule, words: str) -> None:
    noticed(check_rule, rule, words)


class Flat(Hebb):
    def postsynaptic_factor(self, drive: Tensor, target: Tensor | None) -> Tensor:
        return drive.sum(-1)


class Numbers(Hebb):
    def postsynaptic_factor(self, drive: Tensor, target: Tensor | None) -> Any:
        return drive.tolist()


class Backwards(Oja):
    def scaled_update(self, *args: Any, **kwargs: Any) -> Any:
        step, bias = super().scaled_update(*args, **kwargs)
        return -step, bias


class Slower(Oja):
    def apply(self, network: Network, settled: Settled) -> None:
        super().apply(network, settled)
        for parameter in network.parameters():
            parameter.grad = None if parameter.grad is None else parameter.grad / 2


class Loud(SoftHebb):
    def energy(self, drive: Tensor) -> Tensor:
        return super().energy(drive).detach()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Flat(), r"postsynaptic_factor has shape \(5, 1\) for \(5, 1, 12\)"),
        (Numbers(), "postsynaptic_factor is a list: must be one tensor"),
        (Backwards(), "sign of the update"),
        (Slower(), "against −η_k Δw_k"),
        (Loud(variant=Variant.SOFT), "energy is cut from autograd"),
    ],
)
def test_rules_without_feedback(rule: Local, words: str) -> None:
    noticed(check_plasticity, rule, words)
    noticed(check_rule, rule, words)


class Running(Rule):
    """Subtracts a running mean of the output's error, which it keeps in a buffer of the network."""

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        found = Contrast().update(network, settled)
        held = getattr(network, "running", torch.zeros_like(found[-1]))
        running = 0.9 * held + 0.1 * found[-1] / len(settled.x)
        network.register_buffer("running", running)
        found[-1] = found[-1] - running * len(settled.x)
        return found


class Threshold(Oja):
    """A sliding threshold: the running mean square of what is seen divides what is learnt."""

    decayed: ClassVar[bool] = False

    def weight_update(self, inputs: UnitInputs, settled: Settled) -> tuple[Tensor, Tensor | None]:
        filters = inputs.filters
        assert isinstance(filters, Affine)
        held = getattr(filters, "level", torch.tensor(0.0))
        level = 0.9 * held + 0.1 * inputs.presynaptic.double().square().mean()
        filters.register_buffer("level", level)
        update, bias = super().weight_update(inputs, settled)
        return update / (1 + level), bias


def test_rules_may_keep_state_in_buffers_of_the_network() -> None:
    assert check_rule(Running()) == []
    assert check_plasticity(Threshold()) == []


class Negative(Logistic):
    def slope(self, v: Tensor) -> Tensor:
        return -super().slope(v)


class Listed(Logistic):
    def slope(self, v: Tensor) -> Any:
        return v.tolist()


class Away(VanRossum):
    def cost(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().cost(*args, **kwargs).detach()


class Detached(LIF):
    def step(self, state: Membrane, spikes: Tensor, current: Tensor) -> Membrane:
        return Membrane(super().step(state, spikes, current).membrane.detach())


class InPlace(LIF):
    def step(self, state: Membrane, spikes: Tensor, current: Tensor) -> Membrane:
        return Membrane(state.membrane.mul_(0.8).add_(current))


class Sociable(LIF):
    def step(self, state: Membrane, spikes: Tensor, current: Tensor) -> Membrane:
        return Membrane(super().step(state, spikes, current).membrane + current.mean())


class Asleep(LIF):
    def excess(self, state: Membrane) -> Tensor:
        return state.membrane - 1e3


class Bare(LIF):
    def step(self, state: Membrane, spikes: Tensor, current: Tensor) -> Any:
        return (super().step(state, spikes, current).membrane,)


class Misled(LIF):
    def errors(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().errors(*args, **kwargs) * 1.01


@pytest.mark.parametrize(
    ("neuron", "words"),
    [
        (Detached(), "cut from autograd"),
        (InPlace(), "writes to what it is given"),
        (Sociable(), "two units alone"),
        (Asleep(), "fires never"),
        (Bare(), "NamedTuple"),
        (Misled(), "errors against autograd"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, LIF) else "",
)
def test_neurons(neuron: LIF, words: str) -> None:
    noticed(check_neuron, neuron, words)


@pytest.mark.parametrize(("surrogate", "words"), [(Negative(), "negative"), (Listed(), "slope is a list")])
def test_surrogates(surrogate: Logistic, words: str) -> None:
    noticed(check_surrogate, surrogate, words)


def test_spike_errors() -> None:
    noticed(check_spike_error, Away(), "cut from autograd")
