"""Command lines on this machine, several processes at a time."""

import os
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from energy.component import require
from energy.launch.attempt import PAUSE, ending, killed, leave, start_command, wait_for
from energy.launch.command_line import CommandLine, command_environment
from energy.launch.launcher import Launcher
from energy.train.interrupt import Interrupt
from energy.train.terminal import say


@dataclass(frozen=True)
class LocalProcess:
    """A process that carries out a command line.

    Attributes:
        place: of the command line among all.
        attempts: how often it was started before.
        child: the process.
    """

    place: int
    attempts: int
    child: subprocess.Popen[bytes]


class LocalLauncher(Launcher, name="local"):
    """Processes of this machine. Each has its share of the cores, and one of the GPUs if it wants one.

    Attributes:
        workers: processes at a time; 0 for as many as the cores have room for, and no more than there are GPUs where
            they are wanted.
        threads: of each process; 0 for one, or for the cores divided by `workers` where that is given. The last digits
            of a training depend on it.
        retries: times that a killed process is started again.
    """

    workers: int = 0
    threads: int = 0
    retries: int = 2

    def __post_init__(self) -> None:
        for field in ("workers", "threads", "retries"):
            require(getattr(self, field) >= 0, self, field, "at least 0")

    def statuses(self, commands: Sequence[CommandLine], seconds: float = 0.0) -> Iterator[tuple[int, int]]:
        waiting = deque((place, 0) for place in range(len(commands)))
        running: dict[int, LocalProcess] = {}
        slots = range(self.workers_for(commands))
        told = False
        with Interrupt(seconds) as interrupt:
            try:
                while running or (waiting and not interrupt.asked):
                    if interrupt.asked and not told:
                        told = True
                        _leave_all(running)
                    for slot in [slot for slot in slots if slot not in running and not interrupt.asked]:
                        yield from self._fill(slot, waiting, running, commands)
                    for worker, status in _ended(running):
                        if killed(status) and worker.attempts < self.retries and not interrupt.asked:
                            again = f"started again, {worker.attempts + 1} of {self.retries}"
                            say(True, f"energy: {commands[worker.place].name}: {ending(status)}; {again}")
                            waiting.appendleft((worker.place, worker.attempts + 1))
                        else:
                            yield worker.place, status
                    time.sleep(PAUSE)
            finally:
                _leave_all(running)
                for worker in running.values():
                    wait_for(worker.child)
        if interrupt.number:
            raise interrupt.stopped("all have left; the same command goes on")

    def _fill(
        self,
        slot: int,
        waiting: deque[tuple[int, int]],
        running: dict[int, LocalProcess],
        commands: Sequence[CommandLine],
    ) -> Iterator[tuple[int, int]]:
        """Start the next command line in a slot; one that cannot be started ends with status 1."""
        if not waiting:
            return
        place, attempts = waiting.popleft()
        command = commands[place]
        try:
            changes = self.environment_of(slot, command)
            running[slot] = LocalProcess(place, attempts, start_command(command.words, str(command.folder), changes))
        except OSError as error:
            say(True, f"energy: {command.name}: {error}")
            yield place, 1

    def workers_for(self, commands: Sequence[CommandLine]) -> int:
        """Return the number of processes at a time."""
        if self.workers:
            return self.workers
        most = max(1, cores() // self.threads_each)
        found = gpus() if any(command.gpu for command in commands) else []
        return min(most, len(found)) if found else most

    @property
    def threads_each(self) -> int:
        """Threads of each process."""
        return self.threads or (max(1, cores() // self.workers) if self.workers else 1)

    def environment_of(self, slot: int, command: CommandLine) -> dict[str, str]:
        """Return the environment of a command line in the slot with this number: its threads, and its GPU in turn."""
        found = gpus() if command.gpu else []
        dealt = {"CUDA_VISIBLE_DEVICES": found[slot % len(found)]} if found else {}
        return {**command_environment(self.threads_each), **dealt}

    def describe(self, commands: Sequence[CommandLine]) -> str:
        most = min(self.workers_for(commands), len(commands))
        return f"{most} at a time, threads: {self.threads_each} each"

    @property
    def offers_gpus(self) -> bool:
        return bool(gpus())


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """Return the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` calls them."""
    import torch

    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = map(str, range(count)) if visible is None else (one.strip() for one in visible.split(","))
    return list(names)[:count]


def _ended(running: dict[int, LocalProcess]) -> list[tuple[LocalProcess, int]]:
    """Take the processes that have ended out of their slots."""
    found = [(slot, worker.child.poll()) for slot, worker in running.items()]
    return [(running.pop(slot), status) for slot, status in found if status is not None]


def _leave_all(running: dict[int, LocalProcess]) -> None:
    for worker in running.values():
        leave(worker.child)
