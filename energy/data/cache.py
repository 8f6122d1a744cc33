"""The cache: a set is converted once, into one file that needs no parsing.

The file is `<set>-<key>.safetensors`; the key is a hash of the rules of conversion and the places of the sources.
Beside its arrays it holds their SHA-256, and of every source size, time, inode and SHA-256. An entry counts only if all
of these are those of now, and if it is a plain file of this user; any other is ignored and written anew. It appears
whole, by one rename, or not at all. Its arrays are read into memory before they are hashed, so nothing that happens to
the file afterwards reaches a training. If nothing can be written, the set is converted each time.
"""

import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from energy.data.check import Examples, Raw
from energy.errors import DamagedFileError, DataError, shown
from energy.paths import expanded

FORMAT: Final = 2
HEADER: Final = 1 << 20  # bytes of the header
CHUNK: Final = 1 << 24  # bytes that are read at once
SETTLED: Final = 2_000_000_000  # nanoseconds after which a change would show in the time of a file
TYPES: Final = {"U8": torch.uint8, "I64": torch.int64, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}
FACTS: Final = "facts"  # the array of letters in which an entry tells what it was made of
LEFTOVER: Final = re.compile(r"\.[\w-]+-[0-9a-f]{16}-\w+")
DIGESTS: Final[dict[tuple[int, ...], str]] = {}  # of sources, by device, inode, size and times


class SourceFacts(NamedTuple):
    """A source as it is now."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    sha256: str


def cache_root() -> Path:
    """Return `$ENERGY_CACHE`, else `~/.cache/energy`."""
    return expanded(os.environ.get("ENERGY_CACHE") or "~/.cache/energy")


def source_facts(paths: Sequence[Path]) -> list[SourceFacts]:
    """Return size, time, inode and digest of every source; a file is hashed once per process while it stays the same.

    Raises:
        DataError: for a file that cannot be read.
    """
    try:
        return [_facts(path) for path in paths]
    except OSError as error:
        raise DataError(f"{shown(error.filename or 'source')}: cannot be read: {error.strerror}") from None


def cached(name: str, rules: object, paths: Sequence[Path], limit: int, convert: Callable[[], Raw]) -> Raw:
    """Return the result of `convert`, from the cache if it is there, whole, and made of the very sources.

    Args:
        name: the set.
        rules: everything that the conversion depends on beside the sources; anything that JSON can hold.
        paths: the sources.
        limit: the most bytes that the arrays may have.
        convert: reads the set from its sources.

    Raises:
        DataError: for a source that cannot be read.
    """
    facts = source_facts(paths)
    places = [one.path for one in facts]
    key = hashlib.sha256(json.dumps([FORMAT, rules, places]).encode()).hexdigest()[:16]
    path = cache_root() / f"{name}-{key}.safetensors"
    sources = _made_of(json.dumps([FORMAT, rules, facts]))
    found = _loaded(path, sources, limit)
    if found is not None:
        return found
    raw = convert()
    if source_facts(paths) == facts:  # nobody changed a source meanwhile
        with contextlib.suppress(OSError, SafetensorError):
            _save(raw, path, sources)
    return raw


def _made_of(told: str) -> str:
    """The sources of an entry, as they are written in it; of very many a digest."""
    return told if len(told) < HEADER // 4 else hashlib.sha256(told.encode()).hexdigest()


def _facts(path: Path) -> SourceFacts:
    with path.open("rb") as stream:
        found = os.fstat(stream.fileno())
        key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        digest = DIGESTS.get(key) or hashlib.file_digest(stream, "sha256").hexdigest()
        if time.time_ns() - found.st_ctime_ns > SETTLED:
            DIGESTS[key] = digest
    return SourceFacts(str(path.resolve()), found.st_size, found.st_mtime_ns, found.st_ino, digest)


def _loaded(path: Path, sources: str, limit: int) -> Raw | None:
    """The set in an entry; None if there is no entry of these sources, or not a sound one."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as stream:
        try:
            tensors = _tensors_of(stream, found.st_size, sources, limit)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
    return Raw(*(Examples(*(tensors[f"{split}.{field}"] for field in Examples._fields)) for split in Raw._fields))


def _tensors_of(stream: BufferedReader, size: int, sources: str, limit: int) -> dict[str, Tensor]:
    """The arrays of an entry, in memory of this process.

    Raises:
        DamagedFileError: for an entry of other sources, and for one that differs from what was written.
    """
    length = int.from_bytes(stream.read(8), "little")
    if length > min(HEADER, size):
        raise DamagedFileError("no header")
    described = json.loads(stream.read(length))
    rest = size - 8 - length
    places = {name: _place(one, rest) for name, one in described.items()}
    if {*places} != {FACTS, *_names()} or sum(end - start for _, start, end in places.values()) != rest:
        raise DamagedFileError("of another form")
    _, start, end = places.pop(FACTS)
    if end - start > HEADER or rest - (end - start) > limit:
        raise DamagedFileError("too large")
    stream.seek(8 + length + start)
    made_of, digest = json.loads(stream.read(end - start))
    if made_of != sources:
        raise DamagedFileError("made of other sources")
    stream.seek(8 + length)
    data = memoryview(bytearray(rest))
    at = 0
    while count := stream.readinto(data[at : at + CHUNK]):
        at += count
    if at < rest:
        raise DamagedFileError("cut off")
    tensors = {
        name: torch.frombuffer(data, dtype=kind, offset=start, count=(end - start) // kind.itemsize)
        if end > start
        else torch.empty(0, dtype=kind)
        for name, (kind, start, end) in places.items()
    }
    shaped = {name: tensor.reshape(described[name]["shape"]) for name, tensor in tensors.items()}
    if _digest(shaped) != digest:
        raise DamagedFileError("changed")
    return shaped


def _place(one: Mapping[str, Any], rest: int) -> tuple[torch.dtype, int, int]:
    """The type of an array, and where it begins and ends."""
    kind, shape = TYPES[one["dtype"]], one["shape"]
    start, end = one["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (start, end, *shape)):
        raise DamagedFileError("no sizes")
    if math.prod(shape) * kind.itemsize != end - start or end > rest or start % kind.itemsize:
        raise DamagedFileError("no place")
    return kind, start, end


def _names() -> list[str]:
    return [f"{split}.{field}" for split in Raw._fields for field in Examples._fields]


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of arrays, each after its name, type and shape."""
    found = hashlib.sha256()
    for name in _names():
        tensor = tensors[name]
        found.update(f"{json.dumps([name, str(tensor.dtype), list(tensor.shape)])}\n".encode())
        if tensor.numel():
            found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _save(raw: Raw, path: Path, sources: str) -> None:
    """Write an entry, and sweep what killed conversions have left."""
    parts = [tensor.contiguous() for examples in raw for tensor in examples]
    tensors = dict(zip(_names(), parts, strict=True))
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=folder) as work, _held(Path(work)):
        part = Path(work, "part.safetensors")
        facts = json.dumps([sources, _digest(tensors)]).encode()
        save_file({**tensors, FACTS: torch.frombuffer(bytearray(facts), dtype=torch.uint8)}, part)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)


def _sweep(folder: Path) -> None:
    """Remove the temporary folders that no process holds."""
    for path in folder.iterdir():
        if LEFTOVER.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError), _held(path):
                shutil.rmtree(path)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a temporary folder as long as this process lives.

    Raises:
        OSError: when another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
