"""Optimisers against their update equations, worked out by hand in float64."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.couplings import Convolution, Dense
from energy.network import Network
from energy.parameters import layer_of
from energy.potentials import Identity, ReLU
from energy.train.optimizer import SGD, Adam, AdamW, Optimizer


@pytest.fixture
def network() -> Network:
    made = Network((3,))
    made.add(Dense(3, 4), ReLU(), name="hidden")
    made.add(Dense(4, 2), Identity(), name="output")
    generator = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return made.double()


def _descend(network: Network, optimizer: Optimizer, gradients: list[Tensor]) -> list[Tensor]:
    """The first weight after one step for each gradient."""
    built, weight = optimizer.create(network), next(network.parameters())
    seen = []
    for gradient in gradients:
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        weight.grad = gradient.clone()
        built.step()
        seen.append(weight.detach().clone())
    return seen


@pytest.fixture
def gradients() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(4, 3, generator=generator, dtype=torch.float64) for _ in range(3)]


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_its_equation(network: Network, gradients: list[Tensor], nesterov: bool) -> None:
    w, v = next(network.parameters()).detach().clone(), torch.zeros(4, 3, dtype=torch.float64)
    expected = []
    for gradient in gradients:
        g = gradient + 0.01 * w
        v = 0.9 * v + g
        w = w - 0.1 * (g + 0.9 * v if nesterov else v)
        expected.append(w)
    found = _descend(network, SGD(lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=nesterov), gradients)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [Adam, AdamW])
def test_adam_and_adamw_are_their_equations(
    network: Network, gradients: list[Tensor], make: Callable[..., Optimizer]
) -> None:
    w = next(network.parameters()).detach().clone()
    m = v = torch.zeros(4, 3, dtype=torch.float64)
    expected = []
    for t, gradient in enumerate(gradients, 1):
        g = gradient + 0.1 * w if make is Adam else gradient
        w = w if make is Adam else w * (1 - 0.05 * 0.1)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - 0.05 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        expected.append(w)
    found = _descend(network, make(lr=0.05, weight_decay=0.1), gradients)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_weight_decay_reaches_biases_too(network: Network) -> None:
    built = SGD(lr=0.5, momentum=0.0, weight_decay=0.1).create(network)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    built.step()
    for parameter, old in zip(network.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), 0.95 * old)


def test_each_layer_can_have_its_rate(network: Network) -> None:
    built = SGD(layer_lr=[0.5, 0.25], momentum=0.0).create(network)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    built.step()
    rates = {"hidden": 0.5, "output": 0.25}
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(
            before[name] - parameter.detach(), torch.full_like(parameter, rates[layer_of(network)[name]])
        )


def test_weights_that_lie_channel_by_channel_take_the_same_steps() -> None:
    """By another algorithm of torch on the CPU, where its fused one copies them."""
    network = Network((2, 4, 4))
    network.add(Convolution(2, 3, 3), ReLU())
    network.add(Dense(12, 2), Identity())
    there = copy.deepcopy(network).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    assert not next(there.parameters()).is_contiguous()
    for net, fused in ((network, True), (there, False)):
        built = SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1).create(net)
        assert built.defaults["fused"] == fused
        for step in range(3):
            for parameter in net.parameters():
                start = torch.linspace(-1, 1, parameter.numel()).view(parameter.shape)
                parameter.grad = start + step + parameter.data
            built.step()
    for one, other in zip(network.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-6)


def test_layer_rates_must_be_as_many_as_layers(network: Network) -> None:
    with pytest.raises(ConfigurationError, match=r"sgd.layer_lr.*2 entries"):
        SGD(layer_lr=[0.1]).create(network)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(lr=0.0),
        lambda: SGD(lr=math.nan),
        lambda: SGD(momentum=1.0),
        lambda: SGD(momentum=0.0, nesterov=True),
        lambda: SGD(layer_lr=[0.1, math.nan]),
        lambda: Adam(beta1=1.0),
        lambda: AdamW(eps=0.0),
        lambda: AdamW(weight_decay=math.inf),
    ],
)
def test_ranges(make: object) -> None:
    with pytest.raises(ConfigurationError, match="must be"):
        make()  # type: ignore[operator]
