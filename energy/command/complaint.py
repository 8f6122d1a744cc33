"""Reports of errors: one line for an error that the user can mend, a traceback and a request to report a defect.

The type of the error alone decides between the two: an `EnergyError`, an error of the file system, a caution raised in
a strict run, and a lack of memory are for the user. Every other error is a defect.
"""

import shlex
import sys
import traceback
from collections.abc import Sequence

from energy import __version__
from energy.cautions import Caution
from energy.errors import LINE, EnergyError, OutOfMemory, shown
from energy.train.memory import lacks_memory, memory_line

FOR_THE_USER = (EnergyError, OSError, Caution)


def complaint(error: BaseException) -> str:
    """Return the line that reports `error`; empty for a defect."""
    if lacks_memory(error) and not isinstance(error, OutOfMemory):
        return memory_line(error, "", "reduce the batch, the model or the data")
    return shown(" ".join(str(error).split()), LINE) if isinstance(error, FOR_THE_USER) else ""


def defect(error: BaseException, words: Sequence[str] | None = None) -> str:
    """Print the traceback of a defect.

    Args:
        error: the exception.
        words: the words after `energy`; those of the process unless given.

    Returns:
        The line that asks to report it, with the version and the command.
    """
    sys.stdout.flush()
    traceback.print_exception(error)
    command = shown(shlex.join(["energy", *(sys.argv[1:] if words is None else words)]), LINE)
    what = f"{type(error).__name__} in energy {__version__}: a defect"
    return f"{what}; please report it with the traceback above and the command: {command}"
