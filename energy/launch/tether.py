"""The start of a command line: `python -m energy.launch.tether SIGNAL PARENT FOLDER WORD ...` becomes the command.

On Linux the command gets the signal when the process that started it ends, however that ends, so that no run goes on
alone. A run that was just told to leave may still be saving in the folder; it is waited for.
"""

import ctypes
import fcntl
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PATIENCE: Final = 30.0  # seconds that another process in the folder is waited for
PAUSE: Final = 0.1
PARENT_DEATH: Final = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


def become(words: Sequence[str]) -> None:
    """Replace this process by a command.

    Args:
        words: the number of the signal, the process that must be the parent, the folder, and the command.
    """
    number, parent, folder, *command = words
    die_with_parent(int(number))
    if os.getppid() != int(parent):  # it ended before the signal was arranged
        sys.exit(128 + int(number))
    wait_for_lock(Path(folder) / ".lock", PATIENCE)
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"energy: {command[0]}: {error.strerror}")


def die_with_parent(number: int) -> None:
    """Ask the kernel to send this process a signal when its parent ends; nothing but Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH, number)


def wait_for_lock(path: Path, seconds: float) -> bool:
    """Wait until no process holds the lock of a run folder; False if one still does after `seconds`."""
    if not path.exists():
        return True
    deadline = time.monotonic() + seconds
    with path.open("r+b") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(PAUSE)
            except OSError:  # a file system without locks
                return True
            else:
                return True


if __name__ == "__main__":
    become(sys.argv[1:])
