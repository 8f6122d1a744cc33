"""Whole trainings on two ranks: the record and the weights of one process; broken ones go on with any number."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.io import checkpoint
from energy.io.record import FINAL, READOUT, RECORD, RESULT, read_json, read_lines
from tests.ranks.conftest import Start, ended

WORDS = ("-m", "energy", "train", "data=digits", "model.sizes=[16]", "precision=float64", "train.program=OFF")
FAMILIES = {
    "dual propagation": ("train.epochs=2", "data.crop=1", "train.batch_size=63"),
    "equilibrium propagation": (
        "settler=equilibrium_propagation", "objective=squared_error", "train.epochs=1", "data.limit=300"
    ),
    "softhebb": ("rule=softhebb", "settler=feedforward", "readout=ridge", "train.epochs=1", "data.limit=300"),
}  # fmt: skip
Begin = Callable[..., list[Any]]


@pytest.fixture
def train(start: Start, tmp_path: Path) -> Begin:
    """``train(words, count, out)``: the processes of one training that has begun in `out`."""

    def begin(words: Sequence[str], count: int, out: str, **environment: str) -> list[Any]:
        return start([*WORDS, *words, f"out={out}"], count, tmp_path, **environment)

    return begin


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(checkpoint.steps(folder / FINAL)[-1])[0]


def alike(found: Any, wanted: Any, at: str = "") -> None:
    """Equal: integers and text to the letter, numbers to rounding, seconds not at all.

    Nor the layer of the greatest loop gain: two layers with one edge between them have the same.
    """
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), at
        for name in wanted.keys() - {"seconds", "layer"}:
            alike(found[name], wanted[name], f"{at}.{name}")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-7, abs=1e-9), at
    else:
        assert found == wanted, at


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[] if name == "dual propagation" else pytest.mark.slow) for name in FAMILIES]
)
def test_two_ranks_train_what_one_process_trains(train: Begin, tmp_path: Path, family: str) -> None:
    for out, count in (("one", 1), ("two", 2)):
        answers = ended(train(FAMILIES[family], count, out))
        assert all(code == 0 for code, *_ in answers), answers
        assert [bool(printed) for _, printed, _ in answers] == [True, False][:count]  # rank 0 speaks
        assert [errors for *_, errors in answers[1:]] == [""] * (count - 1)
    one, two = tmp_path / "one", tmp_path / "two"
    for line, other in zip(read_lines(one / RECORD), read_lines(two / RECORD), strict=True):
        alike(other, line)
    readout = [read_lines(folder / READOUT) for folder in (one, two) if (folder / READOUT).exists()]
    assert len(readout) == (2 if family == "softhebb" else 0)
    for line, other in zip(*readout, strict=True):
        alike(other, line)
    first, second = (read_json(folder / RESULT) for folder in (one, two))
    assert (first["ranks"], second["ranks"]) == (1, 2) and first["key"] == second["key"]
    for name in ("test_accuracy", "test_objective", "sweeps", "outcomes", "multiply_adds", "steps"):
        alike(second[name], first[name], name)
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-8, atol=1e-10)


STRUCK = ("--plugin", str(Path(__file__).with_name("struck.py")), "rule=struck_contrast")
LONG = (*STRUCK, "train.epochs=3", "train.checkpoint_every=5", "data.limit=900")  # steps 1 to 27


def struck(rank: int, call: int, number: signal.Signals) -> str:
    """The environment's word for a rank that gets a signal in a step."""
    return f"{rank},{call},{int(number)}"


@pytest.fixture(scope="module")
def unbroken(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    ((code, _, errors),) = ended(start([*WORDS, *LONG, "out=whole"], 1, folder))
    assert code == 0, errors
    return folder / "whole"


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_killed_rank_ends_all_and_is_named(train: Begin, tmp_path: Path, unbroken: Path, rank: int) -> None:
    began = time.monotonic()
    processes = train(LONG, 2, "run", STRUCK=struck(rank, 13, signal.SIGKILL))
    answers = ended(processes, 120)
    assert time.monotonic() - began < 100
    code, _, errors = answers[1 - rank]
    assert code == 1 and f"rank {rank} (process {processes[rank].pid}) of 2 has ended" in errors
    assert answers[rank][0] == -signal.SIGKILL
    ((code, _, errors),) = ended(train(LONG, 1, "run"))  # on another number of ranks
    assert code == 0 and "continuing from step 10" in errors, errors
    torch.testing.assert_close(weights(tmp_path / "run"), weights(unbroken), rtol=1e-8, atol=1e-10)


def test_a_signal_to_one_stops_all_at_one_step(train: Begin, tmp_path: Path, unbroken: Path) -> None:
    answers = ended(train(LONG, 2, "run", STRUCK=struck(1, 13, signal.SIGTERM)), 120)
    assert [code for code, *_ in answers] == [143, 143], answers
    assert "left after step 13" in answers[0][2] and not answers[1][2]
    assert all(code == 0 for code, *_ in ended(train(LONG, 2, "run")))
    torch.testing.assert_close(weights(tmp_path / "run"), weights(unbroken), rtol=1e-8, atol=1e-10)
    assert read_json(tmp_path / "run" / RESULT)["continued"][0]["ranks"] == 2
