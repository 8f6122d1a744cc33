"""A training that is killed in the middle is started again, and ends with the weights of an unbroken one."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from energy.command.launching import run_command
from energy.component import ConfigurationError, from_dict
from energy.errors import UsageError
from energy.io.record import CHECKPOINTS, FINAL, RESULT, read_json
from energy.launch.command_line import command_environment
from energy.launch.launcher import Launcher
from energy.launch.local_launcher import LocalLauncher
from energy.launch.ray_launcher import RayLauncher
from energy.launch.submitit_launcher import Cluster, SubmititLauncher
from energy.train.registration import register_builtins
from energy.train.run import Run
from tests.launch.scripts import SAVES, command, exits, killed_at_first, processes, starts, wait_until
from tests.launch.slurm import write_slurm

pytestmark = [
    pytest.mark.usefixtures("usual_signals"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]
WORKER_KILLED = """
import os, pathlib, signal, sys, time
place = pathlib.Path(sys.argv[1])
def save(number, frame):
    (place / "saved").touch()
    sys.exit(128 + number)
signal.signal(signal.SIGUSR1, save)
if not (place / "begun").exists():
    (place / "begun").touch()
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
print("continued", (place / "saved").exists())
"""
PREEMPTED = """
import pathlib, sys
if (pathlib.Path(sys.argv[1]) / "saved").exists():
    print("continued")
    sys.exit(0)
"""


@pytest.fixture
def long_run(tmp_path: Path) -> Run:
    """A run with a checkpoint every twenty steps, which lasts for seconds."""
    register_builtins()
    return _run(tmp_path / "killed")


def _run(folder: Path) -> Run:
    plain = {
        "model": {"name": "mlp", "sizes": [16]},
        "data": {"name": "digits", "limit": 400},
        "train": {"epochs": 25, "batch_size": 10, "checkpoint_every": 20, "probe_every": 0, "program": "off"},
        "device": "cpu",
        "out": str(folder),
    }
    return from_dict(Run, plain, path="")


@pytest.fixture
def ray_here() -> None:
    """Ray, if it is installed."""
    pytest.importorskip("ray")


def _kill_once(run: Run, number: int = signal.SIGKILL) -> threading.Thread:
    """Kill the training once it has left its second checkpoint."""

    def kill() -> None:
        wait_until(lambda: len([*(run.folder / CHECKPOINTS).glob("step-*")]) > 1)
        for process in processes("-m energy train", str(run.folder)):
            os.kill(process, number)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def _weights(run: Run) -> bytes:
    (file,) = (run.folder / FINAL).glob("step-*/tensors.safetensors")
    return file.read_bytes()


def _killed_and_continued(launcher: Launcher, run: Run, number: int = signal.SIGKILL) -> None:
    thread = _kill_once(run, number)
    assert dict(launcher.statuses([run_command(run, [])])) == {0: 0}
    thread.join()
    assert len(read_json(run.folder / RESULT)["continued"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_training_ends_as_an_unbroken_one(long_run: Run, tmp_path: Path, number: int) -> None:
    _killed_and_continued(LocalLauncher(workers=1, threads=1), long_run, number)
    whole = _run(tmp_path / "whole")
    assert dict(LocalLauncher(workers=1, threads=1).statuses([run_command(whole, [])])) == {0: 0}
    assert _weights(whole) == _weights(long_run)


@pytest.mark.slow
def test_ray_starts_a_killed_training_again(long_run: Run, ray_here: None) -> None:
    _killed_and_continued(RayLauncher(cpus=1), long_run)


@pytest.mark.slow
def test_ray_starts_again_what_was_lost_with_its_worker(tmp_path: Path, ray_here: None) -> None:
    """Of four: one ends well, one fails by itself, one is killed ever again, one kills the worker that watches it."""
    commands = [
        exits(tmp_path / "well", 0),
        exits(tmp_path / "failing", 3),
        killed_at_first(tmp_path / "ever", 99),
        command(tmp_path / "orphan", WORKER_KILLED, str(tmp_path / "orphan")),
    ]
    ended = dict(RayLauncher(cpus=0.5, retries=1).statuses(commands))
    assert ended == {0: 0, 1: 3, 2: -signal.SIGKILL, 3: 0}
    assert starts(commands[2]) == 2
    assert (tmp_path / "orphan" / "log.txt").read_text() == "continued True\n", "it saved when its worker was gone"


def test_ray_waits_for_no_core_that_is_not_there(ray_here: None) -> None:
    with pytest.raises(ConfigurationError, match=r"launcher\.cpus=4096: must be at most the [0-9]+ of this machine"):
        RayLauncher(cpus=4096).prepare()
    with pytest.raises(ConfigurationError, match=r"launcher\.gpus=64: must be at most the [0-9]+ of this machine"):
        RayLauncher(gpus=64).prepare()
    RayLauncher(cpus=4096, address="auto").prepare()


@pytest.mark.slow
def test_after_the_time_ray_lets_all_save(tmp_path: Path, ray_here: None) -> None:
    one = command(tmp_path / "one", SAVES, str(tmp_path / "one"))
    assert set(dict(RayLauncher(cpus=1).statuses([one], seconds=6.0)).values()) <= {-10, 138}
    assert (tmp_path / "one" / "saved").read_text() == str(int(signal.SIGUSR1))


@pytest.mark.slow
def test_submitit_carries_out_an_array_of_two(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    commands = [exits(tmp_path / "well", 0), exits(tmp_path / "failing", 3)]
    launcher = SubmititLauncher(cluster=Cluster.LOCAL, folder=str(tmp_path / "jobs"), minutes=2)
    assert dict(launcher.statuses(commands)) == {0: 0, 1: 3}
    assert [(one.folder / "log.txt").read_text() for one in commands] == ["said\n"] * 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_submitit_carries_out_an_array_in_this_process(tmp_path: Path) -> None:
    """It leaves its logs open, for which it warns."""
    pytest.importorskip("submitit")
    commands = [killed_at_first(tmp_path / "killed", 1), exits(tmp_path / "failing", 3)]
    launcher = SubmititLauncher(cluster=Cluster.DEBUG, folder=str(tmp_path / "jobs"), retries=1)
    assert dict(launcher.statuses(commands)) == {0: 0, 1: 3}
    assert starts(commands[0]) == 2


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a Slurm of the tests' own, which is found before any other."""
    pytest.importorskip("submitit")
    write_slurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{tmp_path / 'slurm'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "slurm"


@pytest.mark.slow
def test_slurm_is_given_one_array_and_what_its_jobs_need(tmp_path: Path, slurm: Path) -> None:
    commands = [exits(tmp_path / "well", 0), exits(tmp_path / "failing", 3)]
    asked = {"partition": "long", "minutes": 7, "cpus": 2, "memory": 3.0, "array_parallelism": 1}
    launcher = SubmititLauncher(folder=str(tmp_path / "jobs"), **asked)
    launcher.prepare()
    assert dict(launcher.statuses(commands)) == {0: 0, 1: 3}
    text = (slurm / "submitted.sh").read_text()
    for flag in ("partition=long", "time=7", "cpus-per-task=2", "mem=3GB", "array=0-1%1", "signal=USR2@90"):
        assert f"#SBATCH --{flag}\n" in text


@pytest.mark.slow
def test_what_slurm_refuses_is_one_line(tmp_path: Path, slurm: Path) -> None:
    launcher = SubmititLauncher(folder=str(tmp_path / "jobs"), partition="closed")
    with pytest.raises(UsageError, match=r"launcher=submitit: the jobs were not taken: .*invalid partition"):
        dict(launcher.statuses([exits(tmp_path / "well", 0)]))


@pytest.mark.slow
def test_without_slurm_the_other_executors_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigurationError, match=r"launcher\.cluster=slurm: there is no srun here; local and debug"):
        SubmititLauncher().prepare()


@pytest.mark.slow
def test_a_sweep_that_is_told_to_leave_goes_on_with_the_same_command(tmp_path: Path) -> None:
    """Two of three runs save, the third is not started; the second command ends all three."""
    given = "train -m seed=0,1,2 model.sizes=[16] data.limit=400 train.epochs=25 train.batch_size=10 out=many"
    more = (
        "device=cpu train.checkpoint_every=20 train.probe_every=0 train.program=off launcher=local launcher.workers=2"
    )
    words = [sys.executable, "-m", "energy", *given.split(), *more.split()]
    env = {**os.environ, **command_environment(1)}
    with subprocess.Popen(
        words, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        for seed in (0, 1):
            folder = tmp_path / "many" / f"seed={seed}" / CHECKPOINTS
            wait_until(lambda folder=folder: [*folder.glob("step-*")])
        one.send_signal(signal.SIGTERM)
        out, err = one.communicate()
    assert one.returncode == 128 + signal.SIGTERM and "energy: SIGTERM: all have left" in err
    assert [line.split()[4] for line in out.splitlines()[1:]] == ["stopped", "stopped", "not"]
    two = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert two.returncode == 0, two.stderr
    results = [read_json(tmp_path / "many" / f"seed={seed}" / RESULT) for seed in range(3)]
    assert [len(result["continued"]) for result in results] == [1, 1, 0]


@pytest.mark.slow
def test_a_job_that_is_preempted_saves_and_is_queued_again(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    folder, jobs = tmp_path / "one", tmp_path / "jobs"

    def preempt() -> None:
        wait_until((folder / "ready").exists)
        for process in processes("submitit.core._submit", str(jobs)):
            os.kill(process, signal.SIGUSR2)

    thread = threading.Thread(target=preempt)
    thread.start()
    launcher = SubmititLauncher(cluster=Cluster.LOCAL, folder=str(jobs), minutes=5)
    assert dict(launcher.statuses([command(folder, PREEMPTED + SAVES, str(folder))])) == {0: 0}
    thread.join()
    assert (folder / "saved").read_text() == str(int(signal.SIGUSR1))
    assert (folder / "log.txt").read_text() == "continued\n"
