"""Steps that no recording would repeat stay plain, and say why once; what is not finite is reported as ever."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from energy.component import Component
from energy.couplings import Dense, Module
from energy.errors import NonFiniteError
from energy.health import guarded
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.potentials import Identity, ReLU, Tanh
from energy.rules import Contrast
from energy.settle import Backprop, DualPropagation, EquilibriumPropagation
from energy.settle.settled import Settled
from energy.settle.settler import Settler
from tests.program.cases import NETWORKS, batches, short
from tests.program.pairs import Pair
from tests.settle import nets

TABLE = torch.linspace(-1, 1, 5, dtype=torch.float64)
GENERATOR = torch.Generator()


def host() -> Tensor:
    return torch.full((5,), random.random(), dtype=torch.float64)


def array() -> Tensor:
    return torch.from_numpy(np.random.rand(5))


def listed() -> Tensor:
    return torch.tensor(np.random.rand(5).tolist(), dtype=torch.float64)


def device() -> Tensor:
    return torch.rand(5, dtype=torch.float64)


def streamed() -> Tensor:
    return torch.rand(5, dtype=torch.float64, generator=GENERATOR)


def table() -> Tensor:
    return TABLE


def detached() -> Tensor:
    return TABLE.detach()


SOURCES = {
    host: "draws random numbers on the host",
    array: "draws random numbers on the host",
    listed: "draws random numbers on the host",
    device: "draws random numbers",
    streamed: "draws random numbers",
    table: "reads a tensor that is neither the network's nor an argument",
    detached: "reads a tensor that is neither the network's nor an argument",
}


class Noisy(DualPropagation, name=""):
    """Adds to the input what `source` gives."""

    source: ClassVar[Any] = torch.empty

    def settle_once(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        return super().settle_once(network, x + type(self).source(), target, objective, ledger)


def seeded() -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    GENERATOR.manual_seed(1)


@pytest.mark.parametrize("source", SOURCES, ids=lambda one: one.__name__)
def test_what_a_recording_would_freeze_is_refused(source: Callable[[], Tensor], monkeypatch: Any) -> None:
    """The plain steps then draw the numbers that they would have drawn without a program."""
    monkeypatch.setattr(Noisy, "source", staticmethod(source), raising=False)
    pair = Pair(NETWORKS["mlp"](), Noisy(), Contrast())
    given = batches(pair.plain, count=3)
    seeded()
    wanted = [gradients(pair.rule, pair.plain, pair.settler, *one) for one in given]
    seeded()
    state = GENERATOR.get_state()
    with pytest.warns(UserWarning, match=f"program: this step stays plain: .*{SOURCES[source]}") as said:
        found = [gradients(pair.program, pair.traced, pair.settler, *given[0])]
        if source is streamed:  # a generator of one's own is moved by the attempt
            GENERATOR.set_state(state)
            found = [gradients(pair.rule, pair.traced, pair.settler, *given[0])]
        found += [gradients(pair.program, pair.traced, pair.settler, *one) for one in given[1:]]
    assert len(said) == 1 and pair.recorded == 0
    for one, other in zip(wanted, found, strict=True):
        assert all(map(torch.equal, one, other))


def gradients(rule: Any, network: Network, settler: Settler, x: Tensor, target: Tensor) -> list[Tensor]:
    rule.batch(network, settler, x, target, nets.FROZEN, Ledger())
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


class Reading(nn.Module):
    """Tanh whose branch depends on a number of the batch."""

    def forward(self, pre: Tensor) -> Tensor:
        return pre.tanh() if float(pre.detach().sum()) > 0 else pre.sin()


def test_a_step_whose_branches_depend_on_numbers_stays_plain() -> None:
    network = Network((5,))
    network.add(Dense(5, 4), Tanh())
    network.add(Module(nn.Sequential(nn.Linear(4, 4), Reading())), Tanh())
    network.add(Dense(4, 3), Identity())
    nets.draw(network, 1.0, 0)
    for settler in (DualPropagation(), Backprop()):
        pair = Pair(network, settler, Contrast())
        with pytest.warns(UserWarning, match="program: this step stays plain") as said:
            pair.run(*batches(network, count=4))
        assert len(said) == 1 and pair.recorded == 0


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("settler", [DualPropagation(), short(EquilibriumPropagation()), Backprop()])
@pytest.mark.parametrize("where", ["x", "weight"])
@pytest.mark.parametrize("before", [0, 2])
def test_numbers_that_are_not_finite(settler: Settler, where: str, before: int) -> None:
    """Among the first batch or a later one: the words of the plain step, and no gradient is left."""
    pair = Pair(NETWORKS["mlp"](), settler, Contrast())
    pair.run(*batches(pair.plain, count=before) if before else [])
    x, target = nets.batch(pair.plain, seed=9)
    if where == "x":
        x[1, 2] = float("nan")
    else:
        for network in pair.networks:
            network.couplings[1].weight.data[0, 0] = float("inf")  # type: ignore[index, union-attr]
    said = []
    for rule, network in ((pair.rule, pair.plain), (pair.program, pair.traced)):
        with warnings.catch_warnings(), pytest.raises(NonFiniteError) as raised:
            warnings.simplefilter("ignore")  # that the solve has diverged
            rule.learn(network, settler, x, target, pair.objective)
        said.append(str(raised.value))
        assert all(p.grad is None for p in network.parameters())
    assert said[0] == said[1]


@pytest.mark.parametrize("settler", [DualPropagation(), Backprop()])
def test_a_gradient_that_is_not_finite_is_not_written(settler: Settler) -> None:
    """Errors whose sums over units leave float32, though each is finite."""
    pair = Pair(NETWORKS["mlp"](), settler, Contrast())
    x, target = batches(pair.plain, torch.float32, count=1)[0]
    target = torch.ones_like(target)
    pair.traced.float()
    for scale in (1.0, 3e38):
        said = []
        for rule, network in ((pair.rule, pair.plain), (pair.program, pair.traced)):
            try:
                rule.learn(network, settler, x, scale * target, pair.objective, accumulate=True)
            except NonFiniteError as error:
                said.append(str(error))
                assert all(p.grad is None for p in network.parameters())
        assert len(said) == (2 if scale > 1 else 0) and len(set(said)) <= 1
        for network in pair.networks:
            network.zero_grad()
    assert "nothing was written to .grad" in said[0]


def test_a_caller_who_checks_gradients_gets_them_unchecked() -> None:
    """Inside `guarded`, which is recorded as a step of its own."""
    pair = Pair(NETWORKS["mlp"](), DualPropagation(), Contrast())
    given = batches(pair.plain, torch.float32, count=2)
    pair.traced.float()
    pair.run(given[0])
    with guarded():
        pair.run(given[1])
        x, target = given[0]
        pair.learn(x, torch.full_like(target, 3e38))
    assert pair.recorded == 2
    assert not all(bool(p.grad.isfinite().all()) for p in pair.traced.parameters() if p.grad is not None)


def cautions(rule: Any, network: Network, settler: Settler, given: list[Any]) -> list[str]:
    """The cautions of some batches, with a step in place after each."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for x, target in given:
            rule.learn(network, settler, x, target, nets.FROZEN)
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.add_(1e-6)
    return [str(one.message) for one in said]


def dead() -> Network:
    """A hidden layer that never passes anything."""
    network = nets.mlp(ReLU(), sizes=(5, 4, 4, 3))
    network.couplings[1].bias.data.fill_(-100.0)  # type: ignore[union-attr, operator]
    return network


@pytest.mark.parametrize("settler", [DualPropagation(), Backprop()])
def test_cautions_of_health_are_those_of_the_plain_step(settler: Settler) -> None:
    pair = Pair(dead(), settler, Contrast())
    given = batches(pair.plain, count=3)
    plain = cautions(pair.rule, pair.plain, settler, given)
    assert any("every gradient is zero" in one for one in plain)
    assert cautions(pair.program, pair.traced, settler, given) == plain


def test_gradients_that_no_optimizer_has_used() -> None:
    pair = Pair(NETWORKS["mlp"](), DualPropagation(), Contrast())
    given, said = batches(pair.plain, count=2), []
    for rule, network in ((pair.rule, pair.plain), (pair.program, pair.traced)):
        rule.learn(network, pair.settler, *given[0], pair.objective)
        with pytest.warns(UserWarning, match="no optimizer has used the gradients") as caught:
            rule.learn(network, pair.settler, *given[1], pair.objective)
        said.append([str(one.message) for one in caught])
    assert said[0] == said[1]


def test_a_program_is_no_entry_of_the_table() -> None:
    """It is a way to run a rule, and no rule to choose."""
    assert not any(cls.__name__ == "Program" for cls in Component.registry.values())
