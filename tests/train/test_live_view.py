"""The live line of a training: what it says, where it is shown, and what it costs."""

import io
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr

import pytest
import torch

pytest.importorskip("tqdm")

from energy.component import to_dict
from energy.io.record import read_lines
from energy.train.fit import fit, train_step
from energy.train.live_view import LateNumber, LiveView
from energy.train.run import Run
from energy.train.session import Session
from energy.train.terminal import LEAST, _fitting, bar, say
from tests.train.screens import shown

Maker = Callable[..., Run]
pytestmark = pytest.mark.usefixtures("usual_signals")

INTERRUPTED = """
import json, os, signal, sys, time, torch
from energy.component import from_dict
from energy.train import fit as page
from energy.train.registration import register_builtins
from energy.train.run import Run
torch.set_num_threads(1)
register_builtins()
real, calls = page.train_step, iter(range(10**6))
def step(*given):
    real(*given)
    time.sleep(0.01)
    if next(calls) == 60:
        os.kill(os.getpid(), signal.SIGINT)
page.train_step = step
page.fit(from_dict(Run, json.loads(sys.argv[1]), path=""))
"""


class Terminal(io.StringIO):
    """A terminal that keeps what is written."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("RANK", raising=False)
    return Terminal()


def test_it_says_where_the_run_is_and_how_it_goes(make_run: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(
        settler={
            "name": "equilibrium_propagation",
            "relax": {"max_steps": 8, "tolerance": 0.0},
            "nudged": {"max_steps": 3, "tolerance": 0.0},
        },
        objective={"name": "squared_error"},
    )
    session = Session(run, run.folder)
    view = LiveView(session)
    session.at("in a step")
    assert view.details() == {"place": f"epoch 1/2, batch 0/{session.steps_per_epoch}"}
    objectives: list[torch.Tensor] = []
    add = session.metrics.add
    monkeypatch.setattr(
        session.metrics, "add", lambda objective, *rest: (objectives.append(objective), add(objective, *rest))
    )
    for x, labels in session.splits.train.batches(20, seed=0, epoch=0, train=True, start_step=0):
        train_step(session, x, labels)
    view.probed({"cosine_worst": 0.98765})
    view.probed({"cosine_worst": None})
    found = view.details()
    assert found["place"] == f"epoch 1/2, batch {session.steps_per_epoch}/{session.steps_per_epoch}"
    assert found["objective"] == f"objective {torch.cat(objectives).double().mean().item():.4f}"
    assert found["sweeps"] == "sweeps 8.0 + 3.0", "every solve takes all that it may"
    assert found["cosine"] == "cosine 0.9877", "that of the last probe"
    session.at("in validation")
    assert view.details()["place"] == "epoch 1/2, in validation"


def test_a_whole_training_on_a_terminal(make_run: Maker, terminal: Terminal) -> None:
    run = make_run(train={"epochs": 3, "batch_size": 5, "progress": True})
    with redirect_stderr(terminal):
        fit(run)
    text = terminal.getvalue()
    first = read_lines(run.folder / "record.jsonl")[0]
    drawn = [part for part in re.split(r"[\r\n]", text) if "batch" in part or ", in " in part]
    assert any("epoch 1/3, batch" in part for part in drawn)
    assert any("epoch 1/3, in validation" in part for part in drawn) and any("in the test" in part for part in drawn)
    second = [part for part in drawn if "epoch 2/3, batch" in part]
    assert second and all(f"cosine {first['cosine_worst']:.4f}" in part for part in second)
    assert all(re.search(r"\d:\d\d left", part) for part in second)
    assert "\x1b" not in text, "no color and no sequence, whatever NO_COLOR says"
    *_, cleared, end = text.split("\r")
    assert text.count("result.json\n") == 1 and not cleared.strip() and not end, "the line is gone"


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("TERM", "unknown"), ("RANK", "1")])
def test_none_on_a_dumb_terminal_and_on_other_ranks(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with redirect_stderr(terminal), bar(True, "t", 10, 0) as drawn:
        drawn.update(1)
        say(True, "a line", any_rank=True)
    assert terminal.getvalue() == "a line\n"


def test_none_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with bar(True, "t", 10, 0) as drawn:
        drawn.update(1)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_numbers_are_read_when_the_line_is_drawn_and_not_in_every_step(terminal: Terminal) -> None:
    asked: list[float] = []
    start = time.monotonic()

    def told() -> Mapping[str, str]:
        asked.append(time.monotonic())
        return {}

    with redirect_stderr(terminal), bar(True, "t", 100_000, 0, told) as drawn:
        for _ in range(100_000):
            drawn.update(1)
    assert 1 <= len(asked) <= 2 + (time.monotonic() - start) / 0.2


@pytest.mark.parametrize("columns", range(10, 140, 5))
def test_what_has_no_room_is_left_out_in_the_stated_order(columns: int) -> None:
    order = ["sweeps", "cosine", "title", "objective", "left", "place"]
    details = {name: f"<{name} 0.1234>" for name in ("place", "objective", "cosine", "sweeps", "left")}
    before, after = _fitting("<title>", details, columns)
    gone = [name for name in order if f"<{name}" not in before + after]
    assert gone == order[: len(gone)]
    if len(gone) < len(order):
        assert len(before + after) + LEAST <= columns
    if gone:
        again = len(f"<{gone[-1]} 0.1234>" if gone[-1] != "title" else "<title>")
        assert len(before + after) + LEAST + again > columns - 2, "nothing goes that would have fitted"


def test_an_interrupted_run_leaves_the_terminal_in_order(make_run: Maker) -> None:
    run = make_run(train={"epochs": 30, "progress": True, "batch_size": 5})
    words = [sys.executable, "-c", INTERRUPTED, json.dumps(to_dict(run))]
    screen, status, written = shown(words, 100, {"TERM": "xterm"})
    assert status == 128 + signal.SIGINT and not screen.torn and not screen.wrapped
    assert ", batch " in written, "the line was there"
    text = "\n".join(screen.text)
    assert ", batch " not in text and "left after step 61" in " ".join(text.split())
    assert screen.place == 0, "the prompt begins a line"
    assert not re.search(r"\x1b\[\?", written), "no mode of the terminal was changed"


def test_a_number_on_the_host_is_the_present_one() -> None:
    total = torch.tensor(6.0, dtype=torch.float64)
    assert LateNumber().read(total, 4) == 1.5


def test_a_number_of_a_device_that_cannot_be_read_in_passing_is_left_out() -> None:
    assert LateNumber().read(torch.zeros((), device="meta"), 1) is None


@pytest.mark.gpu
def test_no_device_is_waited_for() -> None:
    number, total = LateNumber(), torch.full((), 3.0, dtype=torch.float64, device="cuda")
    assert number.read(total, 1) is None
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert number.read(total.add_(5), 2) == 3.0, "the number of the first call, over what it was divided by then"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    assert number.read(total, 4) == 4.0
