"""Non-finite numbers: seen on the device, named, and never applied."""

import pytest
import torch

from energy.couplings import Dense
from energy.network import Network
from energy.potentials import Identity, ReLU
from energy.train.finite_check import FiniteCheck
from energy.train.optimizer import SGD, Adam, AdamW, Optimizer

FINITE = torch.ones(4)


@pytest.fixture
def network() -> Network:
    made = Network((3,))
    made.add(Dense(3, 4), ReLU(), name="hidden")
    made.add(Dense(4, 2), Identity(), name="output")
    for parameter in made.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    return made


def _gradients(network: Network, value: float = 1.0) -> None:
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, value)


def _state(network: Network, built: torch.optim.Optimizer) -> list[torch.Tensor]:
    slots = [slot for each in built.state.values() for slot in each.values() if isinstance(slot, torch.Tensor)]
    return [tensor.detach().clone() for tensor in (*network.parameters(), *slots)]


@pytest.mark.parametrize("optimizer", [SGD(lr=0.1, weight_decay=0.1), Adam(lr=0.1), AdamW(lr=0.1)])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_and_optimizer_stay_as_they_were_from_the_accident_on(
    network: Network, optimizer: Optimizer, bad: float
) -> None:
    built = optimizer.create(network)
    guard = FiniteCheck(network, built)
    assert not guard.immediate
    _gradients(network)
    guard.update(FINITE, 0)
    built.step()
    before = _state(network, built)
    for step, value in ((1, bad), (2, 1.0), (3, bad)):
        _gradients(network)
        next(network.parameters()).grad[0, 0] = value  # type: ignore[index]
        guard.update(FINITE, step)
        built.step()
    for one, other in zip(_state(network, built), before, strict=True):
        assert torch.equal(one, other)
    accident = guard.report(4)
    assert accident is not None
    assert (accident.step, accident.layers, accident.objective, accident.weights) == (1, ["hidden"], False, [])


def test_a_bad_objective_alone_is_enough(network: Network) -> None:
    guard = FiniteCheck(network, SGD().create(network))
    _gradients(network)
    guard.update(torch.tensor([1.0, float("inf")]), 7)
    accident = guard.report(8)
    assert accident is not None
    assert accident.objective
    assert str(accident) == "step 7: the objective is not finite"


def test_weights_are_looked_at_too_and_named(network: Network) -> None:
    guard = FiniteCheck(network, SGD().create(network))
    list(network.parameters())[-1].data[0] = float("nan")
    accident = guard.report(3)
    assert accident is not None
    assert str(accident) == "step 3: weights of output are not finite"


def test_large_numbers_are_still_numbers(network: Network) -> None:
    """Their squares overflow float32; they are finite all the same."""
    guard = FiniteCheck(network, SGD().create(network))
    _gradients(network, 1e30)
    guard.update(torch.full((4,), 1e30), 0)
    assert guard.report(1) is None


def test_a_parameter_without_gradient_is_no_accident(network: Network) -> None:
    guard = FiniteCheck(network, SGD().create(network))
    guard.update(FINITE, 0)
    assert guard.report(1) is None


def test_an_optimizer_without_the_flag_asks_for_immediate_checks(network: Network) -> None:
    assert FiniteCheck(network, torch.optim.Rprop(network.parameters())).immediate
