"""Command lines as a job array of a Slurm cluster, submitted with submitit."""

from __future__ import annotations

import enum
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from energy.component import ConfigurationError, require
from energy.errors import MissingDependencyError, UsageError
from energy.launch.attempt import leave, start_command, wait_for
from energy.launch.command_line import CommandLine, command_environment
from energy.launch.launcher import Launcher
from energy.paths import expanded
from energy.train.interrupt import Interrupt

PAUSE: Final = 0.5  # seconds between two looks at the jobs


class Cluster(enum.Enum):
    """The executor of submitit that carries out the jobs."""

    SLURM = "a job array of Slurm"
    LOCAL = "processes of this machine, all at a time"
    DEBUG = "this process, one after the other"


class SubmititLauncher(Launcher, name="submitit"):
    """Jobs of a Slurm array, waited for (extra `slurm`).

    A job that is preempted or out of time lets its run save, and is queued again. The folders and the Python of this
    process must be there on every node.

    Attributes:
        cluster: the executor; `local` and `debug` need no Slurm.
        partition: of Slurm; empty for its default.
        minutes: time limit of a job.
        cpus: cores of each, which has as many threads.
        gpus: GPUs of each.
        memory: GB of each; 0 for the default of the partition.
        array_parallelism: jobs at a time; 0 for submitit's 256.
        retries: times that a job is queued again when out of time, and a killed run is started again within its job.
        folder: of submitit's own files: its pickles, which are code, and the output of the jobs.
    """

    cluster: Cluster = Cluster.SLURM
    partition: str = ""
    minutes: int = 60
    cpus: int = 1
    gpus: int = 0
    memory: float = 0.0
    array_parallelism: int = 0
    retries: int = 2
    folder: str = "runs/submitit"

    def __post_init__(self) -> None:
        for field in ("minutes", "cpus"):
            require(getattr(self, field) >= 1, self, field, "at least 1")
        for field in ("gpus", "memory", "array_parallelism", "retries"):
            require(0 <= getattr(self, field) < math.inf, self, field, "at least 0")
        require(bool(self.folder), self, "folder", "a folder")

    def prepare(self) -> None:
        imported_submitit()
        if self.cluster is Cluster.SLURM and shutil.which("srun") is None:
            raise ConfigurationError("launcher.cluster=slurm: there is no srun here; local and debug need none")

    def statuses(self, commands: Sequence[CommandLine], seconds: float = 0.0) -> Iterator[tuple[int, int]]:
        submitit = imported_submitit()
        executor = submitit.AutoExecutor(expanded(self.folder), self.cluster.name.lower(), **self.limits())
        executor.update_parameters(**self.options())
        changes = command_environment(self.cpus)
        with Interrupt(seconds) as interrupt:
            with _submitting(changes), executor.batch():
                jobs = [executor.submit(LaunchedCommand(one, changes, self.retries)) for one in commands]
            left, told = dict(enumerate(jobs)), False
            while left:
                if interrupt.asked and not told:
                    told = True
                    for job in left.values():
                        job.cancel(check=False)
                for place in [place for place, job in left.items() if (told and self._idle) or job.done()]:
                    yield place, _status(left.pop(place), told)
                time.sleep(PAUSE)
        if interrupt.number:
            raise interrupt.stopped("all were told to leave; the same command goes on")

    @property
    def _idle(self) -> bool:
        """True if jobs are carried out by being asked for their result."""
        return self.cluster is Cluster.DEBUG

    def limits(self) -> dict[str, Any]:
        """Return the number of times that a job may be queued again, for the executors that queue."""
        name = {Cluster.SLURM: "slurm_max_num_timeout", Cluster.LOCAL: "local_max_num_timeout"}.get(self.cluster)
        return {name: self.retries} if name else {}

    def options(self) -> dict[str, Any]:
        """Return what is asked of submitit for each job."""
        found: dict[str, Any] = {"name": "energy", "timeout_min": self.minutes, "cpus_per_task": self.cpus}
        found |= {"gpus_per_node": self.gpus} if self.gpus else {}
        found |= {"mem_gb": self.memory} if self.memory else {}
        found |= {"slurm_partition": self.partition} if self.partition else {}
        return found | ({"slurm_array_parallelism": self.array_parallelism} if self.array_parallelism else {})

    def describe(self, commands: Sequence[CommandLine]) -> str:
        return f"{self.cluster.value}, cores: {self.cpus}, GPUs: {self.gpus}, {self.minutes} minutes each"

    @property
    def offers_gpus(self) -> bool:
        return self.gpus > 0


class LaunchedCommand:
    """The function of a job: it starts a command line, and lets it save and leave before the job is queued again.

    Args:
        command: the command line.
        changes: variables of its environment.
        retries: times that it is started again after it was killed.
    """

    def __init__(self, command: CommandLine, changes: Mapping[str, str], retries: int) -> None:
        self.words = command.words
        self.folder = str(command.folder)
        self.changes = dict(changes)
        self.retries = retries
        self._child: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        status, attempts = -signal.SIGKILL, 0
        while status == -signal.SIGKILL and attempts <= self.retries:
            attempts += 1
            self._child = start_command(self.words, self.folder, self.changes, apart=False)
            try:
                status = wait_for(self._child)
            except KeyboardInterrupt:
                leave(self._child)
                return wait_for(self._child)
        return status

    def checkpoint(self) -> Any:
        """Let the run save and leave; called by submitit within a handler of a signal."""
        import submitit  # pyright: ignore[reportMissingImports]

        if self._child is not None and self._child.returncode is None:
            os.kill(self._child.pid, signal.SIGUSR1)
            os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)  # `Popen.wait` may be under way below
        self._child = None
        return submitit.helpers.DelayedSubmission(self)


def imported_submitit() -> Any:
    """Return the module `submitit`.

    Raises:
        MissingDependencyError: when it is not installed.
    """
    try:
        import submitit  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        told = f"launcher=submitit: needs submitit, which the extra `slurm` installs ({error})"
        raise MissingDependencyError(told) from None
    return submitit


@contextmanager
def _submitting(changes: Mapping[str, str]) -> Iterator[None]:
    """Let jobs that inherit this environment find this package; what Slurm refuses is reported in one line."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError  # pyright: ignore[reportMissingImports]

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = changes["PYTHONPATH"]
    try:
        yield
    except (FailedJobError, FailedSubmissionError) as error:
        raise UsageError(f"launcher=submitit: the jobs were not taken: {error}") from None
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _status(job: Any, told: bool) -> int:
    """The status of a job that has ended; that of a killed process for one without a result."""
    from submitit.core.utils import FailedJobError, UncompletedJobError  # pyright: ignore[reportMissingImports]

    try:
        return job.result()
    except (FailedJobError, UncompletedJobError):
        return -signal.SIGUSR1 if told else -signal.SIGKILL
