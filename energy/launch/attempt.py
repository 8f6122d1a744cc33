"""One attempt at a command line: a process of its own, whose output goes to the end of the log in its folder."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from energy.train.interrupt import CAUGHT

LOG: Final = "log.txt"
LEAVE: Final = signal.SIGUSR1  # a run that gets it saves and leaves, however often it comes
PAUSE: Final = 0.1  # seconds between two looks at a process


def start_command(
    words: Sequence[str], folder: str, changes: Mapping[str, str], apart: bool = True
) -> subprocess.Popen[bytes]:
    """Start a command line.

    Args:
        words: the program and its arguments.
        folder: that its log is in; made if it is not there.
        changes: variables of the environment that it gets beside those of this process.
        apart: whether it has a session of its own, which the keys of the terminal do not reach.

    Raises:
        OSError: when the folder or the log cannot be written.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    tether = [sys.executable, "-m", "energy.launch.tether", str(int(LEAVE)), str(os.getpid()), folder]
    with (Path(folder) / LOG).open("ab") as log:
        return subprocess.Popen(
            [*tether, *words],
            env={**os.environ, **changes},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=apart,
        )


def wait_for(child: subprocess.Popen[bytes]) -> int:
    """Wait for a process and return its status; signals of this process are handled in between."""
    while (status := child.poll()) is None:
        time.sleep(PAUSE)
    return status


def leave(child: subprocess.Popen[bytes]) -> None:
    """Let a run save and leave."""
    if child.poll() is None:
        child.send_signal(LEAVE)


def killed(status: int) -> bool:
    """True for a process that a signal ended, at once (negative) or after saving (128 + the signal)."""
    return status < 0 or status > 128


def left_in_order(status: int) -> bool:
    """True for a process that was asked to leave, by a signal that a run saves its state upon."""
    return killed(status) and (-status if status < 0 else status - 128) in CAUGHT


def ending(status: int) -> str:
    """Describe the end of a process in words."""
    if not killed(status):
        return f"exit status {status}"
    number = -status if status < 0 else status - 128
    name = signal.Signals(number).name if number in [*signal.Signals] else f"signal {number}"
    return f"killed by {name}" if status < 0 else f"left after {name}"
