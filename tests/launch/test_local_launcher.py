"""Processes of this machine: how many at a time, with which threads and GPUs, started again, and left in order."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from energy.component import ConfigurationError
from energy.launch import local_launcher as page
from energy.launch.attempt import LOG
from energy.launch.local_launcher import LocalLauncher, gpus
from energy.train.interrupt import Stopped
from tests.launch.scripts import SAVES, SHOWS, command, exits, killed_at_first, starts

pytestmark = pytest.mark.usefixtures("usual_signals")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int, str | None], None]:
    """Give this machine a number of cores and of GPUs, of which an environment names some."""

    def make(cores: int, devices: int, visible: str | None = None) -> None:
        monkeypatch.setattr(page, "cores", lambda: cores)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return make


def test_each_command_line_tells_its_own_status_and_writes_its_own_log(tmp_path: Path) -> None:
    commands = [exits(tmp_path / str(status), status) for status in (0, 1, 3)]
    assert dict(LocalLauncher(workers=2).statuses(commands)) == {0: 0, 1: 1, 2: 3}
    assert [(one.folder / LOG).read_text() for one in commands] == ["said\n"] * 3
    assert dict(LocalLauncher(workers=2).statuses(commands[:1])) == {0: 0}
    assert (tmp_path / "0" / LOG).read_text() == "said\nsaid\n", "a log goes on where it ended"


def test_a_killed_worker_is_started_again_as_often_as_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [killed_at_first(tmp_path / "twice", 2), killed_at_first(tmp_path / "ever", 99)]
    assert dict(LocalLauncher(workers=2, retries=2).statuses(commands)) == {0: 0, 1: -signal.SIGKILL}
    assert [starts(one) for one in commands] == [3, 3]
    assert "twice: killed by SIGKILL; started again, 1 of 2" in capsys.readouterr().err


def test_nothing_is_started_again_where_that_is_said_or_where_it_would_not_help(tmp_path: Path) -> None:
    once = killed_at_first(tmp_path / "once", 1)
    assert dict(LocalLauncher(workers=1, retries=0).statuses([once])) == {0: -signal.SIGKILL}
    assert starts(once) == 1
    failing = command(tmp_path / "failing", "import sys; print('x', flush=True); sys.exit(1)")
    assert dict(LocalLauncher(workers=1, retries=2).statuses([failing])) == {0: 1}
    assert (failing.folder / LOG).read_text() == "x\n"


def test_a_folder_that_cannot_be_written_stops_its_own_command_line_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    commands = [exits(tmp_path / "file", 0), exits(tmp_path / "folder", 0)]
    assert dict(LocalLauncher(workers=1).statuses(commands)) == {0: 1, 1: 0}
    assert "energy: file: " in capsys.readouterr().err


def test_no_more_run_at_a_time_than_there_are_workers_and_each_has_its_threads(tmp_path: Path) -> None:
    commands = [command(tmp_path / str(n), SHOWS, str(tmp_path / f"{n}.json")) for n in range(4)]
    assert dict(LocalLauncher(workers=2, threads=3).statuses(commands)) == dict.fromkeys(range(4), 0)
    shown = [json.loads((tmp_path / f"{n}.json").read_text()) for n in range(4)]
    at_once = [sum(one["begun"] <= other["begun"] < one["ended"] for one in shown) for other in shown]
    assert max(at_once) <= 2 and {one["OMP_NUM_THREADS"] for one in shown} == {"3"}


@pytest.mark.parametrize(
    ("fields", "workers", "threads"),
    [({}, 12, 1), ({"threads": 4}, 3, 4), ({"threads": 99}, 1, 99), ({"workers": 5}, 5, 2), ({"workers": 20}, 20, 1)],
)
def test_the_cores_are_shared(
    machine: Callable[..., None], tmp_path: Path, fields: dict[str, int], workers: int, threads: int
) -> None:
    machine(12, 0)
    launcher, one = LocalLauncher(**fields), exits(tmp_path, 0)
    assert (launcher.workers_for([one]), launcher.threads_each) == (workers, threads)
    assert launcher.environment_of(0, one)["OMP_NUM_THREADS"] == str(threads)


def test_gpus_are_dealt_out_in_turn_to_those_that_want_one(machine: Callable[..., None], tmp_path: Path) -> None:
    wants, spares = exits(tmp_path, 0), exits(tmp_path, 0)
    wants = command(tmp_path, "", gpu=True)
    machine(12, 2, "5,GPU-a7")
    launcher = LocalLauncher()
    assert launcher.offers_gpus and launcher.workers_for([wants, spares]) == 2
    assert launcher.workers_for([spares]) == 12, "a run on the CPU waits for no GPU"
    dealt = [LocalLauncher(workers=4).environment_of(slot, wants)["CUDA_VISIBLE_DEVICES"] for slot in range(4)]
    assert dealt == ["5", "GPU-a7", "5", "GPU-a7"]
    assert "CUDA_VISIBLE_DEVICES" not in launcher.environment_of(0, spares)


@pytest.mark.parametrize(
    ("count", "visible", "found"),
    [(0, None, []), (3, None, ["0", "1", "2"]), (0, "", []), (1, "2", ["2"]), (1, "3,-1,0", ["3"])],
)
def test_the_gpus_are_those_that_torch_counts(
    machine: Callable[..., None], count: int, visible: str | None, found: list[str]
) -> None:
    machine(4, count, visible)
    assert gpus() == found


def test_a_signal_lets_all_save_and_starts_no_more(tmp_path: Path) -> None:
    commands = [command(tmp_path / str(n), SAVES, str(tmp_path / str(n))) for n in range(3)]
    helper = threading.Thread(target=_signal_when_ready, args=([tmp_path / "0", tmp_path / "1"], signal.SIGTERM))
    helper.start()
    ended = {}
    with pytest.raises(Stopped) as stopped:
        for place, status in LocalLauncher(workers=2, retries=2).statuses(commands):
            ended |= {place: status}
    helper.join()
    assert stopped.value.code == 128 + signal.SIGTERM
    assert ended == {0: 128 + signal.SIGUSR1, 1: 128 + signal.SIGUSR1}
    assert [(tmp_path / str(n) / "saved").exists() for n in range(3)] == [True, True, False]
    assert not (tmp_path / "2").exists()


def test_nothing_begins_in_the_place_of_one_that_has_left(tmp_path: Path) -> None:
    """The other takes a second longer to save."""
    slow = SAVES.replace("sys.exit", "time.sleep(1)\n    sys.exit")
    commands = [command(tmp_path / str(n), SAVES if n else slow, str(tmp_path / str(n))) for n in range(3)]
    helper = threading.Thread(target=_signal_when_ready, args=([tmp_path / "0", tmp_path / "1"], signal.SIGTERM))
    helper.start()
    with pytest.raises(Stopped):
        list(LocalLauncher(workers=2, retries=2).statuses(commands))
    helper.join()
    assert not (tmp_path / "2").exists()


def test_after_the_time_all_save_and_the_rest_is_left_out(tmp_path: Path) -> None:
    commands = [exits(tmp_path / "0", 0), *(command(tmp_path / str(n), SAVES, str(tmp_path / str(n))) for n in (1, 2))]
    begun = time.monotonic()
    ended = dict(LocalLauncher(workers=1, retries=2).statuses(commands, seconds=3.0))
    assert time.monotonic() - begun < 50, "not the minute that it would take"
    assert set(ended) <= {0, 1} and not (tmp_path / "2").exists()
    assert 1 not in ended or ended[1] in (138, -10)


def test_what_is_left_of_a_sweep_that_is_dropped_is_ended(tmp_path: Path) -> None:
    """Whoever looks at the statuses may fail, on a printer that went away for one."""
    commands = [exits(tmp_path / "0", 0), command(tmp_path / "1", SAVES, str(tmp_path / "1"))]
    statuses = LocalLauncher(workers=2).statuses(commands)
    assert next(statuses) == (0, 0)
    _wait(tmp_path / "1" / "ready")
    statuses.close()  # type: ignore[attr-defined]
    assert (tmp_path / "1" / "saved").read_text() == str(int(signal.SIGUSR1))


@pytest.mark.parametrize("field", ["workers", "threads", "retries"])
def test_numbers_below_nothing_are_refused(field: str) -> None:
    with pytest.raises(ConfigurationError, match=f"local.{field}=-1: must be at least 0"):
        LocalLauncher(**{field: -1})


def _signal_when_ready(folders: list[Path], number: int) -> None:
    for folder in folders:
        _wait(folder / "ready")
    os.kill(os.getpid(), number)


def _wait(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
