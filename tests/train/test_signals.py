"""Ordeals in a process of its own: SIGTERM, SIGINT, SIGKILL, time limit; what is left continues to the same end."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from energy.component import describe
from energy.train import checkpoint
from energy.train.fit import fit
from energy.train.record import CHECKPOINTS
from energy.train.run import Run

Maker = Callable[..., Run]

SLOWLY = """
import json, sys, time, torch
from energy.component import build
from energy.train import fit as page
from energy.train.known import know
from energy.train.run import Run
torch.set_num_threads(1)
know()
real = page.train_step
def slow(*given):
    real(*given)
    time.sleep(0.05)
page.train_step = slow
print("begun", flush=True)
page.fit(build(Run, json.loads(sys.argv[1]), path=""))
"""


@pytest.fixture
def start() -> Callable[[Run], subprocess.Popen[str]]:
    """Train in another process, every step 50 ms longer; returns when training is about to begin."""

    def begin(run: Run) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", SLOWLY, json.dumps(describe(run))]
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
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
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
