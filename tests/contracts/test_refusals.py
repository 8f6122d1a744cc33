"""Each check notices the defect it is there for, and says which."""

import pytest
import torch
from torch import Tensor

from energy.couplings import Dense, Skip, UnitInputs
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective, SquaredError
from energy.potentials import Potential, Tanh, per_sample
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.rules import Local, Oja, PerLayer, SoftHebb, Variant
from energy.settle.dyadic import DualPropagation
from energy.settle.settled import Settled
from energy.state import State
from energy.testing import (
    check_coupling,
    check_objective,
    check_potential,
    check_relaxation,
    check_rule,
    check_settler,
)
from tests.contracts.noticing import Planted, linearized


class WrongValue(Tanh):
    def value(self, state: Tensor) -> Tensor:
        return 0.9 * super().value(state)


class Falling(Potential):
    def response(self, drive: Tensor) -> Tensor:
        return drive.sin()


class WrongGate(Tanh):
    def gate(self, drive: Tensor, error: Tensor, r_plus: float) -> Tensor:
        return super().gate(drive, error, 1 - r_plus)


class Canceling(Tanh):
    def gate(self, drive: Tensor, error: Tensor, r_plus: float) -> Tensor:
        safe = torch.where(error == 0, 1.0, error)
        ends = (drive + r_plus * error).tanh() - (drive - (1 - r_plus) * error).tanh()
        return torch.where(error == 0, 1 - drive.tanh().square(), ends / safe)


class WrongMean(Tanh):
    def mean(self, drive: Tensor, h: Tensor, delta: Tensor, beta: float, r_plus: float, alpha: float) -> Tensor:
        return super().mean(drive, h, delta, beta, r_plus, 1 - alpha)


class Narrowing(Potential):
    def response(self, drive: Tensor) -> Tensor:
        return drive.float().tanh()


@pytest.mark.parametrize(
    ("potential", "words"),
    [
        (WrongValue(), "another state has a lower|∇G"),
        (Falling(), "not monotone"),
        (WrongGate(), "secant at beta=.* against two responses"),
        (Canceling(), "float32 at beta=1e-6 loses digits"),
        (WrongMean(), "mean at alpha="),
        (Narrowing(), "dtype must follow the input"),
    ],
)
def test_potentials(potential: Potential, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_potential(potential)


class WrongEnergy(Dense):
    def energy(self, pre: Tensor, post: Tensor) -> Tensor:
        return -2 * per_sample(post * self(pre))


class WrongAdjoint(Planted):
    def adjoint(self, post: Tensor, *, weight: Tensor | None = None) -> Tensor:
        return 2 * super().adjoint(post, weight=weight)


class BiasedTangent(Planted):
    def tangent(self, direction: Tensor) -> Tensor:
        return self.coupling(direction)


class Averaged(Planted):
    def weight_gradient(self, pre: Tensor, post: Tensor) -> tuple[Tensor, ...]:
        return tuple(product / len(pre) for product in super().weight_gradient(pre, post))


class Cheap(Dense):
    def multiply_adds(self, pre: tuple[int, ...]) -> int:
        return 1


class Centered(Skip):
    def forward(self, pre: Tensor) -> Tensor:
        return pre - pre.mean(0)


@pytest.mark.parametrize(
    ("coupling", "words"),
    [
        (WrongEnergy(4, 4), "energy against"),
        (linearized(WrongAdjoint), "adjoint against autograd"),
        (linearized(BiasedTangent), "tangent against differences"),
        (linearized(Averaged), "weight_gradient of weight"),
        (Cheap(4, 4), "multiply_adds says 1, one application runs 16"),
        (Centered(), "one sample alone"),
    ],
)
def test_couplings(coupling: Dense | Skip, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_coupling(coupling, (4,))


class Elsewhere(Relaxation):
    def step(self, problem: Problem, state: State, memory: None) -> tuple[State, None]:
        return problem.response(state) * 0.9, None


class Boasting(Relaxation):
    def step(self, problem: Problem, state: State, memory: None) -> tuple[State, None]:
        return state + (problem.response(state) - state) * 0.2, None

    def residual(self, problem: Problem, before: State, after: State) -> State:
        return after - after


class Writing(Relaxation):
    def step(self, problem: Problem, state: State, memory: None) -> tuple[State, None]:
        response = problem.response(state)
        for mine, theirs in zip(state, response, strict=True):
            if not mine._is_view() and mine.stride()[-1] == 1:
                mine.copy_(theirs)
        return response, None


@pytest.mark.parametrize(
    ("relaxation", "words"),
    [
        (Elsewhere(), "has not converged|against a long sweep"),
        (Boasting(), "claims convergence|against a long sweep"),
        (Writing(), "step writes to its state"),
    ],
)
def test_relaxations(relaxation: Relaxation, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_relaxation(relaxation)


class Meddling(DualPropagation):
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        settled = super().settle(network, x, target, objective, ledger)
        with torch.no_grad():
            next(network.parameters()).mul_(1.01)
        return settled


class Uncounted(DualPropagation):
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        return super().settle(network, x, target, objective, None)


@pytest.mark.parametrize(("settler", "words"), [(Meddling(), "changes the network"), (Uncounted(), "ledger")])
def test_settlers(settler: DualPropagation, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_settler(settler)


class Halved(SquaredError):
    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target) / 2


def test_objectives() -> None:
    with pytest.raises(AssertionError, match="gradient against autograd of value"):
        check_objective(Halved())


class Turning(SoftHebb):
    def postsynaptic_factor(self, drive: Tensor, target: Tensor | None) -> Tensor:
        return -super().postsynaptic_factor(drive, target)


class Shouting(Oja):
    def postsynaptic_factor(self, drive: Tensor, target: Tensor | None) -> Tensor:
        return drive / drive.abs().max()


class Straying(Oja):
    def weight_update(self, inputs: UnitInputs, settled: Settled) -> tuple[Tensor, Tensor | None]:
        update, bias = super().weight_update(inputs, settled)
        return update + inputs.filters.weight * len(settled.x), bias


class Adding(Oja):
    def apply(self, network: Network, settled: Settled) -> None:
        held = [parameter.grad for parameter in network.parameters()]
        super().apply(network, settled)
        for parameter, old in zip(network.parameters(), held, strict=True):
            if parameter.grad is not None and old is not None:
                parameter.grad += old


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Turning(variant=Variant.SOFT), "postsynaptic_factor against −∂E"),
        (Shouting(), "postsynaptic_factor against −∂E|sum over its samples"),
        (Straying(), "on the sphere"),
        (Adding(), "apply adds"),
        (PerLayer(rules=[Turning(variant=Variant.HARD)]), "postsynaptic_factor against −∂E"),
    ],
)
def test_rules_without_feedback(rule: Local, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_rule(rule)
