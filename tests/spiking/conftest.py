"""Runs of a fraction of a second, as the tests of training have them, with spiking units."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from energy.component import from_dict
from energy.train.registration import register_builtins
from energy.train.run import Run


@pytest.fixture(autouse=True)
def alone(one_thread: None) -> None:
    """Every test of this folder has one thread."""


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    """``make_run("name", group={...})``: digits on a small network, overrides in place of what is here."""
    register_builtins()

    def make(name: str = "run", **overrides: Any) -> Run:
        plain: dict[str, Any] = {
            "model": {"name": "spiking", "dense": [30, 20]},
            "data": {"name": "digits", "limit": 150, "mean": [0.0], "std": [1.0]},
            "settler": {"name": "spiking"},
            "optimizer": {"name": "adam", "lr": 0.005},
            "schedule": {"name": "constant"},
            "train": {"epochs": 2, "batch_size": 20, "weights": "last", "progress": False, "probe_batch": 8},
            "title": "tiny",
            "out": str(tmp_path / name),
        }
        return from_dict(Run, {**plain, **overrides}, path="")

    return make
