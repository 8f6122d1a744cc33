"""The contents of a folder without times, by which what was broken and continued is compared with what was not."""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any, Final

from energy.io.record import RESULT
from tests.ordeal.promises import LOCK, entries

# times, what tells of the breaks, and digests of files that have either; `commit` may change while an ordeal lasts
OWN: Final = {"seconds", "continued", "date", "commit", "sha256"}
DRAWN: Final = {".html", ".svg", ".png"}  # figures and pages tell the time that something took
CHECKED: Final = "manifest.json"  # of digests, which were checked


def contents(folder: Path) -> dict[str, Any]:
    """Whatever a folder holds, by place; of pages and figures only that they are there, of empty folders nothing."""
    places = [Path(entry.path) for entry in entries(folder)]
    files = [path for place in places for path in (sorted(place.iterdir()) if place.is_dir() else [place])]
    return {str(path.relative_to(folder)): content(path) for path in files if not LOCK.fullmatch(path.name)}


def content(path: Path) -> Any:
    """What is the same in two files that differ in their times alone."""
    if path.suffix in DRAWN or path.name == CHECKED:
        return path.suffix
    if path.name == RESULT:
        result = json.loads(path.read_bytes())
        sealed = {name: sha256(path.with_name(name)) == digest for name, digest in result.get("files", {}).items()}
        return timeless({**result, "files": sealed})
    if path.suffix == ".json":
        return timeless(json.loads(path.read_bytes()))
    if path.suffix == ".jsonl":
        return [timeless(json.loads(line)) for line in path.read_bytes().splitlines()]
    if path.suffix == ".csv":
        return [timeless(row) for row in csv.DictReader(io.StringIO(path.read_text()))]
    return path.read_bytes()


def sha256(path: Path) -> str:
    """The digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def timeless(value: Any) -> Any:
    """A value without what belongs to one carrying out of it."""
    if isinstance(value, dict):
        return {name: timeless(one) for name, one in value.items() if not of_its_own(name)}
    return [timeless(one) for one in value] if isinstance(value, list) else value


def of_its_own(name: str) -> bool:
    """True for the name of a time, a digest of one, or a count of breaks."""
    return name in OWN or name.endswith("_seconds")


def difference(one: Any, other: Any, at: str = "") -> str:
    """The first place at which two contents differ, with both values; empty if they are equal."""
    if type(one) is not type(other):
        return f"{at}: {str(one)[:120]} and {str(other)[:120]}"
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return f"{at}: only one has {sorted(one.keys() ^ other.keys())}"
        return next(filter(None, (difference(one[name], other[name], f"{at}/{name}") for name in one)), "")
    if isinstance(one, list) and len(one) == len(other):
        return next(filter(None, (difference(*pair, f"{at}[{n}]") for n, pair in enumerate(zip(one, other)))), "")  # noqa: B905
    if repr(one) != repr(other):  # NaN is NaN, and bytes are bytes
        return f"{at}: {str(one)[:120]} and {str(other)[:120]}"
    return ""
