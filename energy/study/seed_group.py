"""Runs of one configuration at several seeds, as one row: means and standard deviations of the finished ones."""

from collections.abc import Sequence
from itertools import takewhile

from energy.io.run_folders import value_text
from energy.study.run_row import NUMBERS, Row
from energy.study.statistics import sample_statistics


def rows_by_seed(rows: Sequence[Row]) -> tuple[list[Row], int]:
    """Put runs that differ in the seed alone into one row each.

    Numbers are means over the finished runs, with their standard deviation (n − 1). A run that repeats the seed of
    another is left out, the finished one before the unfinished.

    Returns:
        The rows, in the order of their first runs, and the number of runs left out; broken folders stay rows of their
        own.
    """
    groups: dict[str, dict[str, Row]] = {}
    count = 0
    for index, row in enumerate(sorted(rows, key=lambda row: row.kind != "finished")):
        held = groups.setdefault(row.key or f"broken {index}", {})
        seed = value_text(row.values.get("seed"))
        count += seed in held
        held.setdefault(seed, row)
    order = {id(row): index for index, row in enumerate(rows)}
    found = [sorted(group.values(), key=lambda row: order[id(row)]) for group in groups.values()]
    return [_joined(group) for group in sorted(found, key=lambda group: order[id(group[0])])], count


def _joined(group: Sequence[Row]) -> Row:
    """The row of the runs of one configuration."""
    first = group[0]
    if not first.key:
        return first
    finished = [row for row in group if row.kind == "finished"]
    row = Row(_shared([one.folder for one in group]), "finished", first.title, key=first.key)
    if len(finished) < len(group):
        row.state = f"{len(finished)} of {len(group)} finished" if len(group) > 1 else first.state
    for name in NUMBERS:
        held = [one.numbers[name] for one in finished or (group if len(group) == 1 else ()) if name in one.numbers]
        if held:
            stats = sample_statistics(held)
            row.numbers[name] = stats["mean"]
            row.deviations |= {} if stats["sd"] is None else {name: stats["sd"]}
    row.values = {path: v for path, v in first.values.items() if all(one.values.get(path) == v for one in group)}
    row.folders = tuple(one.folder for one in group)
    row.seeds = tuple(sorted(seed for one in group if isinstance(seed := one.values.get("seed"), int)))
    return row


def _shared(names: Sequence[str]) -> str:
    """The common beginning and end of several names, with a star between."""
    if len(names) == 1:
        return names[0]
    front = _beginning(names)
    back = _beginning([name[len(front) :][::-1] for name in names])[::-1]
    return f"{front}*{back}"


def _beginning(names: Sequence[str]) -> str:
    """The letters that all names begin with."""
    return "".join(letters[0] for letters in takewhile(lambda one: len({*one}) == 1, zip(*names, strict=False)))
