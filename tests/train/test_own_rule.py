"""A rule of one's own that derives from `Rule` alone: trained layer by layer, scored by its read-out, as it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from energy.component import Component, ConfigurationError
from energy.io.record import RECORD
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.rules.rule import Rule
from energy.settle.feedforward import settle_free
from energy.settle.settled import Settled, SettledDyad
from energy.settle.settler import Settler
from energy.train.evaluate import evaluate, load_run
from energy.train.fit import fit
from energy.train.run import Run

Maker = Callable[..., Run]


class Means(Rule):
    """Every row of a hidden layer's weights goes the same way: to the mean of what the layer reads."""

    descends: ClassVar[bool] = False
    supports_greedy: ClassVar[bool] = True

    def learns(self, network: Network) -> list[str]:
        return [layer.name for layer in network.layers[:-1]]

    def scores_output(self, network: Network, learning: Collection[str]) -> bool:
        return False

    def batch(
        self, network: Network, settler: Settler, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger
    ) -> Settled:
        network.zero_grad()
        settled = settle_free(settler, network.subnetwork(len(network.layers) - 1), x, target, ledger)
        self.apply(network, settled)
        return settled

    @torch.no_grad()
    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        assert isinstance(settled, SettledDyad)
        states, found = (settled.x, *settled.mean), []
        for edge in network.edges:
            for parameter in edge.coupling.parameters():
                pull = torch.zeros_like(parameter)
                if parameter.ndim > 1 and edge.target < len(network.layers):
                    rows = states[edge.source].flatten(1)
                    pull = rows.sum(0).expand_as(parameter) - len(rows) * parameter
                found.append(pull)
        return found


@pytest.fixture
def make(make_run: Maker) -> Iterator[Maker]:
    """The tiny run with two hidden layers, `means` and a linear read-out."""
    Component.registry["rule", "test_means"] = Means
    Means.name = "test_means"

    def made(name: str = "run", **changes: Any) -> Run:
        plain: dict[str, Any] = {
            "model": {"sizes": [9, 7]},
            "settler": {"name": "feedforward"},
            "rule": {"name": "test_means"},
            "optimizer": {"lr": 0.5, "momentum": 0.0},
            "schedule": {"name": "constant"},
            "readout": {"name": "linear", "epochs": 3, "batch_size": 32, "lr": 0.01},
        }
        return make_run(name, **{**plain, **changes})

    yield made
    del Component.registry["rule", "test_means"]
    Means.name = ""


def by_hand(run: Run, greedy: bool) -> list[Tensor]:
    """w ← w − ½(w − mean x), of one layer after the other or of both in every step, with plain matrices."""
    network, train = run.network(), run.data.load("cpu", run.seed).train
    first, one, second, two = (p.detach().clone() for p in list(network.parameters())[:4])
    for turn in [{0}, {1}] if greedy else [{0, 1}]:
        for epoch in range(run.train.epochs):
            place = epoch + (run.train.epochs if turn == {1} else 0)
            for x, _ in train.batches(run.train.batch_size, seed=run.seed, epoch=place, train=True):
                below = x.flatten(1)
                hidden = (below @ first.T + one).clamp(0, 1)
                step = 0.5 * (hidden.mean(0) - second), 0.5 * (below.mean(0) - first)
                second = second + step[0] if 1 in turn else second
                first = first + step[1] if 0 in turn else first
    return [first, one, second, two]


@pytest.mark.parametrize("order", ["joint", "greedy"])
def test_its_layers_learn_when_it_says(make: Maker, order: str) -> None:
    run = make(train={"order": order, "epochs": 2})
    result = fit(run)
    found = list(load_run(run.folder)[1].parameters())[:4]
    for one, wanted in zip(found, by_hand(run, order == "greedy"), strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-5, atol=1e-6)
    assert result["epochs"] == (4 if order == "greedy" else 2)


def test_its_steps_are_not_scored_and_its_read_out_is(make: Maker) -> None:
    run = make(train={"order": "greedy", "epochs": 1})
    result = fit(run)
    for line in (json.loads(text) for text in (run.folder / RECORD).read_text().splitlines()):
        assert line["train_accuracy"] is line["train_objective"] is line["validation_accuracy"] is None
        assert line["cosine_worst"] is None and "units" not in line
    network, test = load_run(run.folder)[1], run.data.load("cpu", run.seed).test
    x, labels = test.take(slice(None))
    right = 100 * float((network(x).argmax(1) == labels).double().mean())
    assert result["test_accuracy"] == pytest.approx(right) == evaluate(run.folder)["accuracy"]
    (*_, initial, _), (*_, output, _) = run.network().parameters(), network.parameters()
    assert not torch.equal(initial, output) and result["readout_epochs"] == 3


def test_without_a_read_out_it_is_refused(make: Maker) -> None:
    with pytest.raises(ConfigurationError, match="rule=test_means leaves the output layer as it is"):
        fit(make(readout={"name": "joint"}))


def test_layer_by_layer_is_refused_to_who_cannot(make: Maker) -> None:
    with pytest.raises(ConfigurationError, match=r"train\.order=greedy: rule=contrast needs all layers at once"):
        make(rule={"name": "contrast"}, train={"order": "greedy"})
