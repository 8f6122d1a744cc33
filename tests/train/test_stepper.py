"""Runs that take their steps as one program: the same training up to rounding, chosen by a measurement."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from energy.io import checkpoint
from energy.io.record import FINAL, RESULT
from energy.network import Network
from energy.program.training import TrainingStep
from energy.rules.contrast import Contrast
from energy.settle.settled import Settled
from energy.train import stepper
from energy.train.fit import fit
from energy.train.run import Run

Maker = Callable[..., Run]


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded operations are called one by one, which takes no seconds of compiling."""
    monkeypatch.setattr(stepper, "TrainingStep", functools.partial(TrainingStep, compiled=False))


def weights(run: Run) -> dict[str, Any]:
    tensors, _ = checkpoint.read(checkpoint.steps(run.folder / FINAL)[-1], "cpu")
    return tensors


def result(run: Run) -> dict[str, Any]:
    return json.loads(Path(run.folder, RESULT).read_text())


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
def test_a_run_of_programs_is_the_plain_run_up_to_rounding(make_run: Maker, precision: str, optimizer: str) -> None:
    room = 1e-10 if precision == "float64" else 1e-4
    runs = {}
    for program in ("on", "off"):
        rate = {"name": optimizer, "lr": 0.05 if optimizer == "sgd" else 0.005}
        runs[program] = make_run(program, train={"program": program}, precision=precision, optimizer=rate)
        fit(runs[program])
    whole, plain = weights(runs["on"]), weights(runs["off"])
    assert max(float((whole[name] - plain[name]).abs().max()) for name in plain) < room
    assert result(runs["on"])["program"] == {"used": True, "ratio": None, "why": ""}
    assert result(runs["off"])["program"] == {"used": False, "ratio": None, "why": "train.program=off"}
    for name in ("multiply_adds", "steps", "sweeps", "outcomes", "test_accuracy"):
        assert result(runs["on"])[name] == result(runs["off"])[name], name


def test_a_short_run_makes_no_program(make_run: Maker) -> None:
    run = make_run("short", train={"epochs": 5})
    fit(run)
    assert result(run)["program"]["used"] is False and "too few steps" in result(run)["program"]["why"]


@pytest.mark.parametrize("faster", [0.0, 1e9])
def test_the_faster_form_goes_on(make_run: Maker, monkeypatch: pytest.MonkeyPatch, faster: float) -> None:
    monkeypatch.setattr(stepper, "PAYS", 0.0)
    monkeypatch.setattr(stepper, "FASTER", faster)
    run = make_run("timed", train={"epochs": 8})
    fit(run)
    found = result(run)["program"]
    assert found["used"] is (faster > 1) and found["ratio"] > 0
    assert found["why"] == ("" if faster > 1 else "a plain step takes no longer")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"train": {"program": "on", "deterministic": True}}, "train.deterministic=true"),
        ({"train": {"program": "on"}, "fused": False}, "fused=false"),
    ],
)
def test_no_program_where_numbers_must_repeat(make_run: Maker, changes: dict[str, Any], why: str) -> None:
    run = make_run("repeat", **changes)
    fit(run)
    assert result(run)["program"] == {"used": False, "ratio": None, "why": why}


class Reading(Contrast):
    """A rule that reads a number in every step, which no recording can do."""

    def apply(self, network: Network, settled: Settled) -> None:
        float(settled.output.sum())
        super().apply(network, settled)


def test_steps_that_cannot_be_recorded_stay_plain(make_run: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    run = dataclasses.replace(make_run("reads", train={"program": "on", "epochs": 1}), rule=Reading())
    fit(run)
    assert result(run)["program"]["used"] is False
    assert "steps stay plain" in capsys.readouterr().err
