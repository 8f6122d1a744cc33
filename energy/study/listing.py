"""The table of `energy runs`: the run folders below a folder, their differences, and their progress."""

import csv as comma
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from energy.columns import fitted, terminal_width
from energy.component import ConfigurationError
from energy.errors import escaped, shown
from energy.hints import hint
from energy.io.plain import flatten
from energy.io.plain_file import require_kind
from energy.io.record import (
    CHECKPOINTS,
    CONFIGURATION,
    FAILED,
    FINAL,
    LOCK,
    RECORD,
    RESULT,
    read_lines,
)
from energy.io.result import is_finished, read_configuration, read_result
from energy.io.scores import MAIN, R2, main_score, main_value
from energy.study.results import validated

DEEPEST: Final = 6  # levels below the folder
NEEDED: Final = ("test_accuracy", "backprop_steps", "seconds")
KEPT: Final = 3  # fields that stay while there are numbers to drop
MOST: Final = 20_000  # folders looked into
MARKS: Final = (CONFIGURATION, RECORD, RESULT, CHECKPOINTS, FINAL)
ASIDE: Final = frozenset({"out", "title"})
FIRST: Final = ("settler.name", "seed", "optimizer.lr", "data.name", "model.name", "rule.name")
NUMBERS: Final = {
    "accuracy": "test, %",
    "r2": "test R²",
    "label_accuracy": "labels, %",
    "top5": "top-5, %",
    "validation": "valid., %",
    "validation_r2": "valid. R²",
    "cosine": "worst cosine",
    "price": "BP steps",
    "seconds": "seconds",
}
RISING: Final = frozenset({"price", "seconds"})  # the best is the least
BROKEN: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass
class Row:
    """One run folder: its name, its state, its numbers, and its configuration by dotted path."""

    folder: str
    state: str
    title: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)


def listing(folder: Path, *, sort: str = "", csv: bool = False, width: int = 0) -> str:
    """List the runs below `folder` as a table that fits `width`, or as CSV with every field.

    Args:
        folder: the top folder, searched six levels down.
        sort: accuracy, r2, label_accuracy, top5, validation, cosine (the greatest first), price, seconds, state,
            folder, title, or a field of the configuration by its path or the end of it.
        csv: whether to give everything as comma-separated values.
        width: columns of a line; 0 for those of the terminal.

    Raises:
        ConfigurationError: when there is no such folder, or nothing of the name to sort by.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"runs {shown(folder)}: there is no such folder; energy runs FOLDER lists another")
    rows = [_row(found, folder) for found in _folders(folder)]
    if not rows:
        return f"no runs below {folder}"
    rows = _sorted(rows, sort)
    return _csv(rows) if csv else _table(rows, width or terminal_width())


def _folders(top: Path) -> Iterator[Path]:
    """Yield run folders in the order of their names; the folders inside them are not searched."""
    for looked, (place, inner, files) in enumerate(os.walk(top), start=1):
        here = Path(place)
        inner.sort()
        if any(mark in files or mark in inner for mark in MARKS):
            inner.clear()
            yield here
        if looked >= MOST or len(here.relative_to(top).parts) >= DEEPEST:
            inner.clear()


def _row(folder: Path, top: Path) -> Row:
    """Read one folder; a fault stands in place of its state."""
    row = Row(str(folder.relative_to(top)) if folder != top else folder.resolve().name, "")
    try:
        if not require_kind(folder / CONFIGURATION):
            return Row(row.folder, "foreign, no configuration")
        run = read_configuration(folder)["run"]
        row.values = {path: _text(value) for path, value in flatten(run, ".")}
        row.title, epochs = str(run["title"]), int(run["train"]["epochs"])
    except BROKEN:
        return Row(row.folder, "broken configuration")
    try:
        lines = read_lines(folder / RECORD)
        last = lines[-1] if lines else {}
        numbers: dict[str, Any] = {
            **_validation(last, main_value(last, "validation")),
            "cosine": last.get("cosine_worst"),
            "price": last.get("backprop_steps"),
            "seconds": sum(line["seconds"]["total"] for line in lines) or None,
        }
    except BROKEN:
        row.state = "broken record"
        return row
    row.state = _state(folder, len(lines), epochs)
    try:
        if is_finished(folder):
            numbers |= _ended(read_result(folder, NEEDED))
            row.state = "finished"
    except BROKEN:
        row.state = "broken result"
    row.numbers = {name: float(value) for name, value in numbers.items() if _is_number(value)}
    return row


def _ended(result: Mapping[str, Any]) -> dict[str, Any]:
    """The final numbers of a finished run."""
    return {
        **{score.name: result.get(score.test) for score in MAIN},
        "top5": result.get("test_top5_accuracy"),
        **_validation(result, validated(result)),
        "price": result["backprop_steps"],
        "seconds": result["seconds"]["total"],
    }


def _validation(record: Mapping[str, Any], value: float | None) -> dict[str, float | None]:
    """The validation score in its column: one for percentages, one for R²."""
    return {"validation_r2" if main_score(record, "validation") is R2 else "validation": value}


def _state(folder: Path, done: int, epochs: int) -> str:
    """The progress of a run without a result; a greedy run has more epochs than it names, one stage after the other."""
    at = f"at epoch {done} of {epochs}" if done <= epochs else f"at epoch {done}"
    if _locked(folder / LOCK):
        return f"running {at}"
    return f"failed {at}" if (folder / FAILED).is_dir() else f"stopped {at}"


def _locked(path: Path) -> bool:
    """True if a process holds the lock of a run folder, by the kernel's list, so that no lock is touched."""
    try:
        number = f":{path.lstat().st_ino}"
        return any(word.endswith(number) for line in _lines("/proc/locks") for word in line.split())
    except OSError:
        return False


def _lines(path: str) -> list[str]:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readlines()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _varied(rows: Sequence[Row]) -> list[str]:
    """The fields in which runs that have them differ; those that most often tell runs apart come first."""
    found: dict[str, set[str]] = {}
    for row in rows:
        for path, value in row.values.items():
            found.setdefault(path, set()).add(value)
    varied = [path for path, values in found.items() if len(values) > 1 and path not in ASIDE]
    return sorted(varied, key=lambda path: FIRST.index(path) if path in FIRST else len(FIRST))


def _called(paths: Sequence[str]) -> list[str]:
    """The shortest end of each path that is no end of another; `name` of a component is left off."""
    whole = [path.removesuffix(".name") for path in paths]
    ends = []
    for path in whole:
        words = path.split(".")
        tails = [".".join(words[-count:]) for count in range(1, len(words) + 1)]
        ends.append(next(t for t in tails if t == path or sum(f".{one}".endswith(f".{t}") for one in whole) == 1))
    return ends


def _sorted(rows: list[Row], by: str) -> list[Row]:
    if not by:
        return rows
    if by in NUMBERS:
        sign = 1 if by in RISING else -1
        return sorted(rows, key=lambda row: (by not in row.numbers, sign * row.numbers.get(by, 0.0)))
    if by in ("state", "folder", "title"):
        return sorted(rows, key=lambda row: getattr(row, by))
    known = list(dict.fromkeys(path for row in rows for path in row.values))
    wanted = [path for path in known if f".{path.removesuffix('.name')}".endswith(f".{by.removesuffix('.name')}")]
    if not wanted:
        ends = [*NUMBERS, "state", "folder", "title", *_called(_varied(rows))]
        raise ConfigurationError(f"--sort {shown(by)}: there is no such column; {hint(by, ends)}")
    return sorted(rows, key=lambda row: _order(row.values.get(wanted[0])))


def _order(text: str | None) -> tuple[int, float, str]:
    """Numbers by size, then text, then nothing."""
    try:
        return 0, float(text or ""), ""
    except ValueError:
        return 2 if text is None else 1, 0.0, text or ""


def _table(rows: Sequence[Row], width: int) -> str:
    varied = _varied(rows)
    shown = [name for name in NUMBERS if any(name in row.numbers for row in rows)]
    head = ["run", "state", *_called(varied), *(NUMBERS[name] for name in shown)]
    cells = [
        [row.folder, row.state, *(row.values.get(p, "–") for p in varied), *(_shown(row, name) for name in shown)]
        for row in rows
    ]
    fields = list(range(1 + len(varied), 1, -1))  # the last goes first
    numbers = ("seconds", "validation", "validation_r2", "price", "top5", "cosine")
    later = [2 + len(varied) + shown.index(name) for name in numbers if name in shown]
    spare = [*fields[:-KEPT], *later, *fields[-KEPT:]]
    text, gone = fitted(head, cells, width, spare)
    return f"{text}\nnot shown: {len(gone)} columns; --csv has all" if gone else text


def _shown(row: Row, name: str) -> str:
    form = {"cosine": "{:.4f}", "seconds": "{:.0f}"}.get(name, "{:.2f}")
    return form.format(row.numbers[name]) if name in row.numbers else "–"


def _csv(rows: Sequence[Row]) -> str:
    paths = list(dict.fromkeys(path for row in rows for path in row.values))
    text = io.StringIO()
    writer = comma.writer(text, lineterminator="\n")
    writer.writerow(["folder", "state", *NUMBERS, *map(escaped, paths)])
    for row in rows:
        numbers = [row.numbers.get(name, "") for name in NUMBERS]
        cells = [row.folder, row.state, *numbers, *(row.values.get(path, "") for path in paths)]
        writer.writerow([escaped(cell) if isinstance(cell, str) else cell for cell in cells])
    return text.getvalue().rstrip("\n")
