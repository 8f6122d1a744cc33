"""Ordeals in a process of its own: SIGTERM, SIGINT, SIGKILL, time limit; what is left continues to the same end."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from energy.component import to_dict
from energy.io import checkpoint
from energy.io.record import CHECKPOINTS
from energy.train import conclusion
from energy.train.fit import fit
from energy.train.interrupt import Stopped
from energy.train.run import Run

Maker = Callable[..., Run]
pytestmark = pytest.mark.usefixtures("usual_signals")

SLOWLY = """
import json, sys, time, torch
from energy.component import from_dict
from energy.train import fit as page
from energy.train.registration import register_builtins
from energy.train.run import Run
torch.set_num_threads(1)
register_builtins()
real = page.train_step
def slow(*given):
    real(*given)
    time.sleep(0.05)
page.train_step = slow
print("begun", flush=True)
page.fit(from_dict(Run, json.loads(sys.argv[1]), path=""))
"""


@pytest.fixture
def start() -> Callable[[Run], subprocess.Popen[str]]:
    """Train in another process, every step 50 ms longer; returns when training is about to begin."""

    def begin(run: Run) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", SLOWLY, json.dumps(to_dict(run))]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        return child

    return begin


def _wait_for(folder: Path, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not checkpoint.steps(folder / CHECKPOINTS):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGUSR1, 138, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGXCPU, 152, marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_and_leaves_with_its_code(
    make_run: Maker,
    start: Callable[[Run], subprocess.Popen[str]],
    final_tensors: Callable[[Run], bytes],
    number: signal.Signals,
    code: int,
) -> None:
    one, run = make_run("unbroken", train={"epochs": 5}), make_run("signalled", train={"epochs": 5})
    fit(one)
    child = start(run)
    _wait_for(run.folder, child)
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    assert child.returncode == code
    assert number.name in said
    assert "Traceback" not in said
    (*_, last) = checkpoint.steps(run.folder / CHECKPOINTS)
    assert str(last) in said
    checkpoint.read(last)
    fit(run)
    assert final_tensors(one) == final_tensors(run)


def test_a_hang_up_under_nohup_changes_nothing(
    make_run: Maker, start: Callable[[Run], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("nohup", train={"epochs": 3})
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as the child inherits it
    try:
        child = start(run)
    finally:
        signal.signal(signal.SIGHUP, before)
    _wait_for(run.folder, child)
    child.send_signal(signal.SIGHUP)
    child.communicate(timeout=60)
    assert child.returncode == 0 and (run.folder / "result.json").exists()


def test_a_signal_while_data_are_read_leaves_at_once_and_is_said(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run("reading")

    def load(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("went on")

    monkeypatch.setattr(type(run.data), "load", load)
    with pytest.raises(Stopped) as stopped:
        fit(run)
    assert stopped.value.code == 143
    assert capsys.readouterr().err == "tiny: SIGTERM: left before the first step, with nothing to save\n"
    assert not run.folder.exists()


def test_a_signal_during_the_test_is_said_and_the_run_is_finished(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, real = make_run("late"), conclusion.run_summary

    def summary(*given: Any) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGUSR1)
        return real(*given)

    monkeypatch.setattr(conclusion, "run_summary", summary)
    with pytest.raises(Stopped) as stopped:
        fit(run)
    assert stopped.value.code == 138 and (run.folder / "result.json").exists()
    assert "SIGUSR1: came when the run was just finished" in capsys.readouterr().err


def test_a_signal_during_a_read_out_saves(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {"rule": {"name": "softhebb"}, "settler": {"name": "feedforward"}, "train": {"epochs": 1}}
    made["readout"] = {"name": "linear", "epochs": 50}
    made["model"] = {"name": "softhebb", "channels": [], "kernels": [], "powers": [], "pools": [], "dense": [12]}
    run, real = make_run("reading out", **made), conclusion.decoder

    def decoder(*given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGHUP)
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(conclusion, "decoder", decoder)
        with pytest.raises(Stopped) as stopped:
            fit(run)
    assert stopped.value.code == 129
    assert "SIGHUP: left after step 7; the same command continues from" in capsys.readouterr().err
    assert fit(run)["readout_epochs"] == 50


def test_the_time_limit_leaves_with_zero(make_run: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("limited", train={"epochs": 50, "time_limit": 0.001})
    with pytest.raises(SystemExit) as left:
        fit(run)
    assert left.value.code == 0
    assert "out of time" in capsys.readouterr().err
    assert checkpoint.steps(run.folder / CHECKPOINTS)
    assert not (run.folder / "result.json").exists()


@pytest.mark.slow
def test_three_kills_and_three_terminations(
    make_run: Maker, start: Callable[[Run], subprocess.Popen[str]], final_tensors: Callable[[Run], bytes]
) -> None:
    """At random moments, once the first checkpoint is there; a SIGKILL may well fall into a write."""
    variant = {"train": {"epochs": 12, "checkpoint_every": 2}}
    one, run = make_run("unbroken", **variant), make_run("tortured", **variant)
    fit(one)
    moment = random.Random(0)
    for number in [signal.SIGKILL, signal.SIGTERM] * 3:
        child = start(run)
        _wait_for(run.folder, child)
        time.sleep(moment.uniform(0.05, 0.6))
        child.send_signal(number)
        child.communicate(timeout=60)
        assert child.returncode == (-9 if number is signal.SIGKILL else 143)
        for path in checkpoint.steps(run.folder / CHECKPOINTS):
            checkpoint.read(path)
    fit(run)
    assert final_tensors(one) == final_tensors(run)
