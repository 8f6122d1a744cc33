"""A run small enough to be trained in a fraction of a second, on the digits that come with scikit-learn."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from energy.component import from_dict
from energy.io.record import FINAL, RECORD
from energy.train.registration import register_builtins
from energy.train.run import Run

Maker = Callable[..., Run]


@pytest.fixture(autouse=True)
def alone(one_thread: None) -> None:
    """Every test of this folder has one thread."""


@pytest.fixture
def make_run(tmp_path: Path) -> Maker:
    """``make_run("name", group={...})``: a run in ``tmp_path/name``, overrides merged into the tiny defaults."""
    register_builtins()

    def make(name: str = "run", **overrides: Any) -> Run:
        plain: dict[str, Any] = {
            "model": {"name": "mlp", "sizes": [12], "hidden": {"name": "hard_sigmoid"}},
            "data": {"name": "digits", "limit": 150, "crop": 1},
            "settler": {"name": "dual_propagation"},
            "optimizer": {"name": "sgd", "lr": 0.1},
            "train": {"epochs": 2, "batch_size": 20, "weights": "last", "progress": False, "probe_batch": 8},
            "title": "tiny",
            "out": str(tmp_path / name),
        }
        for group, value in overrides.items():
            same = isinstance(value, dict) and value.get("name", None) in (None, plain.get(group, {}).get("name"))
            plain[group] = {**plain[group], **value} if same and group in plain else value
        return from_dict(Run, plain, path="")

    return make


@pytest.fixture
def final_tensors() -> Callable[[Run], bytes]:
    """The bytes of the final weights of a run."""

    def read(run: Run) -> bytes:
        (folder,) = (run.folder / FINAL).glob("step-*")
        return (folder / "tensors.safetensors").read_bytes()

    return read


@pytest.fixture
def timeless() -> Callable[[Path], list[dict[str, Any]]]:
    """The record of a run folder without its seconds."""

    def read(folder: Path) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in (folder / RECORD).read_text().splitlines()]
        return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]

    return read
