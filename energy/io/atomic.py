"""Files that appear whole or not at all, and the removal of what a killed writer left.

Beside its target, under `.writing-<name>-<random>`, a writer holds the kernel's lock on what it writes. What nobody
holds was left by a process that is gone, and is removed by the next writer of the same name or by `sweep_leftovers`.
"""

import fcntl
import glob
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from energy.io.plain_file import naming, require_kind

WRITING: Final = ".writing-"
REMOVING: Final = ".removing-"


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new binary file that takes the place of `path` at the end of the context, and is dropped on an error.

    It is written beside `path`, under a name that no other process or thread uses, forced to the disk, and renamed; so
    `path` holds either all of the new content or what it held before, also after a power cut. Missing parent folders
    are made.

    Raises:
        DamagedFileError: when `path` is a link, a folder, a pipe or a device.
        OSError: naming the file, when the system refuses.

    Example:
        >>> with replacing(folder / "array.npy") as file:  # doctest: +SKIP
        ...     np.save(file, array)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    require_kind(path)
    sweep_leftovers(path.parent, path.name)
    with naming(path):
        temporary, handle = _temporary(path)
        try:
            with open(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        force(path.parent)


def sweep_leftovers(folder: Path, name: str = "") -> None:
    """Remove what killed writers and removers of `name` left in `folder`; of everything, unless it is given.

    What a living process holds stays; so does everything where the file system has no locks.
    """
    with suppress(OSError):
        for left in (one for kind in (WRITING, REMOVING) for one in folder.glob(f"{kind}{glob.escape(name)}*")):
            with suppress(OSError):
                _remove_abandoned(left)


def unfinished(folder: Path) -> bool:
    """Return whether something in `folder` was left half-written, or is being written."""
    return any(next(folder.glob(f"{kind}*"), None) for kind in (WRITING, REMOVING))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to `path`, whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode())


def force(folder: Path) -> None:
    """Fsync a directory, so that its entries survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _temporary(path: Path) -> tuple[Path, int]:
    """A new file beside `path`, locked; made again if it was swept up before it was locked."""
    while True:
        temporary = path.with_name(f"{WRITING}{path.name}-{secrets.token_hex(4)}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return temporary, handle
        os.close(handle)


def _remove_abandoned(left: Path) -> None:
    """Remove a file or folder, unless a process holds it; of a link only the link itself."""
    mode = os.lstat(left).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        left.unlink()
        return
    handle = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(left) if stat.S_ISDIR(mode) else left.unlink()
    finally:
        os.close(handle)
