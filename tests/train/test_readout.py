"""Read-outs against plain torch, closed forms and brute force; features against what the output layer sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from energy.component import ConfigurationError, from_dict
from energy.couplings import Dense, Module
from energy.ledger import Ledger
from energy.models import SoftHebbNet
from energy.network import Network
from energy.potentials import Identity, ReLU
from energy.readout import linear as page
from energy.readout.decoder import Decoder, accuracy, dense_output, install
from energy.readout.features import Features, features
from energy.readout.linear import LinearReadout, Power, ReadoutTraining, dropped
from energy.readout.nearest import Nearest
from energy.readout.readout import Joint, Readout, kept
from energy.readout.ridge import Ridge
from energy.settle.feedforward import Feedforward
from energy.stream import stream
from energy.train.run import Run

Maker = Callable[..., Run]


def told(line: dict[str, Any]) -> None:
    """Nobody listens."""


def sample(count: int = 57, size: int = 9, classes: int = 4, seed: int = 0) -> Features:
    """Gaussian clouds that overlap, in float64."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    centers = torch.randn(classes, size, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    return Features(centers[labels] + torch.randn(count, size, generator=generator, dtype=torch.float64), labels)


def by_hand(
    readout: LinearReadout, train: Features, seed: int, loss: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """The same training with `torch.nn.functional` and `torch.optim.Adam`; masks from the generator of the epoch."""
    bound = readout.rise / train.values.shape[1] ** 0.5
    weight = torch.empty(4, train.values.shape[1], dtype=torch.float64)
    bias = torch.empty(4, dtype=torch.float64)
    low = 0.0 if readout.positive else -bound
    weight.uniform_(low, bound, generator=stream(seed, "init/readout")).requires_grad_()
    bias.uniform_(-bound, bound, generator=stream(seed, "init/readout.bias")).requires_grad_()
    optimizer = torch.optim.Adam([weight, bias], lr=readout.lr, weight_decay=readout.weight_decay, foreach=False)
    for epoch in range(readout.epochs):
        order = torch.randperm(len(train), generator=stream(seed, "order/readout", epoch))
        masks = stream(seed, "dropout", epoch)
        for rows in order.split(readout.batch_size):
            kept, share = dropped(torch.ones_like(train.values), rows, readout.dropout, masks)
            optimizer.zero_grad()
            scores = F.linear(train.values[rows] * kept / share, weight, bias)
            loss(scores, train.labels[rows]).backward()
            optimizer.step()
    return weight.detach(), bias.detach()


def power_loss(scores: Tensor, labels: Tensor) -> Tensor:
    wanted = 2 * F.one_hot(labels, 4).double() - 1
    return ((0.3 * scores).tanh() - wanted).abs().pow(4.5).sum() / len(labels)


@pytest.mark.parametrize(
    ("readout", "loss"),
    [
        (LinearReadout(epochs=3, batch_size=10, lr=0.01, dropout=0.0), F.cross_entropy),
        (LinearReadout(epochs=3, batch_size=10, lr=0.01, dropout=0.5, weight_decay=0.1, rise=3.0), F.cross_entropy),
        (LinearReadout(epochs=1, batch_size=10, lr=0.01, rise=2.0, positive=True), F.cross_entropy),
        (Power(epochs=3, batch_size=10, lr=0.01, exponent=4.5, beta=0.3, dropout=0.25, scaled=False), power_loss),
    ],
    ids=["plain", "dropout", "positive", "power"],
)
def test_a_linear_read_out_is_the_plain_torch_loop(
    readout: LinearReadout, loss: Callable[[Tensor, Tensor], Tensor]
) -> None:
    train, lines = sample(), list[dict[str, Any]]()
    found = readout.fit(train, None, 4, 7, lines.append)
    weight, bias = by_hand(readout, train, 7, loss)
    torch.testing.assert_close(found.weight, weight, rtol=0, atol=1e-10)
    torch.testing.assert_close(found.bias, bias, rtol=0, atol=1e-10)
    assert [line["epoch"] for line in lines] == [*range(readout.epochs)]
    assert all(0 <= line["train_accuracy"] <= 100 and line["learning_rate"] == 0.01 for line in lines)


def test_a_scaled_read_out_learns_from_features_of_unit_size() -> None:
    """The one fitted to x/rms(x), its weights then divided by rms(x)."""
    train = sample()
    size = train.values.square().mean().sqrt()
    options = {"epochs": 3, "batch_size": 10, "lr": 0.01, "dropout": 0.0}
    found = LinearReadout(**options, scaled=True).fit(train, None, 4, 7, lambda line: None)
    plain = LinearReadout(**options).fit(Features(train.values / size, train.labels), None, 4, 7, lambda line: None)
    torch.testing.assert_close(found.weight, plain.weight / size, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.bias, plain.bias, rtol=0, atol=1e-6)


def test_its_line_says_what_the_epoch_was() -> None:
    """One epoch of one batch: objective and accuracy of the first weights."""
    train, lines = sample(), list[dict[str, Any]]()
    first = ReadoutTraining(LinearReadout(), train, 4, 0).decoder
    LinearReadout(epochs=1, batch_size=57, dropout=0.0).fit(train, None, 4, 0, lines.append)
    scores = first(train.values)
    assert lines[0]["train_objective"] == pytest.approx(float(F.cross_entropy(scores, train.labels)), rel=1e-12)
    assert lines[0]["train_accuracy"] == pytest.approx(100 * float((scores.argmax(1) == train.labels).double().mean()))


@pytest.mark.parametrize(
    ("epochs", "halvings"),
    [
        (50, [10, 17, 25, 30, 35, 40, 45]),
        (90, [18, 31, 45, 54, 63, 72, 81]),
        (100, [20, 35, 50, 60, 70, 80, 90]),
        (20, [10, 15]),
        (49, [24, 36]),
        (19, []),
    ],
)
def test_the_rate_is_halved_where_the_schedule_says(epochs: int, halvings: list[int]) -> None:
    rates = [LinearReadout(epochs=epochs, lr=1.0).rate(epoch) for epoch in range(epochs)]
    assert [k for k in range(1, epochs) if rates[k] == rates[k - 1] / 2] == halvings
    assert rates[0] == 1.0 and rates[-1] == 0.5 ** len(halvings)
    assert {LinearReadout(epochs=epochs, lr=1.0, steady=True).rate(epoch) for epoch in range(epochs)} == {1.0}


@pytest.mark.parametrize(("share", "dropped_share"), [(0.5, 0.5), (0.3, 77 / 256), (0.9, 230 / 256)])
def test_dropout_leaves_out_its_share_and_no_more(share: float, dropped_share: float) -> None:
    """Of 400,000 entries; what is left is untouched, its mean over the share kept unbiased, entries independent."""
    values, rows = torch.rand(100, 40, dtype=torch.float64) + 1, torch.arange(100).flip(0)
    generator = stream(0, "dropout")
    draws = [dropped(values, rows, share, generator) for _ in range(100)]
    kept = {one for _, one in draws}
    assert kept == {1 - dropped_share}
    stacked = torch.stack([found for found, _ in draws])
    alive = stacked != 0
    assert torch.equal(stacked[alive], values[rows].expand_as(stacked)[alive])
    error = (dropped_share * (1 - dropped_share) / 400_000) ** 0.5
    assert abs(float((~alive).double().mean()) - dropped_share) < 4 * error
    assert abs(float((stacked / (1 - dropped_share)).mean() / values.mean()) - 1) < 8 * error / (1 - dropped_share)
    centered = alive.double() - alive.double().mean()
    for lag in (1, 2, 8):
        assert abs(float((centered[..., lag:] * centered[..., :-lag]).mean())) < 0.002
    assert abs(float((centered[1:] * centered[:-1]).mean())) < 0.002  # from step to step


def test_without_dropout_nothing_is_drawn() -> None:
    values, kept = dropped(torch.ones(4, 3), torch.tensor([2, 0]), 0.001, None)  # type: ignore[arg-type]
    assert kept == 1.0 and values.tolist() == [[1.0] * 3] * 2


def test_early_stopping_keeps_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """50, 60, then two that rise by less than `least`: it stops after four and gives the weights of the second."""
    train, said = sample(), iter([50.0, 60.0, 60.005, 60.009, 99.0])
    monkeypatch.setattr(page, "accuracies", lambda *_: {"accuracy": next(said)})
    lines: list[dict[str, Any]] = []
    found = LinearReadout(epochs=10, patience=2, least=0.01).fit(train, train, 4, 0, lines.append)
    assert [line["validation_accuracy"] for line in lines] == [50.0, 60.0, 60.005, 60.009]
    assert kept(lines) == lines[1] and kept([{"epoch": 0}, {"epoch": 1}]) == {"epoch": 1}
    wanted = LinearReadout(epochs=2).fit(train, None, 4, 0, told)
    assert torch.equal(found.weight, wanted.weight) and torch.equal(found.bias, wanted.bias)


def test_early_stopping_needs_something_to_go_by() -> None:
    for nothing in (None, Features(torch.zeros(0, 9), torch.zeros(0, dtype=torch.int64))):
        with pytest.raises(ConfigurationError, match=r"linear\.patience=3: needs data\.validation above 0"):
            LinearReadout(patience=3).fit(sample(), nothing, 4, 0, told)


@pytest.mark.parametrize(("exponent", "beta"), [(6.0, 0.1), (4.5, 0.5), (1.5, 1.0)])
def test_the_gradient_of_the_power_loss(exponent: float, beta: float) -> None:
    scores = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    total, gradient = Power(exponent=exponent, beta=beta).error(scores.detach(), labels)
    wanted = ((beta * scores).tanh() - (2 * F.one_hot(labels, 4) - 1)).abs().pow(exponent).sum()
    torch.testing.assert_close(total, wanted.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, torch.autograd.grad(wanted, scores)[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("count", [57, 6], ids=["tall", "wide"])
@pytest.mark.parametrize("strength", [1e-3, 0.5])
def test_ridge_is_least_squares_with_rows_of_weight_decay(count: int, strength: float) -> None:
    """min ‖Y − XWᵀ‖² + λ n σ² ‖W‖² on centred X and Y is the least-squares problem with √(λ n σ²)·I below X."""
    train, lines = sample(count), list[dict[str, Any]]()
    found = Ridge(strength=strength).fit(train, None, 4, 0, lines.append)
    x, y = train.values - train.values.mean(0), 2 * F.one_hot(train.labels, 4).double() - 1
    size = (strength * count * x.square().mean()).sqrt()
    stacked = torch.cat((x, size * torch.eye(9, dtype=torch.float64)))
    wanted = torch.linalg.lstsq(stacked, torch.cat((y - y.mean(0), torch.zeros(9, 4, dtype=torch.float64)))).solution.T
    torch.testing.assert_close(found.weight, wanted, rtol=0, atol=1e-10)
    torch.testing.assert_close(found(train.values), x @ wanted.T + y.mean(0), rtol=0, atol=1e-10)
    assert lines[0]["train_accuracy"] == accuracy(found, train)


@pytest.mark.parametrize("neighbors", [1, 5])
def test_nearest_by_brute_force(neighbors: int) -> None:
    train, test = sample(), sample(11, seed=5)
    found = Nearest(neighbors=neighbors).fit(train, None, 4, 0, told)(test.values)
    for row, value in enumerate(test.values):
        cosines = [float(value @ one / (value.norm() * one.norm())) for one in train.values]
        votes = [0.0] * 4
        for k in sorted(range(57), key=lambda k: -cosines[k])[:neighbors]:
            votes[int(train.labels[k])] += cosines[k]
        assert found[row].tolist() == pytest.approx(votes, abs=1e-5)
    with pytest.raises(ConfigurationError, match=r"nearest\.neighbors=58: there are 57 features"):
        Nearest(neighbors=58).fit(train, None, 4, 0, told)


def test_bfloat16_features_give_float32_weights() -> None:
    exact, low = sample(200), Features(sample(200).values.bfloat16(), sample(200).labels)
    for readout in (LinearReadout(epochs=40, lr=0.03, dropout=0.0), Power(epochs=40, lr=0.03), Ridge()):
        found, wanted = readout.fit(low, None, 4, 0, told), readout.fit(exact, None, 4, 0, told)
        assert found.weight.dtype == found.bias.dtype == found(low.values).dtype == torch.float32
        assert abs(accuracy(found, low) - accuracy(wanted, exact)) <= 3
    assert accuracy(Nearest(neighbors=1).fit(low, None, 4, 0, told), low) == 100


def test_accuracy_by_hand() -> None:
    decoder = Decoder(torch.eye(3), torch.tensor([0.0, 0.0, 0.5]))
    held = Features(torch.tensor([[1.0, 0, 0], [0, 0.4, 0], [0, 1, 0], [0, 0, 0]]), torch.tensor([0, 1, 1, 2]))
    assert accuracy(decoder, held, batch=3) == 75.0


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("joint", {"every": 2}, r"joint\.every=2: must be 0: there is nothing to fit"),
        ("linear", {"every": -1}, r"linear\.every=-1"),
        ("linear", {"dropout": 1.0}, r"linear\.dropout=1\.0: must be at least 0 and below 1"),
        ("linear", {"lr": 0.0}, r"linear\.lr=0\.0"),
        ("power", {"exponent": 1.0}, r"power\.exponent=1\.0: must be above 1"),
        ("ridge", {"strength": math.inf}, r"ridge\.strength"),
        ("nearest", {"neighbors": 0}, r"nearest\.neighbors=0"),
    ],
)
def test_ranges(name: str, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        from_dict(Readout, {"name": name, **fields}, path=name)


def test_what_learns_with_the_others_is_not_fitted() -> None:
    with pytest.raises(ConfigurationError, match="readout=joint: is not fitted to features"):
        Joint().fit(sample(), None, 4, 0, told)


# what it is fitted to, and where it goes


def test_features_are_what_the_output_layer_sees(make_run: Maker) -> None:
    """In the order of the images, without augmentation, behind the last pooling; in float64 and in bfloat16."""
    for precision, dtype in (("float64", torch.float64), ("float32", torch.bfloat16)):
        run = make_run(precision=precision, data={"limit": 60, "crop": 2})
        network = SoftHebbNet(channels=[6], kernels=[3], powers=[1.4], pools=["max_2_2_0"], radius=3.0).build(
            (1, 8, 8), 10, seed=0
        )
        network.to(run.precision.weight)
        images = run.data.load("cpu", 0, run.precision.activity).train
        ledger = Ledger()
        found = features(network, Feedforward(), images, 7, ledger)
        x, labels = images.take(slice(None))
        seen = F.max_pool2d(network.activity(x)[0], 2).flatten(1).detach()
        assert found.values.dtype == dtype and torch.equal(found.labels, labels)
        torch.testing.assert_close(
            found.values, seen.to(dtype), rtol=1e-2 if dtype == torch.bfloat16 else 1e-12, atol=1e-12
        )
        assert ledger.multiply_adds == network.edges[0].multiply_adds * len(images)


def test_an_installed_decoder_is_the_output(make_run: Maker) -> None:
    run = make_run(precision="float64", data={"limit": 60})
    network = SoftHebbNet(channels=[6], kernels=[3], powers=[1.4], pools=["avg_2_2_0"], radius=3.0).build(
        (1, 8, 8), 10, seed=0
    )
    network.double()
    images = run.data.load("cpu", 0, torch.float64).train
    seen = features(network, Feedforward(), images, 20, Ledger())
    decoder = Ridge().fit(seen, None, 10, 0, told)
    install(network, decoder)
    torch.testing.assert_close(network(images.take(slice(None))[0]), decoder(seen.values), rtol=0, atol=1e-10)
    with pytest.raises(ConfigurationError, match=r"output layer has shape \(10, 96\), the decoder's \(4, 9\)"):
        install(network, Decoder(torch.zeros(4, 9), torch.zeros(4)))


def graph() -> Network:
    network = Network((5,))
    first = network.add(Dense(5, 4), ReLU())
    second = network.add(Dense(4, 4), ReLU())
    network.add({second: Dense(4, 3), first: Dense(4, 3)}, Identity())
    return network


def chain(*couplings: torch.nn.Module) -> Network:
    network = Network((5,))
    for coupling in couplings:
        network.add(coupling, Identity())  # type: ignore[arg-type]
    return network


@pytest.mark.parametrize(
    "network",
    [
        graph(),
        chain(Dense(5, 3)),
        chain(Dense(5, 4), Dense(4, 3, bias=False)),
        chain(Dense(5, 4), Module(torch.nn.Linear(4, 3))),
    ],
    ids=["two couplings", "from the input", "no bias", "a module"],
)
def test_an_output_layer_that_takes_no_decoder_is_refused(network: Network) -> None:
    with pytest.raises(ConfigurationError, match="readout: needs one dense coupling with bias into the output layer"):
        dense_output(network)
    with pytest.raises(ConfigurationError, match="readout: needs one dense coupling with bias into the output layer"):
        install(network, Decoder(torch.zeros(3, 4), torch.zeros(3)))


def test_scores_of_rounded_features_are_not_rounded() -> None:
    """Features are kept in bfloat16; a fit to them and its scores are those of the same numbers in float32."""
    train = sample()
    rounded = Features(train.values.bfloat16(), train.labels)
    wide = Features(rounded.values.float(), train.labels)
    options = {"epochs": 3, "batch_size": 10, "lr": 0.01, "rise": 30.0, "positive": True}
    found, expected = (LinearReadout(**options).fit(one, None, 4, 7, lambda line: None) for one in (rounded, wide))
    assert torch.equal(found.weight, expected.weight)
    assert torch.equal(found(rounded.values), expected(wide.values))
