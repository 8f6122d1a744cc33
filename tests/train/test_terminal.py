"""What a run looks like on terminals of several widths, in a log, and on a stream that went away."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.component import to_dict
from energy.io.record import CHECKPOINTS
from energy.kernels import Kernel
from energy.train import fit as page
from energy.train.fit import fit
from energy.train.progress import DROPPED, EpochTable, duration, epoch_cells, fitting_columns
from energy.train.run import Run
from energy.train.settings import settings
from energy.train.terminal import bar, say, width, wrapped_lines
from tests.train.screens import shown

Maker = Callable[..., Run]

TRAINING = """
import json, sys, time, torch, warnings
from energy.cautions import caution
from energy.component import from_dict
from energy.train import fit as page
from energy.train.registration import register_builtins
from energy.train.run import Run
torch.set_num_threads(1)
register_builtins()
real, calls = page.train_step, iter(range(10**6))
def step(*given):
    real(*given)
    time.sleep(0.005)
    if next(calls) == 10:
        caution("hidden1: something that a person should look at, at length: " + "word " * 30)
        warnings.warn("of a library\\n  on two lines", DeprecationWarning, stacklevel=1)
warnings.simplefilter("default")
page.train_step = step
page.fit(from_dict(Run, json.loads(sys.argv[1]), path=""))
"""
pytestmark = pytest.mark.usefixtures("usual_signals")


def words(run: Run) -> list[str]:
    """The command that trains `run` in a process of its own, with two warnings on the way."""
    return [sys.executable, "-c", TRAINING, json.dumps(to_dict(run))]


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        (40, 5),
        *(pytest.param(columns, missing, marks=pytest.mark.slow) for columns, missing in ((80, 1), (120, 0), (160, 0))),
    ],
)
def test_no_line_is_torn_or_wrapped(make_run: Maker, columns: int, missing: int) -> None:
    pytest.importorskip("tqdm")
    run = make_run(
        settler={"name": "equilibrium_propagation", "relax": {"max_steps": 8}, "nudged": {"max_steps": 4}},
        objective={"name": "squared_error"},
        train={"epochs": 3, "progress": True, "batch_size": 5},
    )
    screen, status, written = shown(words(run), columns)
    assert status == 0 and not screen.wrapped and not screen.torn
    assert len(re.findall(r"\r[^\r\n]*epoch \d/3, ", written)) >= 2, "there is a live line"
    text = "\n".join(screen.text)
    assert "█" not in text and "batch" not in text, "the live line is gone at the end"
    said = " ".join(text.split())
    assert said.startswith("tiny: equilibrium_propagation, mlp on digits, 910 parameters, cpu,")
    assert "tiny: warning: hidden1: something that a person should look at" in said
    assert "tiny: warning: DeprecationWarning: of a library on two lines" in said
    assert not re.search(r"\.py:\d+", text), "a warning without its place in the source"
    header = next(line for line in screen.text if line.startswith("epoch "))
    rows = [line for line in screen.text if re.match(r"[123]/3 ", line)]
    assert len(rows) == 3 and all(len(line) < columns for line in screen.text)
    headings = re.split(r" {2,}", header)
    assert headings[0] == "epoch" and "validation %" in headings and len(headings) == 9 - missing
    for row in rows:
        for heading in headings[1:]:
            end = header.index(heading) + len(heading)
            assert row[: end + 2].split() and (len(row) <= end or row[end] == " "), "numbers end under their heading"
    assert said.count("test accuracy") == 1 and str(run.folder / "result.json") in text.replace("\n    ", "")


def test_a_warning_goes_on_below_indented() -> None:
    text = wrapped_lines("run: warning: " + "word " * 20, 30)
    first, *others = text.split("\n")
    assert first.startswith("run: warning: word") and others and all(line.startswith("    word") for line in others)
    assert all(len(line) <= 30 for line in text.split("\n"))
    assert all(len(line) <= 30 for line in wrapped_lines("x" * 100, 30).split("\n"))


def test_a_log_has_one_aligned_line_an_epoch(make_run: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(train={"epochs": 10, "progress": True})
    fit(run)
    said = capsys.readouterr().err.splitlines()
    assert all(line.startswith("tiny: ") for line in said)
    assert said[0] == f"tiny: dual_propagation, mlp on digits, 910 parameters, cpu, {run.folder}"
    rows = [line for line in said if re.match(r"tiny: epoch \d+/10 ", line)]
    assert len(rows) == 10 and len({len(row) for row in rows}) == 1
    assert [int(re.findall(r"epoch (\d+)", row)[0]) for row in rows] == list(range(1, 11))
    header = said[1]
    names = ("objective", "train %", "validation %", "best %", "sweeps", "worst cosine", "rate", "left")
    assert header.split() == ["tiny:", "epoch", *" ".join(names).split()]
    record = [json.loads(line) for line in (run.folder / "record.jsonl").read_text().splitlines()]
    best = 0.0
    for row, line in zip(rows, record, strict=True):
        starred = line["validation_accuracy"] > best
        best = max(best, line["validation_accuracy"])
        wanted = [f"{line['train_objective']:.4f}", f"{line['train_accuracy']:.2f}"]
        wanted += [f"{line['validation_accuracy']:.2f}", f"{best:.2f}", *(["*"] if starred else [])]
        assert row.split()[3 : 3 + len(wanted)] == wanted


def test_columns_that_a_run_does_not_have_are_left_out(make_run: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    fit(
        make_run(
            settler={"name": "backprop"},
            data={"validation": 0.0},
            train={"probe_every": 0, "progress": True, "epochs": 1},
        )
    )
    header = capsys.readouterr().err.splitlines()[1]
    assert header.split() == ["tiny:", "epoch", "objective", "train", "%", "rate", "left"]


@pytest.mark.parametrize("columns", range(20, 130, 10))
def test_columns_go_in_the_stated_order(columns: int) -> None:
    widths = {"epoch": 5, **{name: 9 for name in reversed(DROPPED) if name != "norm"}, "validation %": 12}
    widths |= {"conv1 norm": 10, "conv2 norm": 10}
    kept = fitting_columns(widths, columns)
    order = [name for kind in DROPPED for name in ("conv2 norm", "conv1 norm") if kind == "norm"] or []
    order = [one for kind in DROPPED for one in (order if kind == "norm" else [kind])]
    gone = [name for name in order if name not in kept]
    assert gone == order[: len(gone)], "the first of them, and no other"
    assert {"epoch", "validation %"} <= set(kept)
    room = sum(widths[name] for name in kept) + 2 * (len(kept) - 1)
    assert room <= columns or len(gone) == len(order)
    if gone:
        assert room + 2 + widths[gone[-1]] > columns, "nothing goes that would have fitted"


def line_of(epoch: int, **found: Any) -> dict[str, Any]:
    """The line of a record, as far as it is shown."""
    nothing = {"train_accuracy": None, "train_objective": None, "validation_accuracy": None, "cosine_worst": None}
    return {"epoch": epoch, "settle": {}, "learning_rate": 0.1, **nothing, **found}


def test_a_header_comes_again_when_the_columns_change() -> None:
    table = EpochTable("t")
    first = table.lines(epoch_cells(line_of(0), 3, None, 2.0), None)
    scored = line_of(1, train_accuracy=50.0, train_objective=None)
    second = table.lines(epoch_cells(scored, 3, None, 1.0), None)
    third = table.lines(epoch_cells(line_of(2), 3, None, 0.0), None)
    assert [len(first), len(second), len(third)] == [2, 2, 1]
    assert "objective" not in first[0] and "objective" in second[0] and "not finite" in second[1]
    assert third[0].split()[:5] == ["t:", "epoch", "3/3", "–", "–"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (723, "12:03"), (3723, "1:02:03"), (float("inf"), "0:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_large_objective_stays_in_its_column() -> None:
    cells = epoch_cells(line_of(0, train_accuracy=10.0, train_objective=6.1e7), 1, None, 0.0)
    assert cells["objective"] == "6.100e+07"


def test_whoever_records_warnings_still_does(make_run: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = warnings.formatwarning, page.train_step

    def step(*given: Any) -> None:
        real(*given)
        warnings.warn("look here", stacklevel=1)

    monkeypatch.setattr(page, "train_step", step)
    with pytest.warns(UserWarning, match="look here"):
        fit(make_run(train={"epochs": 1}))
    assert warnings.formatwarning is before


def test_a_warning_is_one_line_in_a_log() -> None:
    code = (
        "from energy.cautions import caution\nfrom energy.train.terminal import one_line_warnings\n"
        "with one_line_warnings('tiny'):\n    caution('settler.beta=5:\\n is large; say less ' + 'word ' * 40)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == f"tiny: warning: settler.beta=5: is large; say less {'word ' * 40}".rstrip() + "\n"


def test_compiling_is_said_once_and_before(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    one, other = Kernel(lambda x: x + 1), Kernel(lambda x: x * 2)
    for kernel in (one, other):
        kernel._compile = lambda *_: told.append("compile") or (lambda *given: given[0])  # type: ignore[method-assign]
    large = torch.zeros(1 << 18)
    with settings(False, True, lambda: told.append("said")):
        for kernel in (one, one, other):
            kernel([large])
    assert told == ["said", "compile", "said", "compile"]
    with settings(False, False, lambda: told.append("again")):
        Kernel(lambda x: x)([large])
    assert "again" not in told


def test_a_run_says_that_it_compiles(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = page.train_step
    kernels = [Kernel(lambda x: x + 1) for _ in range(2)]
    for kernel in kernels:
        kernel._compile = lambda *_: lambda *given: given[0]  # type: ignore[method-assign]

    def step(*given: Any) -> None:
        for kernel in kernels:
            kernel([torch.zeros(1 << 18)])
        real(*given)

    monkeypatch.setattr(page, "train_step", step)
    fit(make_run(train={"epochs": 1, "progress": True}))
    said = capsys.readouterr().err.splitlines()
    assert said.count("tiny: compiling kernels …") == 1
    assert said.index("tiny: compiling kernels …") == 1


def test_a_continued_run_says_from_where(make_run: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(train={"epochs": 2, "progress": True, "time_limit": 1e-9})
    for _ in range(3):
        with pytest.raises(SystemExit):
            fit(run)
    assert "tiny: continuing from step 2, epoch 1" in capsys.readouterr().err.splitlines()


class Gone(io.StringIO):
    """A terminal that was closed."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        raise OSError(5, "Input/output error")


def test_a_stream_that_went_away_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Gone())
    with bar(True, "t", 10, 0) as drawn:
        say(True, "lost")
        drawn.update(1)
    assert width(sys.stderr) == 79


def test_closing_the_terminal_saves(make_run: Maker, tmp_path: Path) -> None:
    """SIGHUP, and every write from then on an error."""
    run = make_run("hung up", train={"epochs": 200, "progress": True, "batch_size": 5})
    code = (
        "import pty, os, sys, time, signal\n"
        "child, leader = pty.fork()\n"
        "if not child:\n    os.execv(sys.argv[1], sys.argv[1:])\n"
        "seen = b''\n"
        "while b'2/200' not in seen:\n    seen += os.read(leader, 4096)\n"
        "os.close(leader)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words(run)], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == str(128 + signal.SIGHUP)
    assert os.listdir(run.folder / CHECKPOINTS)
