"""Reports of errors: one line for what the user can mend, a traceback and a request for a defect.

Which of the two it is depends on the type of the error alone: members of `EnergyError`, errors of the file system,
and cautions that a strict run raises are for the user; running out of memory too. All else is a defect.
"""

import shlex
import sys
import traceback
from collections.abc import Sequence

from energy import __version__
from energy.cautions import Caution
from energy.errors import EnergyError, OutOfMemory
from energy.train.memory import lacks_memory, memory_line

FOR_THE_USER = (EnergyError, OSError, Caution)


def complaint(error: BaseException) -> str:
    """The line that says `error`; empty for a defect."""
    if lacks_memory(error) and not isinstance(error, OutOfMemory):
        return memory_line(error, "", "reduce the batch, the model or the data")
    return " ".join(str(error).split()) if isinstance(error, FOR_THE_USER) else ""


def defect(error: BaseException, words: Sequence[str] | None = None) -> str:
    """Print the traceback of a defect; the line that asks to report it, with the version and the command.

    Args:
        error: what was raised.
        words: the words after `energy`; those of the process unless given.
    """
    sys.stdout.flush()
    traceback.print_exception(error)
    command = shlex.join(["energy", *(sys.argv[1:] if words is None else words)])
    what = f"{type(error).__name__} in energy {__version__}: a defect"
    return f"{what}; please report it with the traceback above and the command: {command}"
