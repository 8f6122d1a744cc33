"""Files that appear whole or not at all."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new binary file that takes the place of `path` at the end of the context, and is dropped on an error.

    It is written beside `path`, under a name that no other process or thread uses, forced to the disk, and renamed; so
    `path` holds either all of the new content or what it held before, also after a power cut. Missing parent folders
    are made.

    Example:
        >>> with replacing(folder / "array.npy") as file:  # doctest: +SKIP
        ...     np.save(file, array)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".writing-{path.name}-{os.getpid()}-{threading.get_ident()}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    force(path.parent)


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
