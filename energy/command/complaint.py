"""What becomes of an error: one line for a message, a traceback for a defect."""

from typing import Final

from energy.cautions import Caution
from energy.train.memory import OutOfMemory, lacks_memory, memory_line

OURS: Final = ("energy",)


def complaint(error: BaseException) -> str:
    """The line that says ``error``; empty for a defect of the program, whose traceback is wanted."""
    if lacks_memory(error) and not isinstance(error, OutOfMemory):
        return memory_line(error, "", "reduce the batch, the model or the data")
    return " ".join(str(error).split()) if _said_by_us(error) else ""


def _said_by_us(error: BaseException) -> bool:
    """Whether the error is a message of this project, or of the file system, rather than a defect."""
    if isinstance(error, OSError | Caution):
        return True
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return place.partition(".")[0] in OURS
