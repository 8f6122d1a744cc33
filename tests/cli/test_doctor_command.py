"""`energy doctor` before and after a training: prints, writes where it is asked to, and leaves the rest alone."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

Energy = Callable[[Sequence[str]], Any]
TINY = [
    "settler=equilibrium_propagation",
    "model.sizes=[8]",
    "train.epochs=1",
    "train.batch_size=200",
    "train.probe_every=0",
    "train.progress=false",
]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_folder_it_prints_and_writes_nothing(energy: Energy, here: Path) -> None:
    answer = energy(["doctor", *TINY])
    assert answer.status == 0, answer.err
    for word in ("run: mlp on digits", "16 samples in float32: equilibrium_propagation", "Flags: none.", "Price:"):
        assert word in answer.out
    assert not list(here.iterdir())


def test_it_writes_where_it_is_asked_to_and_the_training_goes_there_too(energy: Energy, here: Path) -> None:
    pytest.importorskip("matplotlib")
    before = energy(["doctor", *TINY, "out=here"])
    assert before.status == 0 and sorted(path.name for path in (here / "here").iterdir()) == [
        "doctor.json",
        "doctor.png",
    ]
    record = json.loads((here / "here" / "doctor.json").read_text(encoding="utf-8"))
    assert record["settler"] == "equilibrium_propagation" and record["data"] == "digits" and record["device"] == "cpu"
    assert [layer["layer"] for layer in record["layers"]] == ["dense1", "output"]
    assert energy(["train", *TINY, "out=here"]).status == 0
    result = (here / "here" / "result.json").read_bytes()
    after = energy(["doctor", "here", "samples=4"])
    assert after.status == 0 and "4 samples" in after.out and "Record: " in after.out and "Figure: " in after.out
    again = json.loads((here / "here" / "doctor.json").read_text(encoding="utf-8"))
    assert again["samples"] == 4 and again["layers"] != record["layers"]
    assert (here / "here" / "result.json").read_bytes() == result
    energy(["doctor", "here", "out=elsewhere"])
    assert json.loads((here / "elsewhere" / "doctor.json").read_text(encoding="utf-8"))["samples"] == 16


def test_a_fault_is_told_with_its_cure(energy: Energy) -> None:
    answer = energy(["doctor", *TINY, "model.hidden=relu", "model.gain=2", "settler.keep_contracting=0"])
    assert answer.status == 0 and "Flag unbounded at layer" in answer.out and "Try bounded units" in answer.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: must have the form name=value"),
        (["model.sizs=[8]"], "model.sizs: unknown field; did you mean 'sizes'?"),
        (["-m", "seed=0,1"], "-m: energy doctor does not take it; it takes --help, --plugin, --config-dir"),
        ([".", "sample=3"], "doctor sample: unknown; did you mean 'samples'?"),
        ([".", "samples=0"], "doctor samples=0: must be a whole number of at least 1"),
        (["a", "b", "out=c"], "doctor out=c: must be left out for 2 folders"),
        (["a", "--config-dir=b"], "--config-dir: energy doctor takes it for overrides only"),
        (["settler=spiking", "model=spiking"], "settler=spiking: its activity is no equilibrium of rates"),
    ],
)
def test_a_mistake_is_one_line(energy: Energy, here: Path, words: list[str], message: str) -> None:
    (here / "a").mkdir()
    (here / "b").mkdir()
    answer = energy(["doctor", *words])
    assert answer.status == 2 and f"energy: {message}" in answer.err, answer.err
    assert sorted(path.name for path in here.iterdir()) == ["a", "b"]


def test_an_unfinished_run_has_no_weights(energy: Energy, here: Path) -> None:
    (here / "a").mkdir()
    answer = energy(["doctor", "a"])
    assert answer.status == 1 and "a: has no final weights; the run is not finished" in answer.err


def test_its_page(energy: Energy) -> None:
    answer = energy(["doctor", "--help"])
    assert answer.status == 0 and answer.out.startswith("usage: energy doctor [name=value ...] | RUN_FOLDER ...")
    assert "how fast it settles" in answer.out
