"""Sweeps: many runs, one after the other; a run that fails is reported and left, and a table of all ends the sweep."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from energy.command.complaint import complaint, defect
from energy.command.output import show
from energy.component import ConfigurationError, to_dict
from energy.io.scores import MAIN, Score, common_score
from energy.train.fit import fit
from energy.train.folder import finished_result
from energy.train.interrupt import Stopped
from energy.train.progress import answer
from energy.train.rehearsal import rehearse
from energy.train.run import Run
from energy.train.terminal import say, width

# columns that a narrow terminal does without, in this order
SPARED: Final = ("folder", "price", *(f"validation {score.sign}" for score in MAIN))
NUMBERS: Final = ("price", *(f"{split} {score.sign}" for split in ("test", "validation") for score in MAIN))
LEAST: Final = 8  # columns to which the text of a varied field is shortened at most
GAP: Final = "  "


@dataclass
class Member:
    """One run of a sweep.

    Attributes:
        run: the run.
        varied: its values of the fields in which the runs differ.
        state: `done`, `kept` (it was finished before), `failed`, `out of time`, `stopped` or `not run`.
        result: its result, once it is finished.
    """

    run: Run
    varied: dict[str, str]
    state: str = "not run"
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The fields that tell it from the others, as `name=value`."""
        return ",".join(f"{name}={value}" for name, value in self.varied.items()) or str(self.run.folder)


def sweep(runs: Sequence[Run]) -> int:
    """Rehearse every run, train those that fit in memory, and print the table.

    A signal ends the sweep, after its table is printed. A time limit ends only the run that has it.

    Returns:
        The exit status: 1 if any run failed, or else 0.
    """
    members = members_of(runs)
    try:
        for member in members:
            _rehearse(member)
        for member in members:
            if member.state != "failed":
                _train(member)
                gc.collect()  # frees the memory of a failed run before the next
    finally:
        print_table(members)
    return int(any(member.state == "failed" for member in members))


def members_of(runs: Sequence[Run]) -> list[Member]:
    """Return the runs of a sweep, each with its values of the fields in which they differ."""
    names = varied(runs)
    return [Member(run, {name: _at(to_dict(run), name.split(".")) for name in names}) for run in runs]


def print_table(members: Sequence[Member]) -> None:
    """Print the table of a sweep, as wide as the terminal."""
    show("\n".join(sweep_table(members, width(sys.stdout))))


def _rehearse(member: Member) -> None:
    """Rehearse one run before the first is trained; one that cannot be trained is reported and left out."""
    try:
        rehearse(member.run)
        member.run.place()
    except ConfigurationError as error:
        member.state = "failed"
        say(True, f"energy: {member.name}: {complaint(error)}")


def _train(member: Member) -> None:
    run = member.run
    try:
        member.state = "failed"
        before = finished_result(run, run.folder)
        member.result = fit(run)
        member.state = "done" if before is None else "kept"
        show(answer(run, member.result))
    except Stopped as stopped:
        member.state = "stopped" if stopped.code else "out of time"
        if stopped.code:
            member.result = finished_result(run, run.folder) or {}
            member.state = "done" if member.result else member.state
            raise
    except KeyboardInterrupt:
        member.state = "stopped"
        raise
    except Exception as error:
        say(True, f"energy: {member.name}: {complaint(error) or defect(error)}")


def varied(runs: Sequence[Run]) -> list[str]:
    """List the fields in which runs differ, by their names on the command line; `out` and `title` aside."""
    found = _differences([to_dict(run) for run in runs])
    return [name for name in found if name not in ("out", "title")]


def _differences(plain: Sequence[Any], path: str = "") -> list[str]:
    """Paths at which descriptions differ; below components of several kinds, those of one kind are compared."""
    if all(one == plain[0] for one in plain):
        return []
    if not all(isinstance(one, dict) for one in plain):
        return [path]
    kinds = list(dict.fromkeys(one.get("name", "") for one in plain))
    found = [path] if len(kinds) > 1 else []
    for kind in kinds:
        alike = [one for one in plain if one.get("name", "") == kind]
        for key in alike[0]:
            below = _differences([one.get(key) for one in alike], f"{path}.{key}" if path else key)
            found += [name for name in below if name not in found]
    return found


def _at(plain: Any, path: Sequence[str]) -> str:
    """The value at a path, or the name of the component there; a dash if there is none."""
    for name in path:
        plain = plain.get(name) if isinstance(plain, dict) else None
    if isinstance(plain, dict):
        plain = plain.get("name")
    if isinstance(plain, float):
        return re.sub(r"e\+?(-?)0*", r"e\1", f"{plain:g}")  # 1e20 as one writes it
    return "–" if plain is None else str(plain).replace(" ", "")


def sweep_table(members: Sequence[Member], columns: int | None) -> list[str]:
    """Return a header and one line per run.

    Args:
        members: the runs; `price` is in training steps of back-propagation.
        columns: the width of the terminal; None for no limit.
    """
    rows = [_row(member, common_score(one.result for one in members)) for member in members]
    shown = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in shown}
    for name in SPARED:
        if columns is not None and name in widths and _total(widths) > columns:
            del widths[name]
    for name in sorted(members[0].varied, key=lambda name: -widths[name]):
        if columns is not None and _total(widths) > columns:
            widths[name] = max(LEAST, widths[name] - (_total(widths) - columns))
    lines = [{name: name for name in shown}, *rows]
    texts = (GAP.join(_fitted(line[name], size, name in NUMBERS) for name, size in widths.items()) for line in lines)
    return [text.rstrip()[:columns] for text in texts]


def _row(member: Member, score: Score) -> dict[str, str]:
    result = member.result
    return {
        **member.varied,
        f"test {score.sign}": _number(result.get(score.test), score.digits),
        f"validation {score.sign}": _number(result.get(score.validation), score.digits),
        "price": _number(result.get("backprop_steps")),
        "state": member.state,
        "folder": str(member.run.folder),
    }


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + len(GAP) * (len(widths) - 1)


def _fitted(text: str, size: int, right: bool) -> str:
    text = text if len(text) <= size else f"{text[: size - 1]}…"
    return text.rjust(size) if right else text.ljust(size)
