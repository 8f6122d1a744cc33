"""Wires in training: Kolen–Pollack's law, what records say of them, and runs that go on bit for bit."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from energy.analysis.gradient_alignment import feedback_alignment
from energy.component import ConfigurationError
from energy.feedback import (
    Feedback,
    KolenPollack,
    Random,
    Sign,
    SignUnit,
    feedback_weights,
    mirrored_parameters,
    resample,
)
from energy.models import MLP
from energy.network import Network
from energy.objectives import CrossEntropy, one_hot
from energy.potentials import Tanh
from energy.rules.contrast import Contrast
from energy.settle.dyadic import DualPropagation
from energy.train.evaluate import evaluate, load_run
from energy.train.fit import fit
from energy.train.optimizer import SGD, Adam, AdamW, Optimizer
from energy.train.run import Run
from energy.train.session import Session

Maker = Callable[..., Run]
RATES = [0.1, 0.05, 0.2, 0.0, 0.1, 0.15]  # of six steps
DECAY = 0.3


def wired(feedback: Feedback, seed: int = 0) -> Network:
    network = MLP(sizes=[8, 6], hidden=Tanh()).build((5,), 3, seed=seed).double()
    feedback.attach(network, seed=seed)
    return network


def step(network: Network, optimizer: torch.optim.Optimizer, number: int) -> None:
    """One step on a batch of its own, at the rate of that step."""
    stream = torch.Generator().manual_seed(number)
    x = torch.randn(7, 5, generator=stream, dtype=torch.float64)
    target = one_hot(torch.randint(3, (7,), generator=stream), 3, torch.float64)
    for group in optimizer.param_groups:
        group["lr"] = RATES[number]
    Contrast().learn(network, DualPropagation(feedback=KolenPollack()), x, target, CrossEntropy())
    optimizer.step()


def differences(network: Network) -> list[Tensor]:
    """W − R of every layer that has wires."""
    pairs = mirrored_parameters(network)
    assert len(pairs) == 2
    return [(weight - feedback_weight).detach().clone() for weight, feedback_weight in pairs]


def worst(found: list[Tensor], wanted: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("optimizer", [SGD(momentum=0.0, weight_decay=DECAY), AdamW(weight_decay=DECAY)], ids=repr)
def test_the_difference_decays_whatever_the_data_are(optimizer: Optimizer) -> None:
    """W − R shrinks by Π(1 − ηλ), while W itself goes where the data send it."""
    network = wired(KolenPollack())
    descent, before = optimizer.create(network), differences(network)
    weights = [weight.detach().clone() for weight, _ in mirrored_parameters(network)]
    for number in range(len(RATES)):
        step(network, descent, number)
    left = math.prod(1 - rate * DECAY for rate in RATES)
    assert worst(differences(network), [d * left for d in before]) < 1e-12
    assert worst([weight.detach() for weight, _ in mirrored_parameters(network)], [w * left for w in weights]) > 1e-2


@pytest.mark.parametrize("nesterov", [False, True])
def test_with_momentum_the_difference_obeys_the_linear_recursion(nesterov: bool) -> None:
    """v ← μv + λd, d ← d − ηv (Nesterov: d ← d − η(λd + μv)): the increments of W and R are equal and drop out."""
    network = wired(KolenPollack())
    descent = SGD(momentum=0.9, weight_decay=DECAY, nesterov=nesterov).create(network)
    wanted = differences(network)
    velocity = [torch.zeros_like(d) for d in wanted]
    for number, rate in enumerate(RATES):
        pull = [DECAY * d for d in wanted]
        velocity = [0.9 * v + p for v, p in zip(velocity, pull, strict=True)]
        moved = [p + 0.9 * v for p, v in zip(pull, velocity, strict=True)] if nesterov else velocity
        wanted = [d - rate * m for d, m in zip(wanted, moved, strict=True)]
        step(network, descent, number)
    assert worst(differences(network), wanted) < 1e-12


@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9), Adam(), AdamW(weight_decay=0.0)], ids=repr)
def test_without_decay_the_difference_stays(optimizer: Optimizer) -> None:
    network = wired(KolenPollack())
    descent, before = optimizer.create(network), differences(network)
    for number in range(len(RATES)):
        step(network, descent, number)
    assert worst(differences(network), before) < 1e-12


def test_adam_with_decay_in_the_gradient_knows_no_such_law() -> None:
    """The negative control: each of W and R is then divided by a scale of its own."""
    network = wired(KolenPollack())
    descent, before = Adam(weight_decay=DECAY).create(network), differences(network)
    for number in range(len(RATES)):
        step(network, descent, number)
    left = math.prod(1 - rate * DECAY for rate in RATES)
    assert worst(differences(network), [d * left for d in before]) > 0.05


@pytest.mark.parametrize("foreach", [False, True])
def test_an_optimizer_of_ones_own_takes_the_same_steps(foreach: bool) -> None:
    """Some write into the gradients they are given, so weight and wires must not share one."""
    network, reference = wired(KolenPollack()), wired(KolenPollack())
    everything = [*network.parameters(), *(feedback_weight for _, feedback_weight in mirrored_parameters(network))]
    descent = torch.optim.SGD(everything, lr=0.1, momentum=0.9, nesterov=True, foreach=foreach)
    before, other = differences(network), SGD(momentum=0.9, nesterov=True).create(reference)
    for number in range(len(RATES)):
        step(network, descent, number)
        step(reference, other, number)
    assert worst(differences(network), before) < 1e-12
    assert worst([p.detach() for p in network.parameters()], [p.detach() for p in reference.parameters()]) < 1e-12


def test_a_frozen_layer_and_its_wires_stay() -> None:
    network = wired(KolenPollack())
    frozen, feedback_weight = mirrored_parameters(network)[0]
    frozen.requires_grad_(False)
    descent = SGD(momentum=0.9, weight_decay=DECAY).create(network)
    before, other = (frozen.detach().clone(), feedback_weight.clone()), mirrored_parameters(network)[1][1].clone()
    for number in range(3):
        step(network, descent, number)
    assert torch.equal(frozen, before[0]) and torch.equal(feedback_weight, before[1])
    assert not torch.equal(mirrored_parameters(network)[1][1], other)


def test_wires_learn_at_the_rate_of_their_layer() -> None:
    network = wired(KolenPollack())
    descent = SGD(layer_lr=[0.0, 0.2, 0.0], momentum=0.0).create(network)
    assert [len(group["params"]) for group in descent.param_groups] == [2, 3, 3]
    assert any(p is mirrored_parameters(network)[0][1] for p in descent.param_groups[1]["params"])


@pytest.mark.parametrize("kind", [Random(), Sign()], ids=repr)
def test_fixed_wires_are_nobodys_parameters(kind: Feedback) -> None:
    network = wired(kind)
    assert mirrored_parameters(network) == []
    groups = SGD().create(network).param_groups
    assert [len(group["params"]) for group in groups] == [len(list(network.parameters()))]


# Records


def test_alignment_is_measured_layer_by_layer() -> None:
    network = wired(KolenPollack())
    (first, one), (second, two) = mirrored_parameters(network)
    with torch.no_grad():
        one.copy_(first * 3)
        two.copy_(-second)
        two[0, 0] = second[0, 0]
    found = feedback_alignment(network)
    names = [layer.name for layer in network.layers[1:]]
    assert list(found["feedback_angle"]) == list(found["feedback_agreement"]) == names
    assert found["feedback_angle"][names[0]] == pytest.approx(0.0, abs=1e-5)
    square = second.detach().square()
    cosine = float((2 * square[0, 0] - square.sum()) / square.sum())
    assert found["feedback_angle"][names[1]] == pytest.approx(math.degrees(math.acos(cosine)))
    assert found["feedback_agreement"] == {names[0]: 100.0, names[1]: pytest.approx(100 / second.numel())}


def test_wires_of_zero_have_no_angle() -> None:
    network = wired(Random())
    with torch.no_grad():
        network.get_buffer("feedback_weights.edge1").zero_()
    assert next(iter(feedback_alignment(network)["feedback_angle"].values())) is None


def test_a_run_records_angle_and_agreement_every_epoch(make_run: Maker, timeless: Callable[..., Any]) -> None:
    run = make_run(settler={"name": "dual_propagation", "feedback": {"name": "sign_unit", "sign_agreement": 0.75}})
    fit(run)
    for line in timeless(run.folder):
        ((layer, angle),) = line["feedback_angle"].items()
        assert layer == "output" and 40 < angle < 80
        assert line["feedback_agreement"] == {"output": pytest.approx(75.0, abs=0.5)}
        assert line["cosines"]["output"] > 0.99


def test_a_tied_run_records_nothing_of_it(make_run: Maker, timeless: Callable[..., Any]) -> None:
    run = make_run()
    fit(run)
    assert all(line["feedback_angle"] == line["feedback_agreement"] == {} for line in timeless(run.folder))
    assert feedback_weights(run.network()) is None


def test_the_wires_of_a_run_are_its_seeds(make_run: Maker) -> None:
    settler = {"name": "dual_propagation", "feedback": "random"}
    one, same, other = (
        make_run(settler=settler, seed=seed).network().get_buffer("feedback_weights.edge1") for seed in (0, 0, 1)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_batch_magnitudes_are_drawn_once_a_step(make_run: Maker) -> None:
    run = make_run(settler={"name": "dual_propagation", "feedback": "sign_batch"})
    session = Session(run, run.folder)
    x, labels = session.splits.train.take(slice(0, 20))
    drawn = []
    for number in (0, 1, 0):
        session.step = number
        session.learn(x, one_hot(labels, 10))
        drawn.append(session.network.get_buffer("feedback_weights.edge1").clone())
    assert torch.equal(drawn[0], drawn[2]) and not (drawn[0] == drawn[1]).any()
    reference = run.network()
    resample(reference, 1)
    assert torch.equal(drawn[1], reference.get_buffer("feedback_weights.edge1"))


@pytest.mark.parametrize("kind", ["random", "direct", "sign", "sign_batch", "kolen_pollack"])
def test_a_finished_run_is_loaded_with_the_wires_it_ended_with(make_run: Maker, kind: str) -> None:
    run = make_run(settler={"name": "dual_propagation", "feedback": kind}, optimizer={"weight_decay": 0.1})
    result = fit(run)
    assert evaluate(run.folder)["accuracy"] == result["test_accuracy"]
    loaded, network, _ = load_run(run.folder)
    assert loaded.settler == run.settler
    drawn = run.network().get_buffer("feedback_weights.edge1")
    moved = kind in ("sign_batch", "kolen_pollack")
    assert torch.equal(network.get_buffer("feedback_weights.edge1"), drawn) != moved


def test_kolen_pollack_aligns_as_its_law_says(make_run: Maker, timeless: Callable[..., Any]) -> None:
    """SGD without momentum at a constant rate: |W − R| after n steps is (1 − ηλ)ⁿ of what it was."""
    run = make_run(
        settler={"name": "dual_propagation", "feedback": "kolen_pollack"},
        optimizer={"momentum": 0.0, "weight_decay": 0.1, "lr": 0.5},
        schedule={"name": "constant"},
        train={"epochs": 12},
    )
    result = fit(run)
    gaps = []
    for network in (run.network(), load_run(run.folder)[1]):
        ((weight, feedback_weight),) = mirrored_parameters(network)
        gaps.append(float((weight - feedback_weight).detach().norm()))
    assert gaps[1] / gaps[0] == pytest.approx((1 - 0.05) ** result["steps"], rel=1e-3)
    degrees = [line["feedback_angle"]["output"] for line in timeless(run.folder)]
    assert degrees[0] > 60 and degrees[-1] < 20


def test_a_model_that_the_wires_do_not_fit_is_refused_before_data_is_touched(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(settler={"name": "dual_propagation", "feedback": "sign"})
    zero = MLP(sizes=[12], gain=1e-300)
    run = dataclasses.replace(run, model=zero)
    with pytest.raises(ConfigurationError, match="is zero: must be initialized"):
        fit(run)
    assert not Path(run.folder).exists()


def test_unit_signs_are_a_third_of_the_way_of_random_ones() -> None:
    """For Gaussian weights 37.1° with signs of one magnitude, 90° with random wires, as the record counts them."""
    network = MLP(sizes=[300, 300], hidden=Tanh()).build((5,), 10, seed=0)
    with torch.no_grad():
        network.get_parameter("couplings.1.weight").normal_(generator=torch.Generator().manual_seed(0))
    for kind, wanted in ((SignUnit(), 37.1), (Random(), 90.0)):
        kind.attach(network, seed=0)
        assert next(iter(feedback_alignment(network)["feedback_angle"].values())) == pytest.approx(wanted, abs=0.6)
