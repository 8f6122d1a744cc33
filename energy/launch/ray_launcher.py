"""Command lines as tasks of a Ray cluster, which places them by what they need and starts them again when killed."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from energy.component import ConfigurationError, require
from energy.errors import MissingDependencyError
from energy.launch.command_line import CommandLine, command_environment, package_root
from energy.launch.launcher import Launcher
from energy.launch.local_launcher import cores, gpus
from energy.train.interrupt import Interrupt

PAUSE: Final = 0.5  # seconds between two looks for a signal
STORE: Final = 80 * 2**20  # bytes of the object store, which nothing is put in; Ray asks for 75 MiB at least
SETTINGS: Final = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}  # nothing is sent; a run is no extra
GIB: Final = 2**30


class RayLauncher(Launcher, name="ray"):
    """Tasks of a Ray cluster, each of which starts its command line (extra `ray`).

    The folders and the Python of this process must be there on every node.

    Attributes:
        address: of the cluster, or `auto`; empty for one that is started here, on this machine, and stopped at the end.
        cpus: cores of each, which has as many threads.
        gpus: GPUs of each.
        memory: GiB of each, by which Ray places it; 0 for no demand.
        retries: times that one is started again after its process, its worker or its node was lost.
    """

    address: str = ""
    cpus: float = 1.0
    gpus: float = 0.0
    memory: float = 0.0
    retries: int = 2

    def __post_init__(self) -> None:
        require(0 < self.cpus < math.inf, self, "cpus", "above 0")
        for field in ("gpus", "memory", "retries"):
            require(0 <= getattr(self, field) < math.inf, self, field, "at least 0")
        for field in ("cpus", "gpus"):
            value = getattr(self, field)
            require(value < 1 or value == int(value), self, field, "a whole number from 1 on")

    def prepare(self) -> None:
        imported_ray()
        if not self.address:
            self.require_room(cores(), len(gpus()))

    def require_room(self, cpus: float, devices: float) -> None:
        """Refuse what no machine of a cluster that does not grow can hold, which Ray would wait for without end.

        Raises:
            ConfigurationError: naming the field and the limit.
        """
        for field, limit in (("cpus", cpus), ("gpus", devices)):
            if getattr(self, field) > limit:
                told = f"launcher.{field}={getattr(self, field):g}: must be at most the {limit:g} of this machine"
                raise ConfigurationError(told)

    def statuses(self, commands: Sequence[CommandLine], seconds: float = 0.0) -> Iterator[tuple[int, int]]:
        ray = imported_ray()  # before the handlers of signals, since it sets one
        with _cluster(ray, self), Interrupt(seconds) as interrupt:
            task = _task(ray, self)
            changes = command_environment(max(1, int(self.cpus)))
            given = (package_root(), os.getcwd(), changes)
            left = {task.remote(list(one.words), str(one.folder), *given): place for place, one in enumerate(commands)}
            told = False
            while left:
                ready, _ = ray.wait(list(left), num_returns=1, timeout=PAUSE)
                if interrupt.asked and not told:
                    told = True
                    for reference in left:
                        ray.cancel(reference)
                for reference in ready:
                    yield left.pop(reference), _status(ray, reference)
        if interrupt.number:
            raise interrupt.stopped("all have left; the same command goes on")

    def describe(self, commands: Sequence[CommandLine]) -> str:
        return f"tasks of {self.address or 'a Ray cluster on this machine'}, cores: {self.cpus:g}, GPUs: {self.gpus:g}"

    @property
    def offers_gpus(self) -> bool:
        return self.gpus > 0

    def options(self) -> dict[str, Any]:
        """Return what is asked of Ray for each task."""
        memory = {"memory": int(self.memory * GIB)} if self.memory else {}
        found = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": self.retries, **memory}
        return {**found, "retry_exceptions": [ChildProcessError] if self.retries else False}


def imported_ray() -> Any:
    """Return the module `ray`.

    Raises:
        MissingDependencyError: when it is not installed.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError(f"launcher=ray: needs ray, which the extra `ray` installs ({error})") from None
    return ray


@contextmanager
def _cluster(ray: Any, launcher: RayLauncher) -> Iterator[None]:
    """Be connected to the cluster, which is started and stopped here unless the launcher has an address."""
    own = {} if launcher.address else {"include_dashboard": False, "object_store_memory": STORE}
    before = signal.getsignal(signal.SIGTERM)  # Ray puts its own handler there
    ray.init(address=launcher.address or "local", log_to_driver=False, logging_level="ERROR", **own)
    try:
        if own:
            there = ray.cluster_resources()
            launcher.require_room(there.get("CPU", 0), there.get("GPU", 0))
        yield
    finally:
        ray.shutdown()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _task(ray: Any, launcher: RayLauncher) -> Any:
    """The task: a function that is sent whole, and finds this package on the node by its folder."""

    def carried_out(words: list[str], folder: str, root: str, here: str, changes: dict[str, str]) -> int:
        os.chdir(here)
        sys.path.insert(0, root)
        from energy.launch.attempt import ending, killed, leave, start_command, wait_for

        child = start_command(words, folder, changes)
        try:
            status = wait_for(child)
        except KeyboardInterrupt:  # the task is canceled
            leave(child)
            return wait_for(child)
        if killed(status):
            raise ChildProcessError(ending(status))  # for Ray to start it again
        return status

    return ray.remote(**launcher.options())(carried_out)


def _status(ray: Any, reference: Any) -> int:
    """The status of a task that has ended; that of a killed process for one that was lost."""
    try:
        return ray.get(reference)
    except (ray.exceptions.TaskCancelledError, KeyboardInterrupt):
        return -signal.SIGUSR1
    except ray.exceptions.RayError:
        return -signal.SIGKILL
