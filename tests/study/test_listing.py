"""`energy runs`: what differs, how far each run came, within the width of the terminal; whatever lies in a folder."""

import csv
import fcntl
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from energy.component import ConfigurationError
from energy.study.listing import listing


def _put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def _make(folder: Path, lr: float, settler: str = "backprop", *, done: int = 2, accuracy: float | None = None) -> Path:
    run = {
        "settler": {"name": settler, "gamma": 0.0},
        "optimizer": {"name": "sgd", "lr": lr},
        "train": {"epochs": 2},
        "data": {"name": "digits"},
        "title": folder.name,
        "out": str(folder),
    }
    _put(folder / "configuration.json", {"run": run})
    lines = [
        {
            "epoch": epoch,
            "validation_accuracy": 50.0 + epoch,
            "cosine_worst": 0.9 + 0.01 * epoch,
            "backprop_steps": 1.5,
            "seconds": {"total": 2.0},
        }
        for epoch in range(done)
    ]
    _put(folder / "record.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    if accuracy is not None:
        result = {
            "test_accuracy": accuracy,
            "validation_accuracy": 51.5,
            "backprop_steps": 1.25,
            "seconds": {"total": 4.0},
        }
        _put(folder / "result.json", result)
    return folder


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Runs in every state, at several depths, and folders that are none."""
    _make(tmp_path / "sweep" / "lr=0.1", 0.1, accuracy=90.0)
    _make(tmp_path / "sweep" / "lr=0.2", 0.2, accuracy=95.0)
    _make(tmp_path / "deep" / "er" / "still" / "stopped", 0.1, "dual_propagation", done=1)
    _make(tmp_path / "failed", 0.1, done=0)
    (tmp_path / "failed" / "failed").mkdir()
    (tmp_path / "notes").mkdir()
    return tmp_path


def _rows(top: Path, **asked: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(listing(top, csv=True, **asked))))


def test_states_and_numbers(top: Path) -> None:
    found = {row["folder"]: row for row in _rows(top)}
    assert {name: row["state"] for name, row in found.items()} == {
        "sweep/lr=0.1": "finished",
        "sweep/lr=0.2": "finished",
        "deep/er/still/stopped": "stopped at epoch 1 of 2",
        "failed": "failed at epoch 0 of 2",
    }
    first, stopped = found["sweep/lr=0.1"], found["deep/er/still/stopped"]
    shown = ("accuracy", "validation", "cosine", "price", "seconds")
    assert [float(first[name]) for name in shown] == pytest.approx([90.0, 51.5, 0.91, 1.25, 4.0])
    assert [stopped[name] for name in shown] == ["", "50.0", "0.9", "1.5", "2.0"]
    assert first["optimizer.lr"] == "0.1" and first["settler.name"] == "backprop"


def test_the_table_shows_what_varies_and_nothing_else(top: Path) -> None:
    head = " ".join(" ".join(listing(top, width=160).split("─")[0].split()).split())
    assert "settler" in head and "lr" in head
    for constant in ("epochs", "data", "gamma", "optimizer", "out", "title"):
        assert constant not in head


@pytest.mark.parametrize("width", [40, 80, 120, 160])
def test_no_line_is_wider_than_the_terminal(top: Path, width: int) -> None:
    for index in range(8):
        _make(top / f"a/very/long/path/of/a/run/with/{'many,fields=1,' * 9}{index}", 0.01 * index + 0.3, accuracy=50.0)
        (top / "failed" / "configuration.json").touch()
    lines = listing(top, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum("finished" in line for line in lines) >= 2


@pytest.mark.parametrize(
    ("by", "order"),
    [
        ("accuracy", ["sweep/lr=0.2", "sweep/lr=0.1"]),
        ("optimizer.lr", ["deep/er/still/stopped", "failed", "sweep/lr=0.1", "sweep/lr=0.2"]),
        ("lr", ["deep/er/still/stopped", "failed", "sweep/lr=0.1", "sweep/lr=0.2"]),
        ("settler", ["failed", "sweep/lr=0.1", "sweep/lr=0.2", "deep/er/still/stopped"]),
        ("cosine", ["sweep/lr=0.1", "sweep/lr=0.2", "deep/er/still/stopped", "failed"]),
    ],
)
def test_sorted_by_a_column(top: Path, by: str, order: list[str]) -> None:
    assert [row["folder"] for row in _rows(top, sort=by)][: len(order)] == order


def test_an_unknown_column_is_refused(top: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--sort acuracy: there is no such column; did you mean 'accuracy'\?"):
        listing(top, sort="acuracy")


def test_a_run_that_is_training_is_told_by_its_lock(top: Path) -> None:
    folder = _make(top / "busy", 0.1, done=1)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert {row["folder"]: row["state"] for row in _rows(top)}["busy"] == "running at epoch 1 of 2"
    assert {row["folder"]: row["state"] for row in _rows(top)}["busy"] == "stopped at epoch 1 of 2"


@pytest.mark.parametrize(
    ("name", "text", "state"),
    [
        ("configuration.json", "", "broken configuration"),
        ("configuration.json", "[]", "broken configuration"),
        ("configuration.json", "{}", "broken configuration"),
        ("configuration.json", '{"run": 3}', "broken configuration"),
        ("configuration.json", "[" * 100_000, "broken configuration"),
        ("record.jsonl", '{"epoch": 0}\n', "broken record"),
        ("record.jsonl", "nonsense\n", "broken record"),
        ("result.json", "{}", "broken result"),
        ("result.json", '{"test_accuracy": "x", "backprop_steps": 1}', "broken result"),
    ],
)
def test_broken_folders_are_listed_with_a_word(top: Path, name: str, text: str, state: str) -> None:
    _put(_make(top / "odd", 0.5, accuracy=10.0) / name, text)
    assert {row["folder"]: row["state"] for row in _rows(top)}["odd"] == state
    assert "odd" in listing(top, width=80)


def test_foreign_folders_and_pipes(top: Path) -> None:
    _put(top / "foreign" / "record.jsonl", "")
    (top / "pipe").mkdir()
    os.mkfifo(top / "pipe" / "configuration.json")
    _make(top / "escaped\x1b[31m", 0.3)
    found = {row["folder"]: row["state"] for row in _rows(top)}
    assert found["foreign"] == "foreign, no configuration" and found["pipe"] == "broken configuration"
    assert "\x1b" not in listing(top, width=80)


def test_an_empty_folder_and_none(tmp_path: Path) -> None:
    assert listing(tmp_path) == f"no runs below {tmp_path}"
    with pytest.raises(ConfigurationError, match="there is no such folder"):
        listing(tmp_path / "nowhere")


def test_a_run_folder_itself(top: Path) -> None:
    assert [row["folder"] for row in _rows(top / "sweep" / "lr=0.1")] == ["lr=0.1"]
