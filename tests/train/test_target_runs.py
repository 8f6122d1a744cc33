"""Whole trainings on real targets and on labels that are on or off: records, scores, continuation, refusals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import mean_squared_error, r2_score

from energy.cautions import Caution
from energy.component import ConfigurationError
from energy.data import Diabetes, DigitProperties, Digits
from energy.errors import DataError
from energy.io import checkpoint
from energy.io.record import CHECKPOINTS, RECORD, read_lines
from energy.io.result import read_result
from energy.study.bench import Price
from energy.study.listing import listing
from energy.study.report import accuracy_differences, markdown_report, settler_row
from energy.targets import TargetKind
from energy.train import fit as page
from energy.train import progress
from energy.train.evaluate import evaluate, load_run
from energy.train.fit import fit
from energy.train.interrupt import Stopped
from energy.train.run import Run
from energy.train.scores import main_score_of
from tests.train.impatient import Impatient

Maker = Callable[..., Run]
REAL: dict[str, Any] = {
    "data": {"name": "diabetes"},
    "objective": {"name": "squared_error"},
    "optimizer": {"name": "adam", "lr": 0.02},
    "train": {"weights": "best", "epochs": 8},
}
ON: dict[str, Any] = {
    "data": {"name": "digit_properties", "limit": 200},
    "objective": {"name": "binary_cross_entropy"},
    "optimizer": {"name": "adam", "lr": 0.02},
    "train": {"weights": "best", "epochs": 8},
}
KINDS = {"real": REAL, "on": ON}


def test_the_embedded_sets() -> None:
    """The targets of `diabetes` are scaled to mean 0 and deviation 1; the digit 8 is even, above five, with a loop."""
    splits = Diabetes(validation=0.0).load("cpu", 0, torch.float64)
    y = torch.cat([splits.train.labels, splits.test.labels])
    x = torch.cat([part.take(slice(None))[0] for part in (splits.train, splits.test)])
    assert (len(y), y.shape[1]) == (442, 1)
    assert abs(float(y.mean())) < 1e-2 > abs(float(y.std()) - 1)
    assert float(x.mean((0, 2, 3)).abs().max()) < 1e-2 > float((x.std((0, 2, 3)) - 1).abs().max())
    digits, properties = (cls().load("cpu", 0).test for cls in (Digits, DigitProperties))
    assert properties.targets is TargetKind.LABELS
    assert torch.equal(digits.pixels, properties.pixels)
    rows = {int(digit): row.tolist() for digit, row in zip(digits.labels, properties.labels, strict=True)}
    assert (rows[8], rows[7], rows[2]) == ([1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 0])


@pytest.fixture(params=KINDS)
def finished(request: pytest.FixtureRequest, make_run: Maker) -> tuple[str, Run, dict[str, Any]]:
    run = make_run(**KINDS[request.param])
    return request.param, run, fit(run)


def test_scores_are_those_of_a_count_by_hand(finished: tuple[str, Run, dict[str, Any]]) -> None:
    kind, run, result = finished
    _, network, _ = load_run(run.folder)
    x, y = run.data.load("cpu", run.seed).test.take(slice(None))
    output = network(x).detach()
    if kind == "real":
        assert result["test_r2"] == pytest.approx(r2_score(y.numpy(), output.numpy()), abs=1e-5)
        error = mean_squared_error(y.numpy(), output.numpy())
        assert result["test_mean_squared_error"] == pytest.approx(error, rel=1e-5)
        assert result["test_objective"] == pytest.approx(error / 2, rel=1e-5)  # ½(s − y)², one output
        assert 0.3 < result["test_r2"] < 0.7  # linear regression reaches about ½
    else:
        right = (output > 0) == y.bool()
        assert result["test_label_accuracy"] == pytest.approx(100 * float(right.float().mean()))
        assert result["test_exact_match"] == pytest.approx(100 * float(right.all(1).float().mean()))
        cost = torch.nn.functional.binary_cross_entropy_with_logits(output, y.float(), reduction="none").sum(1).mean()
        assert result["test_objective"] == pytest.approx(float(cost), rel=1e-5)
        assert result["test_label_accuracy"] > 70  # all off: 55
    assert "test_accuracy" not in result


def test_records_results_and_tables_have_the_score(finished: tuple[str, Run, dict[str, Any]]) -> None:
    kind, run, result = finished
    score = main_score_of(run.data.targets)
    lines = read_lines(run.folder / RECORD)
    for line in lines:
        assert line["train_accuracy"] is line["validation_accuracy"] is None
        assert {line[f"{split}_{score.name}"] is not None for split in ("train", "validation")} == {True}
    assert result[score.validation] == max(line[score.validation] for line in lines)
    assert read_result(run.folder) == result
    again = evaluate(run.folder)
    assert (again[score.name], again["accuracy"]) == (result[score.test], None)
    cells = progress.epoch_cells(lines[-1], 8, {"epoch": 7, "accuracy": lines[-1][score.validation]}, 0.0)
    assert {f"{split} {score.sign}" for split in ("train", "validation", "best")} <= cells.keys()
    assert f"test {score.title} {score.told(result[score.test])}" in progress.tested(result)
    table = listing(run.folder.parent, width=200)
    assert f"{result[score.test]:.2f}" in table
    found = {"results": [result], "settler": {"name": "x"}, "failures": [], "initial": [], "trained": []}
    row = settler_row("x", found, Price(), score)
    assert row["test_accuracy"] is None
    assert row[score.test]["values"] == [result[score.test]]
    report = {"title": "constructed", "rows": [row], "paired": accuracy_differences([row]), "seeds": [0], "memory": "m"}
    text = markdown_report(
        {**report, **{name: result[name] for name in ("device", "device_name", "threads", "torch", "commit")}}
    )
    assert f"test {score.heading}" in text
    assert f"{result[score.test]:.{score.digits}f}" in text
    assert kind in KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_run_ends_as_an_unbroken_one(kind: str, make_run: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {**KINDS[kind], "train": {"weights": "best", "epochs": 2, "probe_every": 0}}
    whole, broken = make_run("whole", **parts), make_run("broken", **parts)
    wanted = fit(whole)
    monkeypatch.setattr(Impatient, "patience", 4)
    monkeypatch.setattr(page, "Interrupt", Impatient)
    found: dict[str, Any] = {}
    for _ in range(100):
        try:
            found = fit(broken)
        except Stopped:
            continue
        break
    assert len(found["continued"]) > 2
    names = [name for name in wanted if name.startswith(("test_", "validation_"))]
    assert {name: found[name] for name in names} == {name: wanted[name] for name in names}
    one, other = (load_run(run.folder)[1].state_dict() for run in (whole, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"data": {"name": "diabetes"}},
        r"objective=cross_entropy: is not for the targets of data=diabetes.*squared",
    ),
    ({**REAL, "objective": {"name": "binary_cross_entropy"}}, r"binary_cross_entropy: is not for .*diabetes"),
    ({"data": {"name": "digit_properties"}}, r"cross_entropy: is not for .*take binary_cross_entropy or squared_error"),
    ({**REAL, "readout": {"name": "linear"}}, r"readout=linear: needs one class of each sample.*take joint"),
    ({**REAL, "rule": {"name": "softhebb"}}, r"rule=softhebb: needs one class"),
    ({**ON, "train": {"mirrored": True}}, r"train.mirrored=true: needs one class"),
]


@pytest.mark.parametrize(("parts", "message"), REFUSED)
def test_what_does_not_fit_the_targets_is_named(parts: dict[str, Any], message: str, make_run: Maker) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_run(**parts)


def test_squared_error_and_an_output_of_sigmoids_are_for_labels_too(make_run: Maker) -> None:
    run = make_run(**{**ON, "objective": {"name": "squared_error"}, "train": {"epochs": 1}})
    assert 40 < fit(run)["test_label_accuracy"] <= 100


def images(folder: Path, shift: int = 0) -> None:
    for label, name in enumerate(("left", "right")):
        for number in range(30):
            pixels = np.full((6, 6, 3), 20 + number + shift, np.uint8)
            pixels[:, slice(0, 3) if label else slice(3, 6)] += 150
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")


def test_a_run_keeps_its_classes_and_notices_that_its_folder_changed(
    make_run: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENERGY_CACHE", str(tmp_path / "cache"))
    images(tmp_path / "sides")
    data = {"name": "image_folder", "root": str(tmp_path / "sides"), "side": 6}
    run = make_run(data=data, train={"batch_size": 10, "epochs": 2})
    monkeypatch.setattr(Impatient, "patience", 6)
    with monkeypatch.context() as patched:
        patched.setattr(page, "Interrupt", Impatient)
        with pytest.raises(Stopped):
            fit(run)
    facts = checkpoint.read_facts(checkpoint.steps(run.folder / CHECKPOINTS)[-1])
    assert facts["data"]["names"] == ["left", "right"]
    images(tmp_path / "sides", 1)
    with pytest.raises(DataError, match=r"the data have changed since it was written \(digest .{12} then, .{12} now\)"):
        fit(run)
    images(tmp_path / "sides")
    result = fit(run)
    assert result["data"]["names"] == ["left", "right"]
    assert evaluate(run.folder)["accuracy"] == result["test_accuracy"]
    images(tmp_path / "sides", 1)
    with pytest.warns(Caution, match=r"the data have changed"):
        evaluate(run.folder)
    (tmp_path / "sides/left").rename(tmp_path / "sides/west")
    with pytest.raises(DataError, match=r"its classes are \['left', 'right'\]; .* \['right', 'west'\]"):
        evaluate(run.folder)
