"""The end of a run for lack of memory, with its state saved if that is whole."""

import contextlib

from energy.errors import OutOfMemory
from energy.io import checkpoint
from energy.io.record import CHECKPOINTS
from energy.train.memory import memory_line
from energy.train.session import Session


def out_of_memory(session: Session | None, error: BaseException) -> OutOfMemory:
    """Return the error to raise when memory ran out; state is saved between two steps, not within one."""
    if session is None:
        return OutOfMemory(memory_line(error, "before the first step", "reduce the model, or data.limit"))
    found = checkpoint.steps(session.folder / CHECKPOINTS)
    with contextlib.suppress(MemoryError, RuntimeError, OSError):
        found += [] if session.doing == "in a step" else [session.save()]
    where = f"{session.doing}, after step {session.step}"
    left = f"the same command continues from {found[-1]}" if found else "no checkpoint had been written"
    return OutOfMemory(f"{memory_line(error, where, f'reduce {session.cure}')}; {left}")
