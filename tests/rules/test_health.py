"""Troubles that are said: each is made, is said once with its layer and cure, and leaves the numbers as they are."""

import contextlib
import copy
import gc
import itertools
import math
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import _global_optimizer_post_hooks as hooks

from energy.cautions import Caution, strict, told
from energy.couplings import Convolution, Dense
from energy.data import Digits
from energy.errors import NonFiniteError
from energy.feedback import KolenPollack
from energy.health_of_solves import SolveHealth
from energy.models import MLP, VGG
from energy.network import Network
from energy.objectives import CrossEntropy, Objective, SquaredError, one_hot
from energy.potentials import HardSigmoid, Identity, Potential, ReLU, Tanh
from energy.relax.solution import Outcome, Solution
from energy.relax.sweep import Sweep
from energy.rules.contrast import Contrast
from energy.rules.oja import Oja
from energy.settle import (
    Backprop,
    ContrastiveHebbian,
    DualPropagation,
    EquilibriumPropagation,
    Feedforward,
    Settler,
    TwoPhase,
)
from energy.state import State
from energy.stream import stream

SQUARE = SquaredError()
FED_BACK = (EquilibriumPropagation(), ContrastiveHebbian(), TwoPhase())
EVERY = (DualPropagation(), Backprop(), EquilibriumPropagation(), TwoPhase())


def dense(hidden: Potential, *sizes: int, scale: float = 0.3) -> Network:
    network = Network((4,))
    for fan_in, size in zip((4, *sizes), (*sizes, 3), strict=True):
        network.add(Dense(fan_in, size), hidden if size != 3 else Identity())
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=stream(0, name)))
    return network


def batch(number: int = 0, size: int = 16) -> tuple[Tensor, Tensor]:
    x = torch.randn(size, 4, generator=stream(number, "x"))
    return x, one_hot(torch.arange(size) % 3, 3)


def learn(network: Network, settler: Settler, count: int, lr: float = 0.1, objective: Objective = SQUARE) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    for number in range(count):
        Contrast().learn(network, settler, *batch(number), objective)
        optimizer.step()


def cautions(step: Callable[[], object]) -> list[str]:
    said: list[str] = []
    with told(said.append):
        step()
    return said


def test_a_sound_network_is_not_spoken_of() -> None:
    for settler in (
        DualPropagation(),
        Backprop(),
        Feedforward(),
        EquilibriumPropagation(),
        ContrastiveHebbian(),
        TwoPhase(),
    ):
        assert cautions(lambda one=settler: learn(dense(HardSigmoid(), 8), one, 70, lr=0.01)) == []


def test_equilibrium_propagation_under_growing_weights_is_said_before_the_state_is_lost() -> None:
    """The same loop as README's, without a bound: ends near chance; the caution comes while accuracy still rises."""
    data, network = Digits().load("cpu", seed=0), MLP(sizes=[64], hidden=HardSigmoid()).build((1, 8, 8), 10, seed=0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    found: list[tuple[int, str]] = []
    steps = 0
    with told(lambda text: found.append((steps, text))):
        for epoch in range(6):
            for x, labels in data.train.batches(50, seed=0, epoch=epoch, train=True):
                Contrast().learn(network, EquilibriumPropagation(), x, one_hot(labels, 10), CrossEntropy())
                optimizer.step()
                steps += 1
    when, first = found[0]
    assert when <= 16
    assert first.startswith("loop gain rose from 1.6") and " at layer " in first
    assert "keep_contracting=0.5" in first and "model.gain" in first and "feedback=False" in first
    assert any(text.startswith("layer dense1: ") and "at a bound" in text for _, text in found[1:])
    assert len({text for _, text in found}) == len(found)  # each once


@pytest.mark.parametrize("settler", FED_BACK, ids=lambda s: s.name)
def test_a_solve_that_diverges(settler: Settler) -> None:
    network = dense(ReLU(), 8, 8, scale=3.0)
    said = cautions(lambda: once(network, settler))
    assert said[0].startswith(f"settler={settler.name}: the ") and "diverged at layer layer" in said[0]
    assert "hard_sigmoid" in said[0]


def once(network: Network, settler: Settler) -> None:
    with contextlib.suppress(NonFiniteError):
        Contrast().learn(network, settler, *batch(), SQUARE)


STEPS = Sweep(max_steps=12, tolerance=1e-6, check_every=1)


@pytest.mark.parametrize("kind", [EquilibriumPropagation, ContrastiveHebbian])
def test_a_solve_that_stops_converging_is_said_when_it_happens(kind: type[Settler]) -> None:
    """Two linear layers with one weight w between them: a sweep multiplies every error by w², 0.09 or 0.9.

    0.09¹² is below the tolerance and 0.9¹² is not. Looks are at 64, 128, …; two in a row that miss are said.
    """
    network = dense(Identity(), 1)
    between, settler = [*network.parameters()][2], kind(relax=STEPS, nudged=STEPS)  # type: ignore[call-arg]
    said: list[tuple[int, str]] = []
    with told(lambda text: said.append((number, text))):
        for number in range(1, 577):
            with torch.no_grad():
                between.zero_()[0] = 0.3 if number <= 64 or 320 < number <= 448 else math.sqrt(0.9)
            Contrast().learn(network, settler, *batch(number), SQUARE)
            network.zero_grad()
    found = [(number, text) for number, text in said if "the free solve" in text]
    assert [number for number, _ in found] == [192, 576]
    told_first = (
        "the free solve stopped converging: 0 % of the samples reached the tolerance in 12 steps (100 % before)"
    )
    assert all(told_first in text for _, text in found)


def test_a_solve_that_never_converges_is_said_once() -> None:
    network = dense(Identity(), 1)
    with torch.no_grad():
        [*network.parameters()][2].zero_()[0] = math.sqrt(0.9)
    said: list[str] = []
    with told(said.append):
        for number in range(200):
            Contrast().learn(network, EquilibriumPropagation(relax=STEPS), *batch(number), SQUARE)
            network.zero_grad()
    found = [text for text in said if "the free solve" in text]
    assert len(found) == 1
    assert "the free solve does not converge: 0 % of the samples reached the tolerance in 12 steps, with" in found[0]


def test_what_is_said_of_solves_by_their_samples() -> None:
    """Shares of 1, 0.5, 0.4, 0.4, 0.4: half is enough, and the second look below it is said, once."""
    watch, said = SolveHealth(), []
    for share in (1.0, 0.5, 0.4, 0.4, 0.4, 0.8, 0.4, 0.4, 0.9, 0.4, 0.4):
        converged = torch.arange(10) < 10 * share - 1e-6
        residual = torch.where(converged, 1e-7, 1e-2)
        outcome = Outcome.CONVERGED if share == 1 else Outcome.BUDGET
        one = Solution(State([]), outcome, torch.full((10,), 7), residual, converged, taken=7)
        said.append(bool(watch.look("free", one)))
    assert said == [False] * 3 + [True] + [False] * 6 + [True]


def test_solves_that_never_converged_are_not_spoken_of_at_once() -> None:
    watch = SolveHealth()
    bad = Solution(State([]), Outcome.BUDGET, torch.full((4,), 7), torch.ones(4), torch.zeros(4, dtype=torch.bool))
    assert [bool(watch.look("free", bad, early=early)) for early in (True, True, True, False, False)] == [
        False,
        False,
        False,
        True,
        False,
    ]


def test_solves_that_were_not_asked_to_converge_are_passed_over() -> None:
    watch = SolveHealth()
    for outcome in (Outcome.FIXED, Outcome.DIVERGED):
        unknown = torch.full((4,), torch.nan)
        one = Solution(State([]), outcome, torch.ones(4), unknown, torch.zeros(4, dtype=torch.bool))
        assert [watch.look("free", one) for _ in range(3)] == [""] * 3


def test_units_that_stand_at_their_bounds() -> None:
    network = dense(HardSigmoid(), 8)
    with torch.no_grad():
        network.get_parameter("couplings.0.bias").fill_(50.0)
    (said,) = cautions(lambda: learn(network, EquilibriumPropagation(), 1))
    assert said.startswith("layer layer1: 100 % of its units stand at a bound for every sample")


def test_dead_units_have_no_gradient() -> None:
    network = dense(ReLU(), 8, 6)
    with torch.no_grad():
        network.get_parameter("couplings.0.bias").fill_(-50.0)
    assert cautions(lambda: learn(network, DualPropagation(), 1)) == []  # weights of zero are a usual start
    (said,) = cautions(lambda: learn(network, DualPropagation(), 3))
    assert said.startswith("layer layer1: every gradient is zero")  # layer2 has its biases


def test_where_nothing_is_to_be_learned_there_is_nothing_to_say() -> None:
    for settler in (Feedforward(),):
        assert cautions(lambda one=settler: learn(dense(Tanh(), 8), one, 5)) == []
    frozen = dense(Tanh(), 8)
    frozen.edges[0].coupling.requires_grad_(False)
    assert cautions(lambda: learn(frozen, DualPropagation(), 5)) == []


@pytest.mark.parametrize("settler", [DualPropagation(), Backprop()], ids=lambda s: s.name)
def test_an_objective_that_explodes(settler: Settler) -> None:
    said = cautions(lambda: learn(dense(Identity(), 8), settler, 4, lr=1.5))
    assert [text for text in said if text.startswith("the objective rose from ")]
    assert all("optimizer.lr" in text for text in said if text.startswith("the objective"))


def test_gradients_that_no_optimizer_used() -> None:
    network = dense(Tanh(), 8)
    with pytest.warns(Caution, match="accumulate=True") as warned:
        for number in range(4):
            Contrast().learn(network, DualPropagation(), *batch(number), SQUARE)
    assert len(warned) == 1 and warned[0].filename == __file__
    for fused, lr in itertools.product((False, True), (0.0, 1e-12, 0.1)):  # a warm-up begins at a rate of zero
        network = dense(Tanh(), 8)
        optimizer = torch.optim.SGD(network.parameters(), lr=lr, fused=fused)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for number in range(3):
                Contrast().learn(network, DualPropagation(), *batch(number), SQUARE)
                optimizer.step()
    network = dense(Tanh(), 8)
    for number in range(3):
        network.zero_grad()
        Contrast().learn(network, DualPropagation(), *batch(number), SQUARE)


def test_a_step_of_the_optimizer_of_another_network_uses_nothing() -> None:
    network, other = dense(Tanh(), 8), dense(Tanh(), 8)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1, fused=True)
    with pytest.warns(Caution, match="accumulate=True"):
        for number in range(2):
            Contrast().learn(network, DualPropagation(), *batch(number), SQUARE)
            optimizer.step()


def test_a_step_by_hand_is_noticed() -> None:
    network = dense(Tanh(), 8)
    for number in range(4):
        Contrast().learn(network, DualPropagation(), *batch(number), SQUARE)
        for parameter in network.parameters():
            assert parameter.grad is not None
            parameter.data -= 0.1 * parameter.grad


def test_the_watch_of_a_gradient_ends_with_it() -> None:
    before = len(hooks)
    network = dense(Tanh(), 8)
    for number in range(3):
        network.zero_grad()
        Contrast().learn(network, DualPropagation(), *batch(number), SQUARE)
    assert len(hooks) <= before + 1
    del network
    gc.collect()
    assert len(hooks) <= before


def test_accumulated_gradients_are_the_sum() -> None:
    network, other = dense(Tanh(), 8), dense(Tanh(), 8)
    for one in (network, other):
        KolenPollack().attach(one, seed=0)
    settler = DualPropagation(feedback=KolenPollack())
    for number in range(3):
        Contrast().learn(network, settler, *batch(number), SQUARE, accumulate=True)
    wanted = [torch.zeros_like(p) for p in other.parameters()]
    for number in range(3):
        other.zero_grad()
        Contrast().learn(other, settler, *batch(number), SQUARE)
        wanted = [total + p.grad for total, p in zip(wanted, other.parameters(), strict=True)]  # type: ignore[operator]
    for parameter, total in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, total)
    feedback_weight = network.feedback_weights.get_buffer("edge1")  # type: ignore[union-attr,operator]
    torch.testing.assert_close(feedback_weight.grad, network.get_parameter("couplings.1.weight").grad)


def test_strict_raises_what_would_be_said() -> None:
    network = dense(HardSigmoid(), 8)
    with torch.no_grad():
        network.get_parameter("couplings.0.bias").fill_(50.0)
    with pytest.raises(Caution, match="at a bound"):
        Contrast().learn(copy.deepcopy(network), EquilibriumPropagation(), *batch(), SQUARE, strict=True)
    with strict(), pytest.raises(Caution, match="at a bound"):
        Contrast().learn(copy.deepcopy(network), EquilibriumPropagation(), *batch(), SQUARE)


@pytest.mark.parametrize(
    "settler", [EquilibriumPropagation(), DualPropagation(), TwoPhase(), Backprop()], ids=lambda s: s.name
)
@pytest.mark.parametrize("where", ["x", "target", "weight"])
def test_what_is_not_finite_never_reaches_a_gradient(settler: Settler, where: str) -> None:
    network, (x, target) = dense(HardSigmoid(), 8), batch()
    with torch.no_grad():
        {"x": x, "target": target, "weight": network.get_parameter("couplings.1.weight")}[where][0, 0] = float("nan")
    for parameter in network.parameters():
        parameter.grad = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Caution)
        with pytest.raises(NonFiniteError, match="not finite"):
            Contrast().learn(network, settler, x, target, SQUARE)
    assert all(parameter.grad is None or bool(parameter.grad.isfinite().all()) for parameter in network.parameters())


@pytest.mark.parametrize(
    "settler", [DualPropagation(), EquilibriumPropagation(), TwoPhase(), Backprop()], ids=lambda s: s.name
)
def test_gradients_lie_in_memory_as_their_parameters_do(settler: Settler) -> None:
    """torch's fused kernels walk gradient and parameter in the order of memory."""
    network = VGG(plan=[4], dense=[]).build((3, 8, 8), 3, seed=0)
    x = torch.rand(5, 3, 8, 8, generator=stream(0, "x"))
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0, fused=True)
    Contrast().learn(network, settler, x, one_hot(torch.arange(5) % 3, 3), SQUARE)
    wanted = [p.detach() - p.grad for p in network.parameters()]  # type: ignore[operator]
    assert all(p.grad.stride() == p.stride() for p in network.parameters())  # type: ignore[union-attr]
    optimizer.step()
    for parameter, after in zip(network.parameters(), wanted, strict=True):
        assert torch.equal(parameter.detach(), after)


def test_steps_of_local_rules_lie_so_too() -> None:
    network = Network((4, 6, 6))
    network.add(Convolution(4, 8, 3, groups=2, bias=False), Identity())
    network.add(Dense(128, 3), Identity())
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream(0, name)))
    x = torch.randn(5, 4, 6, 6, generator=stream(0, "x")).to(memory_format=torch.channels_last)
    Oja().learn(network, Feedforward(), x, one_hot(torch.arange(5) % 3, 3), SQUARE)
    weight = network.get_parameter("couplings.0.weight")
    assert weight.grad is not None and weight.grad.stride() == weight.stride()
