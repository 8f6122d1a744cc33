"""The row of one run in the table of `energy runs`: its state, its numbers and its configuration, from its folder."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from energy.io.plain_file import require_kind
from energy.io.record import CONFIGURATION, FAILED, LOCK, RECORD, read_lines
from energy.io.result import is_finished, read_configuration, read_result
from energy.io.run_folders import field_values, key_but_seed
from energy.io.scores import MAIN, R2, main_score, main_value
from energy.study.results import validated

NEEDED: Final = ("test_accuracy", "backprop_steps", "seconds")
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
BROKEN: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass
class Row:
    """One run folder, or the runs of one configuration at several seeds.

    Attributes:
        folder: its name; of several runs what their names share, with a star.
        state: its state in words, of which the first says the kind.
        title: of the run.
        numbers: by name, as in `NUMBERS`; means of several runs.
        values: the configuration by dotted path.
        key: the same for runs that differ in the seed alone; empty for a broken folder.
        deviations: the standard deviations of the means, where there are two runs.
        folders: those of several runs.
        seeds: those of several runs.
    """

    folder: str
    state: str
    title: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    deviations: dict[str, float] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        """The first word of the state: finished, running, stopped, failed, broken or foreign; of some, unfinished."""
        first = self.state.split(maxsplit=1)[0].rstrip(",")
        return "unfinished" if first.isdigit() else first


def read_row(folder: Path, name: str) -> Row:
    """Read one run folder; a fault stands in place of its state.

    Args:
        folder: the run folder.
        name: its name in the table.
    """
    row = Row(name, "")
    try:
        if not require_kind(folder / CONFIGURATION):
            return Row(name, "foreign, no configuration")
        configuration = read_configuration(folder)
        run = configuration["run"]
        row.values, row.key = field_values(run), key_but_seed(configuration)
        row.title, epochs = str(run["title"]), int(run["train"]["epochs"])
    except BROKEN:
        return Row(name, "broken configuration")
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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
