"""The files of a published set: their places, their largest sizes, and their digests."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from energy.data.check import Examples
from energy.errors import DataError, shown
from energy.paths import expanded


class File(NamedTuple):
    """A file, which may also lie zipped as `name.gz`: the most bytes it may hold and, if published, its MD5.

    Both are about the contents, so that zipped and plain copies pass the same check.
    """

    name: str
    limit: int
    md5: str = ""


class Part(NamedTuple):
    """Files that are parsed together into examples of the split `train` or `test`."""

    split: str
    files: tuple[File, ...]


@dataclass(frozen=True)
class Layout:
    """One form in which a set is published; a file may lie in any of the folders, which are relative to the root."""

    title: str
    folders: tuple[str, ...]
    parts: tuple[Part, ...]
    parse: Callable[[list[bytearray]], Examples]
    first_label: int = 0

    @property
    def files(self) -> list[File]:
        """The files of all parts."""
        return [file for part in self.parts for file in part.files]

    def locate(self, root: Path) -> dict[File, Path | None]:
        """Return the path of each file of the set under `root`; None for a file that is not there."""
        return {file: self._find(file, root) for file in self.files}

    def _find(self, file: File, root: Path) -> Path | None:
        places = (root / folder / name for folder in self.folders for name in (file.name, f"{file.name}.gz"))
        return next((path for path in places if path.is_file()), None)


def data_root() -> Path:
    """Return the folder of the data sets: `$ENERGY_DATA`, else `~/.local/share/energy`."""
    return expanded(os.environ.get("ENERGY_DATA") or "~/.local/share/energy")


def require_size(path: Path, file: File) -> None:
    """Refuse a file that holds more than it may, before it is read; packing makes no file much longer.

    Raises:
        DataError: naming the file and the limit.
    """
    most = file.limit + file.limit // 64 + 4096 if path.suffix == ".gz" else file.limit
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    if size > most:
        raise DataError(f"{shown(path)}: holds more than the {file.limit} bytes that {file.name} may have")


def content(path: Path, file: File, verify: bool) -> bytearray:
    """Read everything in `path`, unzipped if need be, after checking its size and its published digest.

    The digest is taken from the very bytes that are returned, so nothing can change in between.

    Raises:
        DataError: when the file holds too much, is cut off, or differs from the published one.
    """
    try:
        with path.open("rb") as plain, gzip.open(plain) if path.suffix == ".gz" else plain as stream:
            data = _take(stream, file.limit)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{shown(path)}: cannot be read: {shown(str(error))}") from None
    if len(data) > file.limit:
        raise DataError(f"{shown(path)}: holds more than the {file.limit} bytes that {file.name} may have")
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest() if verify and file.md5 else file.md5
    if digest != file.md5:
        raise DataError(f"{shown(path)}: its contents have the MD5 {digest}; published is {file.md5}; fetch it again")
    return data


def _take(stream: BinaryIO | gzip.GzipFile, limit: int) -> bytearray:
    data = bytearray()
    while len(data) <= limit and (chunk := stream.read(1 << 24)):
        data += chunk
    return data
