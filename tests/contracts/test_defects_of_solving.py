"""Planted defects of relaxations, feedback and models: each check notices its own, and says in one line whose."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from energy.feedback import Feedback, FeedbackSlot
from energy.model import Model
from energy.models import MLP
from energy.network import Network
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.sweep import Sweep
from energy.settle.dyadic import DualPropagation
from energy.state import State
from energy.testing import (
    check_feedback,
    check_model,
    check_relaxation,
)
from energy.testing.small import batch, contracting
from tests.contracts.noticing import noticed


class Forgetful(Relaxation):
    def step(self, problem: Problem, state: State, memory: Any) -> Any:
        return problem.response(state)


class ListOf(Relaxation):
    def step(self, problem: Problem, state: State, memory: Any) -> Any:
        return list(problem.response(state)), None


class Silent(Relaxation):
    def step(self, problem: Problem, state: State, memory: Any) -> Any:
        problem.response(state)


class Mistaken(Relaxation):
    def step(self, problem: Problem, state: State, memory: Any) -> Any:
        return problem.respond_to(state), None  # pyright: ignore[reportAttributeAccessIssue]


class Remembering(Sweep):
    def step(self, problem: Problem, state: State, memory: Any) -> Any:
        after, memory = super().step(problem, state, memory)
        return State(t * 0.99 for t in after), memory


class Untrue(Sweep):
    def residual(self, problem: Problem, before: State, after: State) -> Any:
        return 0.0


@pytest.mark.parametrize(
    ("relaxation", "words"),
    [
        (Forgetful(), r"step returned a State: must return \(State, memory\)"),
        (ListOf(), r"step returned a tuple of list, NoneType: must return \(State, memory\)"),
        (Silent(), r"step returned a NoneType: must return \(State, memory\)"),
        (Mistaken(), r"step\(problem, state, memory\) must return .*AttributeError"),
        (Relaxation(), "must define step"),
        (Remembering(), "against a long sweep|has not converged"),
        (Untrue(), "equilibrium|residual"),
    ],
)
def test_relaxations(relaxation: Relaxation, words: str) -> None:
    noticed(check_relaxation, relaxation, words)


@pytest.mark.parametrize("relaxation", [Forgetful(), ListOf(), Silent()])
def test_the_solver_says_what_a_step_returned(relaxation: Relaxation) -> None:
    network, (x, _) = contracting(), batch()
    with pytest.raises(TypeError, match=r"step returned a .*: must return \(State, memory\)"):
        DualPropagation(gamma=1.0, relax=relaxation).predict(network, x)


class Itself(Feedback):
    def matrix(self, weight: Tensor, feedback_weight: Tensor) -> Tensor:
        return weight


class Unseeded(Feedback):
    def draw(self, slot: FeedbackSlot, seed: int, step: int, like: Tensor) -> Tensor:
        return super().draw(slot, 0, step, like)


class Misread(Feedback):
    """Gives other wires to the record than to the way down."""

    def matrix(self, weight: Tensor, feedback_weight: Tensor) -> Tensor:
        return feedback_weight

    def adjoint(self, *args: Any, **kwargs: Any) -> Any:
        found = super().adjoint(*args, **kwargs)
        return None if found is None else found * float("nan")


class WrongShape(Feedback):
    def matrix(self, weight: Tensor, feedback_weight: Tensor) -> Tensor:
        return feedback_weight.T.contiguous()


class Undrawn(Feedback):
    def draw(self, slot: FeedbackSlot, seed: int, step: int, like: Tensor) -> Any:
        return None


class Global(Feedback):
    def draw(self, slot: FeedbackSlot, seed: int, step: int, like: Tensor) -> Tensor:
        return torch.randn(slot.shape).to(like)


@pytest.mark.parametrize(
    ("feedback", "words"),
    [
        (Itself(), "is the weight itself: that is `tied`"),
        (Unseeded(), "another seed draws the same feedback weights"),
        (Misread(), "nan|not finite|differs"),
        (WrongShape(), "B of|matrix"),
        (Undrawn(), "feedback weights|draw"),
        (Global(), "draws from the global generator"),
    ],
)
def test_feedback(feedback: Feedback, words: str) -> None:
    noticed(check_feedback, feedback, words)


class Seedless(MLP):
    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        return super().build(shape, classes, seed=0)


class HalfSeeded(MLP):
    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        network, fixed = (super(HalfSeeded, self).build(shape, classes, seed=one) for one in (seed, 0))
        with torch.no_grad():
            for here, there in zip(network.couplings[0].parameters(), fixed.couplings[0].parameters(), strict=True):
                here.copy_(there)
        return network


class Unbuilt(Model):
    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Any:
        return nn.Linear(3, 3)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Seedless(sizes=[6]), "another seed gives the same weights"),
        (HalfSeeded(sizes=[6]), r"another seed gives the same weights couplings\.0\.weight"),
        (Unbuilt(), "build returns a Linear: must be a Network"),
        (Model(), "must define build"),
    ],
)
def test_models(model: Model, words: str) -> None:
    noticed(check_model, model, words, (1, 4, 4), 3)
