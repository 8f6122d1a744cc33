"""Where a read would wait, what is wrong is said at the next look, by the same names as on the CPU."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from energy import health as healths
from energy import reading
from energy.cautions import Caution, told
from energy.couplings import Dense
from energy.errors import NonFiniteError
from energy.network import Network
from energy.objectives import SquaredError, one_hot
from energy.potentials import HardSigmoid, Identity, Potential, ReLU
from energy.reading import Flags
from energy.relax.sweep import Sweep
from energy.rules import Contrast, Hebb, Rule
from energy.settle import Backprop, DualPropagation, EquilibriumPropagation, Feedforward, Settler, TwoPhase
from energy.stream import stream

SQUARE = SquaredError()
FIXED = Sweep(max_steps=12, tolerance=0.0)
BLIND = [DualPropagation(), Backprop(), Feedforward()]  # settlers without a solve


@pytest.fixture(autouse=True)
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of the CPU are treated as an accelerator's; a look at every fourth call."""
    monkeypatch.setattr(reading, "is_free", lambda device: False)
    monkeypatch.setattr(healths, "OFTEN", 4)


def dense(hidden: Potential, scale: float = 0.3) -> Network:
    network = Network((4,))
    network.add(Dense(4, 8), hidden, name="first")
    network.add(Dense(8, 8), hidden, name="second")
    network.add(Dense(8, 3), Identity(), name="output")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=stream(0, name)))
    return network


def batch(number: int = 0) -> tuple[Tensor, Tensor]:
    return torch.randn(6, 4, generator=stream(number, "x")), one_hot(torch.arange(6) % 3, 3)


def calls(network: Network, settler: Settler, count: int, before: Callable[[int], object], *, rule: Rule) -> list[str]:
    """Learn `count` batches, each after `before(number)`; return the cautions, each with the call that said it."""
    said: list[str] = []
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9)
    for number in range(1, count + 1):
        before(number)
        with told(lambda text, now=number: said.append(f"{now}: {text}")), contextlib.suppress(NonFiniteError):
            rule.learn(network, settler, *batch(number), SQUARE)
        optimizer.step()
    return said


SOLVING = [EquilibriumPropagation(relax=FIXED, nudged=FIXED), TwoPhase(relax=FIXED, nudged=FIXED)]


@pytest.mark.parametrize("settler", SOLVING, ids=lambda s: s.name)
def test_a_fixed_solve_that_diverged_between_looks_is_said_at_the_next(settler: Settler) -> None:
    network = dense(ReLU(), 0.05)
    sound = [parameter.detach().clone() for parameter in network.parameters()]

    def before(number: int) -> None:
        with torch.no_grad():
            for parameter, held in zip(network.parameters(), sound, strict=True):
                parameter.copy_(60 * held if number == 2 else held)

    said = calls(network, settler, 4, before, rule=Contrast())
    assert [text.partition(": ")[0] for text in said if "diverged" in text] == ["4"]
    (diverged,) = [text for text in said if "diverged" in text]
    assert f"settler={settler.name}: the free solve diverged at layer " in diverged
    assert diverged.split("at layer ")[1].split(";")[0] in {"first", "second", "output"}


@pytest.mark.parametrize("settler", BLIND, ids=lambda s: s.name)
@pytest.mark.parametrize("where", ["x", "weight"])
def test_what_is_not_finite_is_named_at_the_look(settler: Settler, where: str) -> None:
    network = dense(HardSigmoid())

    def step(number: int) -> None:
        x, target = batch(number)
        if where == "x":
            x[0, 0] = math.nan
        elif number == 4:
            with torch.no_grad():
                network.get_parameter("couplings.2.weight")[0, 0] = math.nan
        Contrast().learn(network, settler, x, target, SQUARE)
        network.zero_grad()

    for number in range(1, 4):
        step(number)
    named = "x: not finite" if where == "x" else r"couplings\.2\.weight: not finite"
    with pytest.raises(NonFiniteError, match=f"^{named}"):
        step(4)


@pytest.mark.parametrize(
    "rule, settler", [(Contrast(), DualPropagation()), (Hebb(), Feedforward())], ids=["dual", "hebb"]
)
def test_gradients_that_were_not_finite_since_the_last_look_are_named(rule: Rule, settler: Settler) -> None:
    network = dense(HardSigmoid())
    for number in range(1, 5):
        x, target = batch(number)
        x[0, 0] = math.inf if number == 2 else 0.0
        late = pytest.raises(NonFiniteError, match=r"^gradient of couplings\.0\.weight.*since the last look")
        with late if number == 4 else contextlib.nullcontext():
            rule.learn(network, settler, x, target, SQUARE)
        network.zero_grad()


def test_a_look_reads_and_the_calls_between_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    network, number = dense(HardSigmoid(), 0.1), 0
    inner = Flags.read
    monkeypatch.setattr(Flags, "read", lambda flags: read.append(number) or inner(flags))
    for number in range(1, 10):
        network.zero_grad()
        Contrast().learn(network, DualPropagation(), *batch(number), SQUARE)
    assert sorted(set(read)) == [4, 8]


def test_gradients_that_no_optimizer_used_are_noticed_after_a_look() -> None:
    network, said = dense(HardSigmoid(), 0.1), list[str]()
    for number in range(1, 6):
        with told(lambda text, now=number: said.append(f"{now}: {text}")):
            Contrast().learn(network, DualPropagation(), *batch(number), SQUARE)
    assert len(said) == 1 and said[0].startswith("5: Rule.learn replaces .grad")
    assert calls(dense(HardSigmoid(), 0.1), DualPropagation(), 9, lambda number: None, rule=Contrast()) == []


def test_strict_raises_a_divergence_at_the_look() -> None:
    network, settler = dense(ReLU(), 3.0), TwoPhase(relax=FIXED, nudged=FIXED)
    for number in range(1, 4):
        network.zero_grad()
        Contrast().learn(network, settler, *batch(number), SQUARE, strict=True)
    with pytest.raises(Caution, match="the free solve diverged at layer"):
        Contrast().learn(network, settler, *batch(4), SQUARE, strict=True)
