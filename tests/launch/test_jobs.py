"""What is asked of a cluster, and what its jobs do, where neither Ray nor submitit is needed."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from energy.launch import ray_launcher
from energy.launch.attempt import start_command, wait_for
from energy.launch.command_line import command_environment
from energy.launch.ray_launcher import RayLauncher
from energy.launch.submitit_launcher import Cluster, LaunchedCommand, SubmititLauncher
from tests.launch.scripts import command, exits, killed_at_first, starts

GIB = 1024**3


def test_what_is_asked_of_ray() -> None:
    few = {"num_cpus": 1.0, "num_gpus": 0.0, "max_retries": 2, "retry_exceptions": [ChildProcessError]}
    assert RayLauncher().options() == few
    asked = RayLauncher(cpus=4, gpus=0.5, memory=1.5, retries=0).options()
    assert asked == {
        "num_cpus": 4,
        "num_gpus": 0.5,
        "memory": 3 * GIB // 2,
        "max_retries": 0,
        "retry_exceptions": False,
    }


class Canceled(Exception):
    """A task that was told to leave."""


class Lost(Exception):
    """A task whose worker or node is gone."""


@pytest.mark.parametrize(("end", "status"), [(3, 3), (Canceled(), -signal.SIGUSR1), (Lost(), -signal.SIGKILL)])
def test_the_end_of_a_task_is_a_status(end: Any, status: int) -> None:
    def get(reference: object) -> int:
        if isinstance(end, Exception):
            raise end
        return end

    ray = SimpleNamespace(get=get, exceptions=SimpleNamespace(TaskCancelledError=Canceled, RayError=Lost))
    assert ray_launcher._status(ray, None) == status


@pytest.mark.parametrize(
    ("cluster", "limits"),
    [
        (Cluster.SLURM, {"slurm_max_num_timeout": 5}),
        (Cluster.LOCAL, {"local_max_num_timeout": 5}),
        (Cluster.DEBUG, {}),
    ],
)
def test_a_job_is_queued_again_as_often_as_is_said(cluster: Cluster, limits: dict[str, int]) -> None:
    assert SubmititLauncher(cluster=cluster, retries=5).limits() == limits


@pytest.mark.parametrize(("retries", "status", "count"), [(2, 0, 3), (1, -signal.SIGKILL, 2), (0, -signal.SIGKILL, 1)])
def test_a_job_starts_a_killed_run_again(tmp_path: Path, retries: int, status: int, count: int) -> None:
    one = killed_at_first(tmp_path / "one", 2)
    assert LaunchedCommand(one, command_environment(1), retries)() == status
    assert starts(one) == count


def test_a_job_does_not_start_a_run_again_that_failed_by_itself(tmp_path: Path) -> None:
    one = exits(tmp_path / "one", 3)
    assert LaunchedCommand(one, command_environment(1), 2)() == 3
    assert (one.folder / "log.txt").read_text() == "said\n"


def test_the_variables_of_a_command_go_before_those_of_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    one = command(tmp_path, "import os; print(os.environ['OMP_NUM_THREADS'])")
    assert wait_for(start_command(one.words, str(tmp_path), command_environment(3))) == 0
    assert (tmp_path / "log.txt").read_text() == "3\n"


def test_a_command_whose_parent_is_gone_is_not_begun(tmp_path: Path) -> None:
    """Its own process number is that of nobody's parent."""
    gone = str(2**22 + 7)
    words = [sys.executable, "-m", "energy.launch.tether", "10", gone, str(tmp_path), "/bin/touch", str(tmp_path / "x")]
    ended = subprocess.run(words, env={**os.environ, **command_environment(1)}, check=False)
    assert ended.returncode == 128 + 10 and not (tmp_path / "x").exists()


def test_a_command_begins_when_its_folder_is_free(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        child = start_command(["/bin/touch", str(tmp_path / "x")], str(tmp_path), command_environment(1))
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(2)
        assert not (tmp_path / "x").exists()
    assert wait_for(child) == 0 and (tmp_path / "x").exists()
