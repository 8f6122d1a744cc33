"""One process: its environment, its tether to the one that started it, and the wait for another in its folder."""

import fcntl
import os
import site
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from energy.launch import command_line as page
from energy.launch.attempt import ending, killed, left_in_order, start_command, wait_for
from energy.launch.command_line import CommandLine, command_environment, package_root
from energy.launch.tether import wait_for_lock
from tests.launch.scripts import SAVES

PARENT = """
import sys, time
from energy.launch.attempt import start_command
child = start_command([sys.executable, "-c", sys.argv[1], sys.argv[2]], sys.argv[2], {})
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("status", "dead", "in_order", "said"),
    [
        (0, False, False, "exit status 0"),
        (1, False, False, "exit status 1"),
        (128, False, False, "exit status 128"),
        (-9, True, False, "killed by SIGKILL"),
        (-11, True, False, "killed by SIGSEGV"),
        (137, True, False, "left after SIGKILL"),
        (143, True, True, "left after SIGTERM"),
        (138, True, True, "left after SIGUSR1"),
        (-10, True, True, "killed by SIGUSR1"),
        (250, True, False, "left after signal 122"),
    ],
)
def test_the_end_of_a_process_in_words(status: int, dead: bool, in_order: bool, said: str) -> None:
    assert (killed(status), left_in_order(status), ending(status)) == (dead, in_order, said)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells of a parent's end on Linux only")
def test_a_run_whose_parent_is_killed_saves_and_leaves(tmp_path: Path) -> None:
    words = [sys.executable, "-c", PARENT, SAVES, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, **command_environment(1)}) as parent:
        _wait(tmp_path / "ready")
        parent.kill()
    _wait(tmp_path / "saved")


def test_a_command_that_is_not_there_ends_with_a_line(tmp_path: Path) -> None:
    assert wait_for(start_command([str(tmp_path / "nothing")], str(tmp_path), command_environment(1))) == 1
    assert (tmp_path / "log.txt").read_text() == f"energy: {tmp_path / 'nothing'}: No such file or directory\n"


def test_another_process_in_the_folder_is_waited_for(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    assert wait_for_lock(lock, 0) and not lock.exists()
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not wait_for_lock(lock, 0.2)
        threading.Timer(0.3, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        begun = time.monotonic()
        assert wait_for_lock(lock, 30)
        assert 0.2 < time.monotonic() - begun < 20
    assert wait_for_lock(lock, 0), "it is not kept"


def test_a_line_is_read_by_a_shell_as_it_was_written(tmp_path: Path) -> None:
    words = ("printf", "%s;", "a b", "it's", '"[x]"', "$HOME", "")
    line = CommandLine("one", words, tmp_path)
    printed = subprocess.run(["bash", "-c", line.text], capture_output=True, text=True, check=True).stdout
    assert printed == 'a b;it\'s;"[x]";$HOME;;'


def test_the_environment_leads_to_this_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/there")
    monkeypatch.setenv("ENERGY_DATA", "/data")
    found = command_environment(3)
    assert (found["OMP_NUM_THREADS"], found["ENERGY_DATA"]) == ("3", "/data")
    assert found["PYTHONPATH"].split(os.pathsep) == [package_root(), "/there"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/there", package_root()]))
    assert command_environment(1)["PYTHONPATH"].split(os.pathsep) == ["/there", package_root()], "it is not repeated"
    monkeypatch.setattr(page, "package_root", lambda: str(Path(site.getsitepackages()[0]).resolve()))
    monkeypatch.setenv("PYTHONPATH", "/there")
    assert command_environment(1)["PYTHONPATH"] == "/there", "what is installed is found in its turn"


def test_the_package_is_there() -> None:
    assert (Path(package_root()) / "energy" / "launch").is_dir()


def _wait(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
