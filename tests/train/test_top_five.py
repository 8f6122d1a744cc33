"""Top-5 accuracy: ranks of constructed outputs and against a stable sort, and a run with a hundred classes."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from energy.component import Component, from_dict
from energy.data.check import Examples, Raw
from energy.data.dataset import DataSet
from energy.io.record import RECORD, RESULT
from energy.readout.decoder import accuracies
from energy.readout.features import Features
from energy.readout.top_five import TopFive, class_rank
from energy.train import progress
from energy.train.evaluate import evaluate, load_run
from energy.train.fit import fit
from energy.train.registration import register_builtins
from energy.train.run import Run

CPU = torch.device("cpu")
CLASSES = 100


@pytest.mark.parametrize(
    ("output", "ranks"),
    [
        ([5.0, 4.0, 3.0, 2.0, 1.0, 0.0], [0, 1, 2, 3, 4, 5]),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [5, 4, 3, 2, 1, 0]),
        ([7.0, 7.0, 7.0, 7.0, 7.0, 7.0], [0, 1, 2, 3, 4, 5]),  # of equals the first comes first
        ([1.0, 2.0, 1.0, 2.0, 1.0, 2.0], [3, 0, 4, 1, 5, 2]),
        ([0.0, -0.0, 0.0, -0.0, 0.0, -0.0], [0, 1, 2, 3, 4, 5]),  # both zeros are one number
        ([-np.inf, np.inf, 0.0, np.inf, -np.inf, 1.0], [4, 0, 3, 1, 5, 2]),
        ([1.0, np.nan, np.inf, np.nan, 2.0, 0.0], [4, 0, 2, 1, 3, 5]),  # a NaN counts as the greatest
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_ranks_of_constructed_outputs(output: list[float], ranks: list[int], dtype: torch.dtype) -> None:
    outputs = torch.tensor(output, dtype=dtype).expand(6, 6)
    assert class_rank(outputs, torch.arange(6)).tolist() == ranks
    assert outputs[0].argmax() == ranks.index(0)  # the order is that of argmax


def stable_ranks(output: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Where each label stands once numpy has sorted the negated outputs stably."""
    order = np.argsort(-output, axis=1, kind="stable")
    return (order == labels[:, None]).argmax(1)


@pytest.mark.parametrize("levels", [3, 20, 0])
def test_ranks_against_a_stable_sort(levels: int) -> None:
    """Outputs of few levels have ties everywhere; 0 stands for continuous ones."""
    random = np.random.default_rng(levels)
    output = random.integers(0, levels, (300, 120)).astype(float) if levels else random.standard_normal((300, 120))
    labels = random.integers(0, 120, 300)
    found = class_rank(torch.from_numpy(output), torch.from_numpy(labels))
    assert found.tolist() == stable_ranks(output, labels).tolist()
    assert torch.equal(found == 0, torch.from_numpy(output).argmax(1) == torch.from_numpy(labels))


def test_a_class_at_every_place() -> None:
    """(B, C, H, W) is as many samples as there are places, with the classes along axis 1."""
    generator = torch.Generator().manual_seed(0)
    output = torch.randint(0, 7, (4, 110, 3, 2), generator=generator).double()
    labels = torch.randint(0, 110, (4, 3, 2), generator=generator)
    found = class_rank(output, labels)
    apart = class_rank(output.movedim(1, -1).reshape(-1, 110), labels.reshape(-1))
    assert found.shape == (4, 3, 2) and torch.equal(found.reshape(-1), apart)
    top = TopFive(110, CPU)
    top.add(output, labels)
    assert top.accuracy() == {"top5_accuracy": 100 * float((apart < 5).double().mean())}


def test_the_share_is_counted_over_batches_of_any_size() -> None:
    """Class k has the rank k here, so exactly five of the hundred are found, whatever the batches."""
    output, labels = -torch.arange(100.0).expand(100, 100), torch.arange(100)
    for size in (1, 7, 100):
        top = TopFive(100, CPU)
        for some, classes in zip(output.split(size), labels.split(size), strict=True):
            top.add(some, classes)
        assert top.accuracy() == {"top5_accuracy": 5.0}


@pytest.mark.parametrize("classes", [1, 4, 5, 10, 99])
def test_fewer_than_a_hundred_classes_cost_nothing(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed, so not even the outputs are looked at."""

    def unwanted(*_: object) -> Tensor:
        raise AssertionError("ranked")

    monkeypatch.setattr("energy.readout.top_five.class_rank", unwanted)
    top = TopFive(classes, CPU)
    top.add(torch.zeros(2, classes), torch.zeros(2, dtype=torch.int64))
    assert top.accuracy() == {}


def test_nothing_is_read_from_the_device_before_the_end() -> None:
    """On the meta device, which holds no numbers, a batch is counted and only its answer cannot be read."""
    top = TopFive(100, torch.device("meta"))
    top.add(torch.zeros(3, 100, device="meta"), torch.zeros(3, dtype=torch.int64, device="meta"))
    with pytest.raises(RuntimeError):
        top.accuracy()


def test_a_decoder_has_both_accuracies() -> None:
    """Scores are the features themselves, in which class k is outranked by k others."""
    held = Features(-torch.arange(100.0).expand(100, 100), torch.arange(100))
    assert accuracies(lambda values: values, held, 7) == {"accuracy": 1.0, "top5_accuracy": 5.0}
    few = Features(-torch.arange(10.0).expand(10, 10), torch.arange(10))
    assert accuracies(lambda values: values, few) == {"accuracy": 10.0}


@pytest.fixture
def hundred() -> Iterator[None]:
    """A made-up data set of a hundred classes: a bright stripe of the class over noise."""
    register_builtins()

    class Stripes(DataSet, name="stripes_of_a_hundred"):
        image = (1, 10, 10)
        classes = CLASSES
        levels = 255

        def read(self) -> Raw:
            return Raw(_stripes(900, 1), _stripes(300, 2))

    yield
    del Component.registry["data", "stripes_of_a_hundred"]
    assert Stripes.classes == CLASSES


def _stripes(count: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count,), generator=generator)
    pixels = torch.randint(0, 60, (count, CLASSES), generator=generator)
    pixels[torch.arange(count), labels] += 190
    return Examples(pixels.view(count, 1, 10, 10).byte(), labels)


Maker = Callable[..., Run]
HUNDRED: dict[str, Any] = {
    "data": {"name": "stripes_of_a_hundred", "validation": 0.2},
    "model": {"name": "mlp", "sizes": [40]},
    "optimizer": {"name": "sgd", "lr": 1.0},
}


def _by_hand(run: Run, split: str) -> tuple[float, float]:
    """Top-1 and top-5 accuracy in percent of the final weights, by a stable sort of the outputs of a forward pass."""
    _, network, _ = load_run(run.folder)
    x, labels = getattr(run.data.load("cpu", run.seed), split).take(slice(None))
    with torch.no_grad():
        ranks = stable_ranks(network(x).numpy(), labels.numpy())
    return 100 * float(np.mean(ranks == 0)), 100 * float(np.mean(ranks < 5))


def _lines(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / RECORD).read_text().splitlines()]


@pytest.mark.usefixtures("hundred")
def test_a_run_with_a_hundred_classes(make_run: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(**HUNDRED, train={"epochs": 3, "evaluate_batch": 37, "progress": True})
    result = fit(run)
    assert (result["test_accuracy"], result["test_top5_accuracy"]) == pytest.approx(_by_hand(run, "test"))
    last = _lines(run)[-1]
    found = (last["validation_accuracy"], last["validation_top5_accuracy"])
    assert found == pytest.approx(_by_hand(run, "validation"))
    assert result["test_top5_accuracy"] > result["test_accuracy"] > 1  # five guesses of a hundred are worth more
    assert json.loads((run.folder / RESULT).read_text())["test_top5_accuracy"] == result["test_top5_accuracy"]
    assert f"test accuracy {result['test_accuracy']:.2f} %, top-5 {result['test_top5_accuracy']:.2f} %" in (
        capsys.readouterr().err
    )
    again = evaluate(run.folder)
    assert (again["accuracy"], again["top5_accuracy"]) == (result["test_accuracy"], result["test_top5_accuracy"])


def test_a_run_with_ten_classes_has_none(make_run: Maker) -> None:
    run = make_run(train={"epochs": 1})
    result = fit(run)
    assert "top-5" not in progress.tested(result)
    assert not [name for name in (*result, *_lines(run)[0], *evaluate(run.folder)) if "top5" in name]


@pytest.mark.usefixtures("hundred")
def test_a_run_that_continues_has_the_numbers_of_an_unbroken_one(make_run: Maker) -> None:
    """It is broken off after every step, and so before every validation and test too."""
    whole = make_run("whole", **HUNDRED, train={"epochs": 2, "probe_every": 0, "batch_size": 720})
    expected = fit(whole)
    broken = make_run("broken", **HUNDRED, train={"epochs": 2, "probe_every": 0, "batch_size": 720, "time_limit": 1e-6})
    result: dict[str, Any] | None = None
    left = 0
    while result is None:
        try:
            result = fit(broken)
        except SystemExit:
            left += 1
    assert left >= 2
    assert result["test_top5_accuracy"] == expected["test_top5_accuracy"]
    for one, other in zip(_lines(broken), _lines(whole), strict=True):
        assert one["validation_top5_accuracy"] == other["validation_top5_accuracy"]


@pytest.mark.usefixtures("hundred")
@pytest.mark.parametrize(
    "readout",
    [
        {"name": "linear", "epochs": 2, "every": 1},
        {"name": "linear", "epochs": 3, "patience": 1},
        {"name": "ridge"},
    ],
    ids=["linear", "patient", "ridge"],
)
def test_a_read_out_has_them_too(make_run: Maker, readout: dict[str, Any]) -> None:
    """The final weights are those of the read-out, so a hand count on the validation split is its validation."""
    local = {"rule": {"name": "softhebb"}, "settler": {"name": "feedforward"}}
    run = make_run(**HUNDRED, **local, readout=readout, train={"epochs": 1, "probe_every": 0}, precision="float64")
    result = fit(run)
    found = (result["readout_validation_accuracy"], result["readout_validation_top5_accuracy"])
    assert found == pytest.approx(_by_hand_in_double(run))
    assert result["test_top5_accuracy"] >= result["test_accuracy"]
    assert ("validation_top5_accuracy" in _lines(run)[0]) == bool(readout.get("every"))


def _by_hand_in_double(run: Run) -> tuple[float, float]:
    _, network, _ = load_run(run.folder)
    x, labels = run.data.load("cpu", run.seed, torch.float64).validation.take(slice(None))
    with torch.no_grad():
        ranks = stable_ranks(network(x).numpy(), labels.numpy())
    return 100 * float(np.mean(ranks == 0)), 100 * float(np.mean(ranks < 5))


@pytest.mark.usefixtures("hundred")
def test_nearest_neighbors_have_them_too(make_run: Maker) -> None:
    """One neighbor votes for one class; the classes without a vote are equal and follow by their numbers."""
    run = make_run(**HUNDRED, train={"epochs": 1, "probe_every": 0})
    fit(run)
    from energy.readout.readout import Readout

    found = evaluate(run.folder, readout=from_dict(Readout, {"name": "nearest", "neighbors": 1}))
    assert found["accuracy"] < found["top5_accuracy"] <= 100


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({}, "run: read-out, epoch 3, accuracy 12.00 %, validation 9.00 %, 0.5 s"),
        ({"validation_top5_accuracy": 31.0}, "accuracy 12.00 %, validation 9.00 %, top-5 31.00 %, 0.5 s"),
    ],
)
def test_the_line_of_a_read_out(line: dict[str, Any], said: str) -> None:
    both = {"epoch": 2, "train_accuracy": 12.0, "validation_accuracy": 9.0, "seconds": 0.5, **line}
    assert progress.readout_line("run", both).endswith(said)


def _columns(path: Path, names: Sequence[str]) -> list[str]:
    head, first = path.read_text().splitlines()[:2]
    return [dict(zip(head.split(","), first.split(","), strict=False))[name] for name in names]


def test_results_and_listing(tmp_path: Path) -> None:
    """A column of `results.csv` that is empty below a hundred classes; a file from before it had one is read."""
    from energy.study.results import COLUMNS, LATER, read_results, result_row, write_results

    rows = [result_row(_result(number, top)) for number, top in enumerate((81.25, None))]
    write_results(tmp_path / "results.csv", rows)
    assert [line["test_top5_percent"] for line in read_results(tmp_path / "results.csv")] == ["81.2500", ""]
    assert _columns(tmp_path / "results.csv", ["test_top5_percent"]) == ["81.2500"]
    former = [name for name in COLUMNS if name not in LATER]
    text = "\n".join([",".join(former), ",".join("7" for _ in former)]) + "\n"
    (tmp_path / "old.csv").write_text(text)
    (old,) = read_results(tmp_path / "old.csv")
    assert old == {**dict.fromkeys(former, "7"), **dict.fromkeys(LATER, "")}
    write_results(tmp_path / "old.csv", [old, rows[0]])
    assert sorted(line["test_top5_percent"] for line in read_results(tmp_path / "old.csv")) == ["", "81.2500"]
    assert (tmp_path / "old.csv").read_text().splitlines()[0] == ",".join(COLUMNS)


def _result(seed: int, top: float | None) -> dict[str, Any]:
    known = {} if top is None else {"test_top5_accuracy": top}
    return {
        "title": "cell",
        "configuration_key": "0123456789",
        "seed": seed,
        "test_accuracy": 60.0,
        "validation_accuracy": 61.0,
        "test_objective": 0.5,
        "epochs": 1,
        "threads": 1,
        "torch": "2",
        "commit": "a",
        "sweeps": {"mean": 1.0, "p95": 1, "max": 1},
        "multiply_adds": 1,
        "seconds": {"total": 1.0},
        "device_name": "A processor",
        "outcomes": {},
        **known,
    }


@pytest.mark.usefixtures("hundred")
def test_the_listing_shows_it_where_there_is_one(make_run: Maker) -> None:
    from energy.study.listing import listing

    run = make_run("runs/hundred", **HUNDRED, train={"epochs": 1, "probe_every": 0})
    plain = make_run("runs/ten", train={"epochs": 1, "probe_every": 0})
    fit(plain)
    assert "top-5" not in listing(run.folder.parent, width=300)
    top = fit(run)["test_top5_accuracy"]
    text = listing(run.folder.parent, sort="top5", width=300)
    head = " ".join(" ".join(text.splitlines()[:2]).split())
    assert "top-5," in head and f"{top:.2f}" in text
