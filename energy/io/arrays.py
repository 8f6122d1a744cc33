"""NumPy's `.npz` archives by a grammar of our own: sizes are compared before anything is unpacked or allocated.

An archive ends where its directory says, holds no name twice, and unpacks to no more than its limit. An array is of
plain numbers or letters, the smallest byte first; its header is one line of the form that NumPy writes, and its bytes
are as many as the header announces.

References:
    numpy.lib.format, "Format Version 1.0"; PKWARE, .ZIP File Format Specification, 4.3.
"""

import io
import math
import re
import sys
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO, Final, NamedTuple

import numpy as np

from energy.errors import DamagedFileError, shown

ENTRIES: Final = 4096  # arrays of an archive
DIRECTORY: Final = 1 << 20  # bytes of its directory
HEAD: Final = 10_000  # bytes of the header of an array
CHUNK: Final = 1 << 20  # bytes that are unpacked at once
DENSE: Final = 1 << 24  # bytes from which on an entry must not be packed closer than RATIO
RATIO: Final = 20
END: Final = b"PK\x05\x06"  # begins the record of 22 bytes that ends an archive
LARGE: Final = b"PK\x06\x07"  # begins the record before it in archives of more than 4 GiB
PACKINGS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
FAULTS: Final = (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError, NotImplementedError)
HEADER: Final = re.compile(
    r"\{'descr': '(?P<order>[<>=|]?)(?P<kind>[A-Za-z])(?P<size>[0-9]{0,7})', "
    r"'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(?:[0-9]{1,12}L?, ?)*(?:[0-9]{1,12}L?)?)\),? ?\} *\n?",
    re.ASCII,
)
VERSIONS: Final = {b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4}  # bytes of the header's length
NUMBERS: Final = frozenset({"b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"})


class Header(NamedTuple):
    """The description of an array: its shape, whether it is stored by column, and the type of its elements."""

    shape: tuple[int, ...]
    fortran: bool
    kind: np.dtype

    @property
    def size(self) -> int:
        """Its bytes."""
        return math.prod(self.shape) * self.kind.itemsize


def npz_arrays(content: bytes | bytearray, limit: int, names: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Read arrays of an archive.

    Args:
        content: the archive.
        limit: the most bytes that the entries that are read may unpack to together.
        names: the arrays that are wanted; all of them unless given.

    Raises:
        DamagedFileError: for an archive that is damaged, lacks an array, or holds one that is not plain; without the
            name of the file.
    """
    try:
        with _opened(content) as archive:
            found = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            for name in names:
                if name not in found:
                    raise DamagedFileError(f"has no entry {name}.npy; it has {shown(', '.join(archive.namelist()))}")
            wanted = {name: found[name] for name in names or found}
            _limit(wanted.values(), limit)
            return {name: _array(archive, member) for name, member in wanted.items()}
    except DamagedFileError:
        raise
    except FAULTS as error:
        raise DamagedFileError(f"not a readable npz archive, damaged or cut off: {shown(str(error))}") from None


def array_header(text: bytes, name: str = "the array") -> Header:
    """Read the header of an array.

    Args:
        text: the header, without the length before it.
        name: the array, for the message.

    Raises:
        DamagedFileError: for one that is not of the form that NumPy writes for plain numbers or letters.
    """
    match = HEADER.fullmatch(str(text, "latin1"))
    if match is None:
        raise DamagedFileError(f"{name} has a header that NumPy does not write: {shown(str(text[:200], 'latin1'))}")
    code, order = match["kind"] + match["size"], match["order"]
    if match["kind"] == "O":
        raise DamagedFileError(f"{name} is an array of objects, which are never read")
    letters = match["kind"] == "U" and 0 < int(match["size"] or 0) <= 1 << 20
    if not (code in NUMBERS or letters):
        raise DamagedFileError(f"{name} is of type {shown(code)}; must be plain numbers or letters")
    if order not in ("<", "=") and not (order == "|" and code.endswith("1") and not letters):
        raise DamagedFileError(f"{name} is of type {shown(order + code)}; must have the smallest byte first: <{code}")
    shape = tuple(int(size.strip().rstrip("L")) for size in match["shape"].split(",") if size.strip())
    if len(shape) > 8:
        raise DamagedFileError(f"{name} has {len(shape)} axes; must have at most 8")
    return Header(shape, match["fortran"] == "True", np.dtype(f"<{code}"))


@contextmanager
def _opened(content: bytes | bytearray) -> Iterator[zipfile.ZipFile]:
    """The archive, once its directory is known to be small and to end it."""
    end = bytes(content[-22:])
    if len(end) < 22 or end[:4] != END or end[20:] != b"\0\0" or not content.startswith(b"PK\x03\x04"):
        raise DamagedFileError("not a readable npz archive: damaged, cut off, or something stands before or behind it")
    size, start = int.from_bytes(end[12:16], "little"), int.from_bytes(end[16:20], "little")
    if content[-42:-38] == LARGE or size > DIRECTORY or start + size + 22 != len(content):
        raise DamagedFileError(
            f"its directory has {size} bytes from {start} on, of {len(content)}; must end it, in at most {DIRECTORY}"
        )
    with zipfile.ZipFile(_View(content)) as archive:
        names = archive.namelist()
        if len(names) > ENTRIES or len({*names}) < len(names):
            raise DamagedFileError(f"has {len(names)} entries; must have at most {ENTRIES}, each name once")
        yield archive


def _limit(members: Collection[zipfile.ZipInfo], limit: int) -> None:
    """Compare the sizes that an archive announces with the limits."""
    total = sum(member.file_size for member in members)
    if total > limit:
        raise DamagedFileError(f"unpacks to {total} bytes; must be at most {limit}")
    for member in members:
        if member.compress_type not in PACKINGS:
            raise DamagedFileError(f"{shown(member.filename)} is packed in an unusual way; must be stored or deflated")
        if member.file_size > max(DENSE, RATIO * member.compress_size):
            found = f"{shown(member.filename)} unpacks from {member.compress_size} to {member.file_size} bytes"
            raise DamagedFileError(f"{found}; from {DENSE} on, must be at most {RATIO} times as many")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    name = shown(member.filename)
    with archive.open(member) as stream:
        header, start = _header(stream, name)
        if header.size != member.file_size - start:
            held = f"{member.file_size - start} bytes"
            raise DamagedFileError(f"{name} announces {header.kind} of shape {header.shape} but holds {held}")
        flat, at = np.empty(header.size, np.uint8), 0
        while chunk := stream.read(CHUNK):
            if at + len(chunk) > len(flat):
                raise DamagedFileError(f"{name} unpacks to more bytes than it announces")
            flat[at : at + len(chunk)] = np.frombuffer(chunk, np.uint8)
            at += len(chunk)
    if at < len(flat):
        raise DamagedFileError(f"{name} is cut off after {at} of {len(flat)} bytes")
    if header.kind.kind == "U" and flat.size and int(flat.view("<u4").max()) > sys.maxunicode:
        raise DamagedFileError(f"{name} holds a letter above {sys.maxunicode:#x}")
    return flat.view(header.kind).reshape(header.shape, order="F" if header.fortran else "C")


def _header(stream: IO[bytes], name: str) -> tuple[Header, int]:
    """The header of an array, and the place at which its values begin."""
    magic = stream.read(8)
    width = VERSIONS.get(magic)
    if width is None:
        if magic[:6] == b"\x93NUMPY" and len(magic) == 8:
            said = f"version {tuple(magic[6:])} of the npy format; must be 1.0 or 2.0"
            raise DamagedFileError(f"{name} is written in {said}")
        raise DamagedFileError(f"{name} is no array: it begins with {magic.hex(' ')}")
    length = int.from_bytes(stream.read(width), "little")
    if length > HEAD:
        raise DamagedFileError(f"{name} has a header of {length} bytes; must have at most {HEAD}")
    return array_header(stream.read(length), name), 8 + width + length


class _View(io.RawIOBase):
    """A file over bytes that are not copied."""

    def __init__(self, content: bytes | bytearray) -> None:
        self.content, self.at = memoryview(content), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = max(0, offset + (0, self.at, len(self.content))[whence])
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: bytearray) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        found = self.content[self.at : self.at + len(buffer)]
        buffer[: len(found)] = found
        self.at += len(found)
        return len(found)
