"""The running average of the weights: its closed form, and that it is what is validated, tested and kept."""

from collections.abc import Callable

import pytest
import torch

from energy.component import ConfigurationError
from energy.couplings import Dense
from energy.network import Network
from energy.potentials import Identity
from energy.train.average import WARM, WeightAverage
from energy.train.evaluate import evaluate, load_epoch, load_run
from energy.train.fit import fit
from energy.train.run import Run

Maker = Callable[..., Run]


def test_it_is_the_sum_that_its_definition_gives() -> None:
    network, coupling = Network((1,)), Dense(1, 1, bias=False)
    network.add(coupling, Identity())
    average, weight = WeightAverage(network.double(), 0.8), coupling.weight
    wanted = float(weight.detach())
    for step in range(1, 60):
        with torch.no_grad():
            weight.fill_(step**0.5)
        average.update(step)
        kept = min(0.8, step / (step + WARM))
        wanted = kept * wanted + (1 - kept) * step**0.5
    (found,) = average.weights().values()
    torch.testing.assert_close(float(found), wanted)


def test_it_is_shown_and_taken_away() -> None:
    network, coupling = Network((2,)), Dense(2, 2)
    network.add(coupling, Identity())
    average, weight = WeightAverage(network, 0.5), coupling.weight
    with torch.no_grad():
        weight.add_(1.0)
    present = weight.clone()
    with average.shown():
        assert torch.equal(weight, present - 1)
    assert torch.equal(weight, present)


def test_without_a_decay_there_are_only_the_weights(make_run: Maker) -> None:
    network = make_run().network()
    average = WeightAverage(network, 0.0)
    average.update(1)
    assert average.tensors == {}
    assert average.weights().keys() == network.state_dict().keys()


def test_a_run_ends_with_the_average_and_is_validated_on_it(make_run: Maker) -> None:
    """At a decay that forgets nothing the average stays near the start, far from weights of the same training."""
    plain, averaged = make_run("plain"), make_run("averaged", train={"average": 0.9, "keep_epochs": [2]})
    fit(plain)
    result = fit(averaged)
    last, mean = (load_run(run.folder)[1].state_dict() for run in (plain, averaged))
    assert not any(torch.equal(last[name], mean[name]) for name in last)
    kept = load_epoch(averaged.folder, 2)[1].state_dict()
    assert all(torch.equal(kept[name], mean[name]) for name in mean)
    assert evaluate(averaged.folder, "validation")["accuracy"] == result["validation_accuracy"]
    assert evaluate(averaged.folder)["accuracy"] == result["test_accuracy"]


def test_the_training_itself_is_left_alone(make_run: Maker) -> None:
    """Gradients are taken at the weights of the last step: the objective in training is that of a run without."""
    from energy.io.record import RECORD, read_lines

    runs = make_run("plain"), make_run("averaged", train={"average": 0.9})
    for run in runs:
        fit(run)
    one, other = ([line["train_objective"] for line in read_lines(run.folder / RECORD)] for run in runs)
    assert one == other


def test_shares_that_are_none_are_refused(make_run: Maker) -> None:
    with pytest.raises(ConfigurationError, match="average"):
        make_run(train={"average": 1.0})
