"""Deaths at exact places: what is continued equals the unbroken run, and nothing half-written stays."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from energy.errors import DamagedFileError
from energy.io import atomic, checkpoint
from energy.io.record import CHECKPOINTS, CONFIGURATION, FINAL, RECORD, RESULT, append_line, exclusive_lock
from energy.train import conclusion
from energy.train import fit as page
from energy.train import session as pages
from energy.train.fit import fit
from energy.train.interrupt import Stopped
from energy.train.run import Run
from tests.train.impatient import Impatient

Maker = Callable[..., Run]
SMALL: dict[str, Any] = {"data": {"limit": 60}, "train": {"epochs": 3}}  # three epochs of three steps


class Death(BaseException):
    """The end of a process at an exact place; nothing catches it."""


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``mortal(owner, "name", call, after=True)``: die at the call of this number, before or after it is done."""

    def plant(owner: Any, name: str, call: int, *, after: bool = False) -> None:
        real, calls = getattr(owner, name), iter(range(1000))

        def dying(*given: Any, **more: Any) -> Any:
            last = next(calls) == call
            if last and not after:
                raise Death
            found = real(*given, **more)
            if last:
                raise Death
            return found

        monkeypatch.setattr(owner, name, dying)

    return plant


PLACES: list[tuple[Any, str, int, bool]] = [
    (pages, "append_line", 0, True),  # the first line is written, there is no checkpoint yet
    (pages, "append_line", 1, True),  # the second line is written, its checkpoint is not
    (pages, "append_line", 1, False),
    (page, "validate", 1, False),
    (page, "validate", 1, True),
    (page, "measure_epoch", 1, True),
    (pages.Session, "save", 1, True),
    (conclusion, "score", 0, False),  # the test
    (conclusion, "write_result", 0, False),
    (conclusion, "closing", 0, False),  # the result is written, the checkpoints are still there
]


@pytest.mark.parametrize(("owner", "name", "call", "after"), PLACES)
@pytest.mark.parametrize("every", [0, 2])
def test_a_death_at_any_place_leaves_the_record_of_an_unbroken_run(
    make_run: Maker,
    monkeypatch: pytest.MonkeyPatch,
    mortal: Callable[..., None],
    final_tensors: Callable[[Run], bytes],
    timeless: Callable[[Path], list[dict[str, Any]]],
    owner: Any,
    name: str,
    call: int,
    after: bool,
    every: int,
) -> None:
    variant = {**SMALL, "train": {"epochs": 3, "checkpoint_every": every}, "schedule": {"name": "linear"}}
    one, other = make_run("unbroken", **variant), make_run("killed", **variant)
    whole = fit(one)
    mortal(owner, name, call, after=after)
    with pytest.raises(Death):
        fit(other)
    monkeypatch.undo()
    found = fit(other)
    assert final_tensors(one) == final_tensors(other)
    assert timeless(one.folder) == timeless(other.folder)
    assert [line["learning_rate"] for line in timeless(other.folder)] == pytest.approx(
        [0.1 * (1 - (epoch + 2 / 3) / 3) for epoch in range(3)]
    )
    assert found["test_accuracy"] == whole["test_accuracy"]
    assert not checkpoint.steps(other.folder / CHECKPOINTS)


def test_a_death_before_the_record_is_cut_leaves_it_to_the_next(
    make_run: Maker,
    monkeypatch: pytest.MonkeyPatch,
    mortal: Callable[..., None],
    timeless: Callable[[Path], list[dict[str, Any]]],
) -> None:
    variant = {**SMALL, "train": {"epochs": 3, "checkpoint_every": 2}}  # at 2, 4, 6, 8; lines at 3, 6, 9
    one, other = make_run("unbroken", **variant), make_run("killed", **variant)
    fit(one)
    mortal(page, "train_step", 5)
    with pytest.raises(Death):
        fit(other)
    monkeypatch.undo()
    later = (one.folder / RECORD).read_text().splitlines(keepends=True)[1:]
    with (other.folder / RECORD).open("a") as file:  # all three lines, the checkpoint is of step 4
        file.writelines(later)
    mortal(pages, "truncate_record", 0)
    with pytest.raises(Death):
        fit(other)
    monkeypatch.undo()
    assert [line["epoch"] for line in timeless(other.folder)] == [0, 1, 2]
    fit(other)
    assert timeless(one.folder) == timeless(other.folder)


@pytest.mark.parametrize("lines", [[], [1], [0, 0], [1, 0]])
def test_a_record_that_lacks_an_epoch_is_not_continued(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, lines: list[int]
) -> None:
    run = make_run(**SMALL)
    monkeypatch.setattr(Impatient, "patience", 8)  # after the second epoch of three steps is closed
    with monkeypatch.context() as patch:
        patch.setattr(page, "Interrupt", Impatient)
        with pytest.raises(Stopped):
            fit(run)
    path = run.folder / RECORD
    kept = path.read_text().splitlines(keepends=True)
    assert len(kept) == 2
    path.write_text("".join(kept[number] for number in lines))
    with pytest.raises(DamagedFileError, match=r"record\.jsonl: has not one line for each of the first 2 epochs"):
        fit(run)


def test_the_owner_of_a_folder_sweeps_it_wherever_something_was_left(
    make_run: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mortal: Callable[..., None]
) -> None:
    run = make_run(**SMALL)
    mortal(page, "train_step", 4)
    with pytest.raises(Death):
        fit(run)
    monkeypatch.undo()
    left = [f".writing-{CONFIGURATION}-77", f".writing-{RESULT}-1-2", ".removing-x", "final/.writing-step-000009-1"]
    left += [f"{CHECKPOINTS}/.removing-step-000001-3", "epochs/.writing-step-000001-4", "failed/.writing-step-000002-5"]
    for name in left[:3]:
        (run.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (run.folder / name).write_text("half")
    for name in left[3:]:
        (run.folder / name).mkdir(parents=True)
        (run.folder / name / "facts.json").write_text("half")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "mine").write_text("mine")
    (run.folder / ".writing-link").symlink_to(kept)
    fit(run)
    hidden = [path for path in run.folder.rglob(".*") if path.name != ".lock"]
    assert hidden == [] and (kept / "mine").read_text() == "mine"


def test_a_finished_run_loses_the_checkpoints_that_a_kill_left(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, mortal: Callable[..., None]
) -> None:
    run = make_run(**SMALL)
    mortal(conclusion, "closing", 0)
    with pytest.raises(Death):
        fit(run)
    monkeypatch.undo()
    assert checkpoint.steps(run.folder / CHECKPOINTS) and (run.folder / RESULT).exists()
    before = (run.folder / RESULT).read_bytes()
    with exclusive_lock(run.folder):  # while somebody is at work nothing is touched
        fit(run)
        assert checkpoint.steps(run.folder / CHECKPOINTS)
    fit(run)
    assert not checkpoint.steps(run.folder / CHECKPOINTS)
    assert (run.folder / RESULT).read_bytes() == before


@pytest.mark.parametrize("name", [".removing-step-000009-77", ".writing-step-000009-77"])
@pytest.mark.parametrize("place", [".", CHECKPOINTS, FINAL])
def test_a_finished_run_loses_what_was_half_removed_or_half_written(make_run: Maker, place: str, name: str) -> None:
    run = make_run(**SMALL)
    fit(run)
    before = (run.folder / RESULT).read_bytes()
    left = run.folder / place / name
    left.mkdir(parents=True)
    (left / "facts.json").write_text("half")
    fit(run)
    assert [path.name for path in run.folder.rglob(".*")] == [".lock"]
    assert (run.folder / RESULT).read_bytes() == before


def test_what_a_living_writer_holds_is_not_swept(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with atomic.replacing(path) as file:
        file.write(b"whole")
        (tmp_path / ".writing-a.json-abandoned").write_text("half")
        atomic.write_text(path, "other")  # another writer of the same name
        atomic.sweep_leftovers(tmp_path)
    assert path.read_bytes() == b"whole" and os.listdir(tmp_path) == ["a.json"]


KILLED = """
import os, signal, sys
from pathlib import Path
from energy.io import atomic
with atomic.replacing(Path(sys.argv[1]) / "configuration.json"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_writer_of_a_name_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=60)
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".writing-configuration.json-")
    atomic.write_text(tmp_path / "other.json", "x")
    assert left in os.listdir(tmp_path)
    atomic.write_text(tmp_path / "configuration.json", "x")
    assert sorted(os.listdir(tmp_path)) == ["configuration.json", "other.json"]


def test_final_weights_of_a_killed_test_are_written_again(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch, mortal: Callable[..., None], final_tensors: Callable[[Run], bytes]
) -> None:
    """A fitted read-out is fitted again: weights and result are of one and the same."""
    run, one = make_run("killed", **SMALL), make_run("whole", **SMALL)
    fit(one)
    mortal(conclusion, "write_result", 0)
    with pytest.raises(Death):
        fit(run)
    monkeypatch.undo()
    (path,) = checkpoint.steps(run.folder / FINAL)
    result = fit(run)
    assert result["final"]["sha256"] == checkpoint.seal(path)
    assert final_tensors(run) == final_tensors(one)


def test_a_line_is_on_the_disk_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is forced, and the folder that names it."""
    forced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        forced.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    append_line(tmp_path / RECORD, {"epoch": 0})
    assert forced == [RECORD, tmp_path.name]
