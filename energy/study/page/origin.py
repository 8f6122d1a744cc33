"""The origin of a study: machine, code, data, and the compute that it took, as rows of a table."""

from collections.abc import Mapping
from typing import Any, Final

from energy.study.page.tables import Cell, Table
from energy.study.page.words import counted, number_text, seconds_text

FACTS: Final = (
    ("device_name", "machine"),
    ("device", "device"),
    ("threads", "threads"),
    ("torch", "torch"),
    ("python", "Python"),
    ("energy", "version of the software"),
    ("commit", "commit"),
    ("date", "date"),
    ("key", "hash of the configuration"),
)


def origin_table(record: Mapping[str, Any]) -> Table:
    """Return what a study was measured on, with which code and data, and what it spent."""
    rows = [(title, str(record[name])) for name, title in FACTS if record.get(name) not in (None, "")]
    data = record["data"]
    rows.append(("data", str(data["name"])))
    rows += [(f"SHA-256 of {file}", digest) for file, digest in data.get("digests", {}).items()]
    for one in record.get("merged", ()):
        rows.append(("merged from", f"{one['from']}, configuration {one['key']}, commit {one['commit'] or 'unknown'}"))
    rows.append(("compute spent", spent_text(record)))
    cells = [(Cell(title, "name"), Cell(value, "said")) for title, value in rows]
    return Table((Cell("fact", "name"), Cell("value", "said")), tuple(cells))


def spent_text(record: Mapping[str, Any]) -> str:
    """Return time, multiply-adds, points and trainings of a study as words."""
    spent = record["spent"]
    work = f"{number_text(spent['multiply_adds'])} multiply-adds" if spent.get("multiply_adds") is not None else ""
    counts = [counted(spent[f"{noun}s"], noun) for noun in ("point", "training") if spent.get(f"{noun}s") is not None]
    return ", ".join(part for part in (seconds_text(spent.get("seconds")), work, *counts) if part)
