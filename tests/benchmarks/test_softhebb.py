"""The published three-layer SoftHebb network beside the authors' own demonstration, on one machine in one run.

ENERGY_SOFTHEBB_DEMO names a copy of that demonstration's single file; without it only our own times are taken. Two of
its lines do not run on current torch, and it asks for torchvision's CIFAR-10: its modules alone are used, and rates as
its scheduler gives them. Inputs are smooth random images, since no step depends on what is in them.
"""

import os
import statistics
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from energy.models import SoftHebbNet
from energy.network import Network
from energy.objectives import CrossEntropy, one_hot
from energy.readout.features import Features
from energy.readout.linear import LinearReadout, ReadoutTraining
from energy.rules import PerLayer, SoftHebb
from energy.settle import Feedforward
from energy.stream import stream
from energy.train.optimizer import SGD
from tests.benchmarks.tasks import channels_last
from tests.benchmarks.timing import QUIET, Record, Step, interleaved, rows

pytestmark = [pytest.mark.slow, QUIET]

RATES, TEMPERATURES = (0.08, 0.005, 0.01), (1.0, 1 / 0.65, 4.0)
BATCH, HEAD, IMAGES = 10, 64, 50_000
DEMO = os.environ.get("ENERGY_SOFTHEBB_DEMO", "")


def images(count: int) -> Tensor:
    small = torch.rand(count, 3, 8, 8, generator=stream(0, "probe"))
    return F.interpolate(small, size=32, mode="bilinear")


def rule() -> PerLayer:
    pairs = zip(RATES, TEMPERATURES, strict=True)
    return PerLayer(rules=[SoftHebb(rate=rate, temperature=temperature) for rate, temperature in pairs])


def network() -> Network:
    return channels_last(SoftHebbNet().build((3, 32, 32), 10, seed=0))


def ours(net: Network, x: Tensor, law: Any) -> Step:
    """One step without labels; the rates are as published, so weights move as they would."""
    optimizer = SGD(lr=1.0, momentum=0.0).create(net)
    target = one_hot(torch.zeros(len(x), dtype=torch.long), 10, x.dtype)

    def step() -> None:
        law.learn(net, Feedforward(), x, target, CrossEntropy())
        optimizer.step()

    return step


@pytest.fixture(scope="module")
def demo() -> Iterator[dict[str, Any]]:
    """The names of the demonstration, read up to where its main loop begins."""
    if not DEMO:
        pytest.skip("ENERGY_SOFTHEBB_DEMO is not set")
    stand_in: Any = types.ModuleType("torchvision")
    stand_in.datasets = types.SimpleNamespace(CIFAR10=object)
    sys.modules["torchvision"] = stand_in
    names: dict[str, Any] = {}
    exec(compile(Path(DEMO).read_text().partition("# Main training loop")[0], DEMO, "exec"), names)
    yield names
    del sys.modules["torchvision"]


def theirs(names: dict[str, Any]) -> tuple[Any, Callable[[Tensor], None]]:
    """The demonstration's network and its step: forward with its plastic update, its rates by norm, its optimiser.

    Its scheduler is left without a base class's constructor, which takes other arguments on current torch."""
    model = names["DeepSoftHebb"]()
    layers = [model.conv1, model.conv2, model.conv3]
    groups = [{"params": layer.parameters(), "lr": 0.0} for layer in layers]
    optimizer = names["TensorLRSGD"](groups, lr=0)
    scheduler = object.__new__(names["WeightNormDependentLR"])
    scheduler.optimizer, scheduler.power_lr, scheduler._get_lr_called_within_step = optimizer, 0.5, True
    scheduler.initial_lr_groups = [-rate for rate in RATES]

    @torch.no_grad()
    def step(x: Tensor) -> None:
        for group, rates in zip(optimizer.param_groups, scheduler.get_lr(), strict=True):
            group["lr"] = rates
        optimizer.zero_grad()
        model(x)
        optimizer.step()

    return model, step


def test_six_steps_and_the_features_after_them_are_theirs(demo: dict[str, Any]) -> None:
    """From the same weights, on the same images; in float64, where rounding makes no other neuron the winner."""
    model, step = theirs(demo)
    model.double()
    net: Any = network().double()
    x = images(6 * BATCH).double()
    kernels = [(getattr(model, f"conv{k + 1}").weight, net.edges[k].coupling.weight) for k in range(3)]
    for published, own in kernels:
        own.data.copy_(published.data)
    for batch in x.split(BATCH):
        step(batch)
        ours(net, batch, rule())()
    for published, own in kernels:
        assert (published - own).norm() < 1e-9 * published.norm()
    model.eval()
    with torch.no_grad():
        expected = model.pool3(model.activ3(model.conv3(model.bn3(_second(model, x)))))
        (edge,) = net.into(4)
        state = Feedforward().predict(net.subnetwork(3), x).output
        found = edge.coupling.unit_inputs(state, *edge.coupling.linearize(state)).presynaptic
    assert (found.flatten(1) - expected.flatten(1)).norm() < 1e-9 * expected.norm()


def _second(model: Any, x: Tensor) -> Tensor:
    """What the demonstration's third block sees."""
    first = model.pool1(model.activ1(model.conv1(model.bn1(x))))
    return model.pool2(model.activ2(model.conv2(model.bn2(first))))


def products(net: Network) -> Step:
    """The matrix products of a step and nothing else: each layer's drive and its yx, bfloat16, patches at hand."""
    pairs = []
    for edge in net.edges[:-1]:
        weight = edge.coupling.get_parameter("filters.weight").flatten(1).bfloat16()
        places = BATCH * edge.multiply_adds // weight.numel()
        y, seen = (torch.rand(places, n).bfloat16() for n in weight.shape)
        pairs.append((y, seen, weight))

    def step() -> None:
        for y, seen, weight in pairs:
            torch.mm(seen, weight.T)
            torch.mm(y.T, seen)

    return step


def test_an_epoch_without_labels(record: Record, demo: dict[str, Any]) -> None:
    """Batch 10, the three layers in one pass: theirs in float32, ours in float32 and with bfloat16 activities; and what
    the products take of ours, which no bookkeeping around them can save.
    """
    x = images(BATCH)
    _, step = theirs(demo)
    steps = {
        "demonstration": lambda: step(x),
        "ours, float32": ours(network(), x, rule()),
        "ours, bfloat16": ours(network(), x.bfloat16(), rule()),
        "products alone, bfloat16": products(network()),
    }
    for row in rows(interleaved(steps), "demonstration", group="layers, batch 10", batch=BATCH):
        record.add({**row, "seconds_1000": 1000 * row["seconds"] / BATCH})


def test_larger_batches(record: Record) -> None:
    steps = {
        f"ours, bfloat16, batch {batch}": ours(network(), images(batch).bfloat16(), rule()) for batch in (10, 50, 100)
    }
    reference = "ours, bfloat16, batch 10"
    for row, batch in zip(rows(interleaved(steps), reference, group="layers, by batch"), (10, 50, 100), strict=True):
        per = {f"ratio{end}": row[f"ratio{end}"] * BATCH / batch for end in ("", "_low", "_high")}
        record.add({**row, **per, "batch": batch, "seconds_1000": 1000 * row["seconds"] / batch})


def test_each_layer(record: Record) -> None:
    """A layer's own share: the network up to it less the network up to the layer below."""
    steps, laws = {}, rule().rules
    for count in (1, 2, 3):
        net = network()
        steps[f"layers 1 to {count}"] = ours(net, images(BATCH).bfloat16(), PerLayer(rules=laws[:count]))
    times = interleaved(steps)
    before = 0.0
    for label, taken in times.items():
        whole = statistics.median(taken)
        record.add({"group": "a layer, bfloat16, batch 10", "name": label, "seconds_1000": 100 * (whole - before)})
        before = whole


def test_the_head_and_the_whole_run(record: Record, demo: dict[str, Any]) -> None:
    """Fifty epochs over 50,000 images, as the demonstration trains its head through the frozen layers, and on features
    that are computed once; and with them the epoch without labels before it. From medians of steps.
    """
    few = images(BATCH)
    _, layers = theirs(demo)
    x, labels = images(HEAD), torch.arange(HEAD) % 10
    model, _ = theirs(demo)
    criterion, adam = torch.nn.CrossEntropyLoss(), torch.optim.Adam(model.classifier.parameters(), lr=0.001)
    for name in ("bn1", "bn2", "bn3", "conv1", "conv2", "conv3"):
        getattr(model, name).eval()

    def literal() -> None:
        adam.zero_grad()
        criterion(model(x), labels).backward()
        adam.step()

    net, settler = network(), Feedforward()
    below = net.subnetwork(3)
    course = ReadoutTraining(
        LinearReadout(), Features(torch.rand(2048, 24_576).bfloat16(), torch.arange(2048) % 10), 10, 0
    )
    rows_, masks = torch.randperm(2048)[:HEAD], stream(0, "dropout")

    def cached() -> None:
        with torch.no_grad():
            course._step(rows_, masks)

    def extract() -> None:
        settler.predict(below, x.bfloat16())

    steps = {"demonstration": literal, "cached": cached, "extraction": extract}
    learning = {"demonstration": lambda: layers(few), "ours": ours(network(), few.bfloat16(), rule())}
    times = interleaved({**steps, **{f"layers, {name}": step for name, step in learning.items()}})
    median = {name: statistics.median(taken) for name, taken in times.items()}
    batches, epochs = IMAGES / HEAD, 50
    spent = {
        "demonstration": epochs * batches * median["demonstration"],
        "ours": batches * median["extraction"] + epochs * batches * median["cached"],
    }
    whole = {name: seconds + IMAGES / BATCH * median[f"layers, {name}"] for name, seconds in spent.items()}
    for group, found in (("head, 50 epochs", spent), ("layers and head", whole)):
        for name, seconds in found.items():
            times_less = found["demonstration"] / seconds
            record.add({"group": group, "name": name, "seconds_all": seconds, "times_less": times_less})
    for name in steps:
        record.add({"group": "head, one step of 64", "name": name, "seconds": median[name]})
