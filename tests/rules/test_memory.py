"""A rule that remembers: its thresholds by hand, in the state of the network, and what happens without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.couplings import Convolution, Dense
from energy.network import Network
from energy.objectives import SquaredError
from energy.potentials import Identity
from energy.rules import Oja, PerLayer, Plasticity
from energy.settle.feedforward import Feedforward
from energy.testing import check_rule


class BCM(Plasticity):
    """Δw_k = Σ y_k (y_k − θ_k) x, θ the running mean of y²."""

    share: float = 0.25
    scaled: bool = False
    rate: float = 1.0
    decayed: ClassVar[bool] = False
    memory: ClassVar[Mapping[str, float]] = {"theta": 1.0}

    def recalled(self, drive: Tensor, target: Tensor | None, memory: Mapping[str, Tensor]) -> Tensor:
        return drive * (drive - memory["theta"])

    def remember(self, drive: Tensor, memory: Mapping[str, Tensor]) -> None:
        memory["theta"].lerp_(drive.square().flatten(0, -3).mean(0).to(memory["theta"].dtype), self.share)


def net(seed: int = 0) -> Network:
    network = Network((3,))
    network.add(Dense(3, 4, bias=False), Identity())
    network.add(Dense(4, 2), Identity())
    network.double()
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream, dtype=torch.float64))
    return network


def step(rule: Plasticity | PerLayer, network: Network, x: Tensor) -> Tensor | None:
    rule.learn(network, Feedforward(), x, x.new_zeros(len(x), 2), SquaredError())
    return next(network.parameters()).grad


def test_thresholds_follow_the_mean_square_and_bend_the_steps() -> None:
    network, rule = net(), BCM()
    rule.attach(network)
    theta = torch.ones(4, dtype=torch.float64)
    weight = next(network.parameters()).detach()
    for k in range(3):
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
        u = x @ weight.T
        wanted = (u * (u - theta)).T @ x / -5
        torch.testing.assert_close(step(rule, network, x), wanted)
        theta = theta + 0.25 * (u.square().mean(0) - theta)
        torch.testing.assert_close(network.state_dict()["memory.theta_1"], theta)


def test_what_is_remembered_is_part_of_the_state() -> None:
    network, rule, x = net(), BCM(), torch.randn(5, 3).double()
    rule.attach(network)
    step(rule, network, x)
    other = net(1)
    rule.attach(other)
    other.load_state_dict(network.state_dict())
    assert torch.equal(step(rule, network, x), step(rule, other, x))  # type: ignore[arg-type]
    rule.attach(network)  # anew
    assert torch.equal(network.state_dict()["memory.theta_1"], torch.ones(4).double())
    Oja().attach(network)
    assert "memory.theta_1" not in network.state_dict()


def test_without_a_memory_it_says_what_to_call() -> None:
    with pytest.raises(ConfigurationError, match=r"call attach\(network\)"):
        step(BCM(), net(), torch.randn(5, 3).double())


def test_of_several_rules_each_has_its_own() -> None:
    network = net()
    rule = PerLayer(rules=[Oja(), BCM()])
    rule.attach(network)
    assert [name for name, _ in network.named_buffers()] == ["memory.theta_2"]
    step(rule, network, torch.randn(5, 3).double())
    assert not torch.equal(network.state_dict()["memory.theta_2"], torch.ones(2).double())


def test_of_groups_and_places() -> None:
    network = Network((4, 5, 5))
    network.add(Convolution(4, 6, 3, groups=2, bias=False), Identity())
    network.add(Dense(54, 2), Identity())
    torch.nn.init.normal_(next(network.parameters()), generator=torch.Generator().manual_seed(0))
    x = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    rule = BCM()
    rule.attach(network)
    step(rule, network, x)
    u = network.edges[0].coupling(x)
    wanted = 1 + 0.25 * (u.square().mean((0, 2, 3)) - 1)
    torch.testing.assert_close(network.state_dict()["memory.theta_1"], wanted.detach())


def test_the_exported_check_accepts_it_and_notices_one_that_moves_in_update() -> None:
    assert check_rule(BCM()) == []

    class Drifting(BCM):
        def recalled(self, drive: Tensor, target: Tensor | None, memory: Mapping[str, Tensor]) -> Tensor:
            self.remember(drive, memory)
            return super().recalled(drive, target, memory)

    with pytest.raises(AssertionError, match="something else when asked again"):
        check_rule(Drifting())
