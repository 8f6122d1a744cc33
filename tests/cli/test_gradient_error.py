"""`energy gradient-error`: a table on the terminal, numbers beside a run, and complaints in one line."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

Energy = Callable[[Sequence[str]], Any]
SMALL = ["model.sizes=[8]", "train.program=off", "device=cpu"]
FAR = ["settler=equilibrium_propagation", "settler.beta=1.5", "settler.nudged.tolerance=1e-6", *SMALL]
TRAINED = [*FAR, "train.epochs=1", "train.batch_size=200", "train.probe_every=0", "train.progress=false"]


def test_an_untrained_network_has_a_table_and_leaves_no_file(
    energy: Energy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = energy(["gradient-error", *FAR, "settler.nudged.max_steps=60", "batch=8", "split=test"])
    assert answer.status == 0, answer.err
    assert "The gradient differs from the exact one by" in answer.out
    assert "a finite nudge (nudge)" in answer.out and "Advice: beta is too large" in answer.out
    assert not list(tmp_path.iterdir())


def test_a_finished_run_gets_its_numbers_beside_it(energy: Energy, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    assert energy(["train", *TRAINED, f"out={folder}"]).status == 0
    before = sorted(path.name for path in folder.iterdir())
    answer = energy(["gradient-error", str(folder), "batch=16"])
    assert answer.status == 0, answer.err
    assert answer.out.rstrip().endswith(str(folder / "gradient_error.json"))
    plain = json.loads((folder / "gradient_error.json").read_text(encoding="utf-8"))
    assert sorted(path.name for path in folder.iterdir()) == sorted([*before, "gradient_error.json"])
    assert plain["samples"] == 16 and plain["split"] == "validation" and plain["step"] > 0
    assert sum(part["share"] for part in plain["parts"].values()) == pytest.approx(1)
    assert f"({plain['cause']})" in answer.out and plain["advice"] in answer.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "gradient-error: needs a run folder, or the name=value words of an untrained network; usage: "),
        (["nowhere"], "gradient-error nowhere: there is no such folder"),
        (["."], "has no final weights"),
        ([".", "btch=3"], "gradient-error btch: unknown; did you mean 'batch'?"),
        ([*SMALL, "batch=many"], "gradient-error batch=many: must be a whole number"),
        ([*SMALL, "batch=0"], "batch=0: must be at least 1"),
        ([*SMALL, "split=all"], "split='all': must be one of train, validation, test"),
        ([*SMALL, "settler.betta=1"], "settler.betta: unknown field; did you mean 'beta'?"),
        ([*SMALL, "seed=0,1"], "seed=0,1: has several values"),
        (["model.sizes=[8]", "rule=softhebb"], "rule=softhebb: descends no objective"),
        (["--multirun", *SMALL], "--multirun: energy gradient-error does not take it"),
    ],
)
def test_a_mistake_is_one_line(
    energy: Energy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = energy(["gradient-error", *words])
    assert answer.status in (1, 2) and answer.out == ""
    assert message in answer.err and "Traceback" not in answer.err
    assert not list(tmp_path.iterdir())
