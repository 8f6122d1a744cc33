"""What holds of a folder at every moment: a file that has its final name is whole, and so is a checkpoint."""

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

TEMPORARY: Final = re.compile(r"\.(writing|removing)-.+")
LOCK: Final = re.compile(r"\.(.+\.)?lock")
CHECKPOINT: Final = re.compile(r"step-\d{6}(-open)?")
INSIDE: Final = {"tensors.safetensors", "facts.json", "manifest.json"}
OF_ONE_WORD: Final = {"log.txt"}  # written as it is said, by the process itself

Signature = tuple[int, int, int]


class Watch:
    """Looks at a folder again and again, and reads whatever has changed since the last look.

    Attributes:
        broken: what was found that does not hold.
        looks: number of looks.
        read: number of files and checkpoints that were read.
        cut: number of looks at a record whose last line was being written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken: list[str] = []
        self.looks = 0
        self.read = 0
        self.cut = 0
        self.seen: dict[str, Signature] = {}

    def look(self) -> bool:
        """Look once; true if anything has changed since the last look."""
        self.looks += 1
        now: dict[str, Signature] = {}
        for entry in entries(self.folder):
            signature = signed(entry.path)
            if signature is None:
                continue
            now[entry.path] = signature
            if self.seen.get(entry.path) != signature:
                self._read(entry, signature)
        changed, self.seen = now != self.seen, now
        return changed

    def _read(self, entry: os.DirEntry[str], signature: Signature) -> None:
        """Read a file or a checkpoint; what does not hold is a finding if the same one is still there afterwards."""
        path = Path(entry.path)
        if TEMPORARY.fullmatch(path.name) or LOCK.fullmatch(path.name) or path.name in OF_ONE_WORD:
            return
        self.read += 1
        try:
            found = incomplete(path) if CHECKPOINT.fullmatch(path.name) else self._half(path)
        except FileNotFoundError as error:
            found = f"{error.filename} is not there"
        again = signed(entry.path)
        if found and again is not None and again[0] == signature[0]:
            self.broken.append(f"{path.relative_to(self.folder)}: {found}")

    def _half(self, path: Path) -> str:
        if path.suffix not in WHOLE:
            return "nobody said what a file of this name promises"
        data = path.read_bytes()
        if path.suffix == ".jsonl" and not data.endswith(b"\n") and data:
            self.cut += 1
        return "" if WHOLE[path.suffix](data) else f"is not whole: {len(data)} bytes, {data[:40]!r} ... {data[-40:]!r}"


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All files below a folder, and its checkpoints and temporary names, whose inside is left aside."""
    try:
        with os.scandir(folder) as found:
            here = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in here:
        whole = CHECKPOINT.fullmatch(entry.name) or TEMPORARY.fullmatch(entry.name)
        if whole or not entry.is_dir(follow_symlinks=False):
            yield entry
        else:
            yield from entries(Path(entry.path))


def signed(path: str) -> Signature | None:
    """What tells one state of a file from another: inode, size, time; None if there is none."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def incomplete(folder: Path) -> str:
    """What a checkpoint lacks by its own manifest; empty if it is complete."""
    names = {entry.name for entry in os.scandir(folder)}
    if names != INSIDE:
        return f"holds {sorted(names)}"
    manifest = (folder / "manifest.json").read_bytes()
    if not _json(manifest):
        return "manifest.json is not whole"
    listed = json.loads(manifest)["files"]
    if {*listed, "manifest.json"} != INSIDE:
        return f"lists {sorted(listed)}"
    for name, said in listed.items():
        data = (folder / name).read_bytes()
        if said != {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}:
            return f"{name} is not what the manifest says"
    return ""


def left_over(folder: Path) -> list[str]:
    """Temporary names below a folder, and checkpoints of what is finished."""
    found = [path for path in folder.rglob("*") if TEMPORARY.fullmatch(path.name) or path.name.startswith("damaged-")]
    return sorted(str(path.relative_to(folder)) for path in [*found, *folder.rglob("checkpoints/*")])


def _json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def _lines(data: bytes) -> bool:
    """Whole lines, but for the last one while it is written."""
    return all(_json(line) for line in data.split(b"\n")[:-1])


def _table(data: bytes) -> bool:
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    return data.endswith(b"\n") and bool(rows) and len({len(row) for row in rows}) == 1


WHOLE: Final[dict[str, Callable[[bytes], bool]]] = {
    ".json": _json,
    ".jsonl": _lines,
    ".csv": _table,
    ".html": lambda data: data.rstrip().endswith(b"</html>"),
    ".svg": lambda data: data.rstrip().endswith(b"</svg>"),
    ".png": lambda data: data.endswith(b"IEND\xaeB\x60\x82"),
    ".bib": lambda data: data.rstrip().endswith(b"}"),
}
