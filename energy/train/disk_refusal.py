"""The end of a run for a file that cannot be written: a full disk, a read-only folder, a missing permission."""

import contextlib
from pathlib import Path

from energy.errors import DiskError, EnergyError
from energy.io import checkpoint
from energy.io.record import CHECKPOINTS


def disk_refusal(folder: Path, error: OSError) -> DiskError:
    """Return the error to raise when the system refused a file of a run: the file, the reason, and what is left.

    Args:
        folder: the run folder.
        error: what the system said.
    """
    found: list[Path] = []
    with contextlib.suppress(OSError, EnergyError):
        found = checkpoint.steps(folder / CHECKPOINTS)
    left = f"the same command continues from {found[-1]}" if found else "no checkpoint had been written"
    return DiskError(f"{error.filename or folder}: {error.strerror or error}; {left}")
