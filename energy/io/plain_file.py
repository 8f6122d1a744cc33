"""Plain files: regular ones of a bounded size, opened without following a link and without waiting for a pipe."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from energy.errors import DamagedFileError, MissingFileError

KINDS: Final = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFREG: "a file",
}
FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CHUNK: Final = 1 << 24  # bytes


def read_plain(path: Path, limit: int, error: type[DamagedFileError] = DamagedFileError) -> bytes:
    """Read a regular file; its parent folders may be links, it itself may not.

    Args:
        path: the file.
        limit: the greatest number of bytes; not one more is read, also of a file that grows meanwhile.
        error: the class of errors to raise.

    Raises:
        MissingFileError: when there is no such file.
        DamagedFileError: or `error`, for a link, folder, pipe, socket or device, and for a file above `limit`.
        OSError: when the system refuses to read it.
    """
    require_kind(path, stat.S_IFREG, error)
    try:
        handle = os.open(path, FLAGS)
    except FileNotFoundError:
        raise MissingFileError(f"{path}: there is no such file") from None
    except OSError as found:
        if found.errno not in (errno.ELOOP, errno.ENXIO):  # it was replaced by a link or a socket just now
            raise
        raise error(f"{path}: is not a regular file") from None
    try:
        seen = os.fstat(handle)
        if not stat.S_ISREG(seen.st_mode):
            raise error(f"{path}: is {kind_of(seen.st_mode)}, must be a file")
        if seen.st_size > limit:
            raise error(f"{path}: has {seen.st_size} bytes, must have at most {limit}")
        return _bounded(handle, path, limit, error)
    finally:
        os.close(handle)


def require_kind(path: Path, kind: int = stat.S_IFREG, error: type[DamagedFileError] = DamagedFileError) -> bool:
    """Refuse a path that is there but of another kind than `kind`; a link, also a dangling one, is never followed.

    Args:
        path: the path.
        kind: `stat.S_IFREG` for a file, `stat.S_IFDIR` for a folder.
        error: the class of errors to raise.

    Returns:
        Whether there is anything at `path`.

    Raises:
        DamagedFileError: or `error`, naming the path and what it is.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        raise error(f"{path}: {path.parent} is no folder") from None
    if stat.S_IFMT(mode) != kind:
        raise error(f"{path}: is {kind_of(mode)}, must be {KINDS[kind]}")
    return True


@contextmanager
def opened_to_write(path: Path, flags: int) -> Iterator[int]:
    """Open a regular file that may be new, as `os.open` does with `flags`, but neither through a link nor a pipe.

    Raises:
        DamagedFileError: when `path` is anything but a regular file.
        OSError: naming the file, when the system refuses.
    """
    require_kind(path)
    handle = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise DamagedFileError(f"{path}: is {kind_of(mode)}, must be a file")
        yield handle
    finally:
        os.close(handle)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of the system that name no file, such as that of a full disk, name `path`."""
    try:
        yield
    except OSError as found:
        if found.filename is None and found.errno is not None:
            found.filename = str(path)
        raise


def kind_of(mode: int) -> str:
    """Say what a file is by its mode: a symbolic link, a folder, a named pipe …"""
    return KINDS.get(stat.S_IFMT(mode), "something that is no file")


def _bounded(handle: int, path: Path, limit: int, error: type[DamagedFileError]) -> bytes:
    blob = bytearray()
    while chunk := os.read(handle, min(CHUNK, limit + 1 - len(blob))):
        blob += chunk
        if len(blob) > limit:
            raise error(f"{path}: grew above {limit} bytes while it was read")
    return bytes(blob)
