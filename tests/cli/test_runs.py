"""The words of `energy runs` and `energy plot`: folders, conditions, options, and the one file of a figure."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

Energy = Callable[[Sequence[str]], Any]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs of two seeds, in folders that are called like conditions."""
    monkeypatch.chdir(tmp_path)
    for lr in (0.1, 0.2):
        for seed in (0, 1):
            folder = tmp_path / "runs" / f"lr={lr}" / f"seed={seed}"
            folder.mkdir(parents=True)
            run = {"optimizer": {"lr": lr}, "seed": seed, "train": {"epochs": 2}, "title": "run"}
            (folder / "configuration.json").write_text(json.dumps({"run": run}))
            lines = [
                {"epoch": epoch, "train_objective": lr * (2 - epoch), "seconds": {"total": 1.0}} for epoch in (0, 1)
            ]
            (folder / "record.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "runs"


def test_words_that_are_no_folders_are_conditions(energy: Energy, runs: Path) -> None:
    found = energy(["runs", "runs", "lr=0.2", "--where", "seed<1", "--json"])
    assert found.status == 0 and [row["folder"] for row in json.loads(found.out)] == ["lr=0.2/seed=0"]
    folder = energy(["runs", str(runs / "lr=0.2"), "--where=seed=0", "--columns", "seed,lr", "--csv"])
    assert folder.out == "folder,seed,optimizer.lr\nseed=0,0,0.2\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs", "runs", "--csv", "--json"], "runs: prints --csv or --json, not both"),
        (["runs", "runs", "--sort", "seed", "--sort", "lr"], "runs --sort: takes one name"),
        (["runs", "rums"], "runs rums: there is no such folder"),
        (["runs", "runs", "l=0.2"], "--where l: there is no such column"),
        (
            ["plot", "runs", "--where", "lr=0.1"],
            "plot --where: chooses the runs of one figure; name its file with --out",
        ),
        (["plot", "runs", "--out", "figure.txt"], "plot --out figure.txt: must end in .png, .pdf, .svg"),
        (["plot", "runs", "--out", "a.png", "--out", "b.png"], "plot --out: takes one file"),
        (["plot", "runs", "lr=7", "--out", "a.png"], "plot runs: no run there meets that"),
        (["train", "--where", "lr=7"], "--where: energy train does not take it"),
    ],
)
def test_mistakes_are_one_line(energy: Energy, runs: Path, words: list[str], said: str) -> None:
    found = energy(words)
    assert found.status == 2 and found.err.startswith(f"energy: {said}") and found.err.count("\n") == 1


def test_the_figure_of_several_runs_is_the_file_that_is_named_and_no_other(energy: Energy, runs: Path) -> None:
    pytest.importorskip("matplotlib")
    before = sorted(runs.rglob("*"))
    found = energy(["plot", "runs/lr=0.1", "runs/lr=0.2/seed=1", "--out", "both.png"])
    assert (found.status, found.out) == (0, "both.png\n")
    assert (runs.parent / "both.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(runs.rglob("*")) == before, "nothing is written into a run folder"
    svg = energy(["plot", "runs", "seed=0", "--out", "seeds.svg"])
    assert svg.status == 0 and "<svg" in (runs.parent / "seeds.svg").read_text()
