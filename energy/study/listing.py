"""The table of `energy runs`: the runs below some folders, those that are wanted, as a table, as CSV or as JSON."""

import csv as comma
import io
import json as notation
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from energy.columns import blocks, fitted, terminal_width
from energy.component import ConfigurationError
from energy.errors import escaped, shown
from energy.io.run_folders import run_folders, value_text, varied_fields
from energy.study.run_column import Column, column_of
from energy.study.run_condition import matching_rows
from energy.study.run_row import NUMBERS, Row, read_row
from energy.study.seed_group import rows_by_seed

KEPT: Final = 3  # fields that stay while there are numbers to drop
SPARED: Final = ("seconds", "validation", "validation_r2", "price", "top5", "cosine")  # numbers, the first to go first
RISING: Final = frozenset({"price", "seconds"})  # the best is the least


def listing(
    *folders: Path,
    where: Sequence[str] = (),
    columns: Sequence[str] = (),
    sort: str = "",
    by_seed: bool = False,
    csv: bool = False,
    json: bool = False,
    width: int = 0,
) -> str:
    """List the runs below folders as a table that fits `width`, as CSV or as JSON.

    Names of columns are accuracy, r2, label_accuracy, top5, validation, validation_r2, cosine, price, seconds, state,
    folder, title, seeds, or a field of the configuration by its path or the end of it.

    Args:
        folders: searched six levels down; a run below several of them is listed once.
        where: conditions (`energy.study.run_condition`), all of which a run must meet.
        columns: those shown; empty for the fields in which the runs differ and all numbers, in CSV and JSON for
            everything.
        sort: the column to sort by; of accuracies and cosines the greatest is first, of other numbers the least.
        by_seed: whether runs that differ in the seed alone are one row, with mean ± standard deviation.
        csv: whether to give comma-separated values.
        json: whether to give JSON, a list with one object per row.
        width: columns of a line; 0 for those of the terminal.

    Raises:
        ConfigurationError: when there is no such folder or column, or a condition cannot be read.
    """
    rows = list_rows(folders)
    found = f"no runs below {', '.join(map(str, folders))}"
    if rows:
        every, rows = len(rows), matching_rows(rows, where)
        found = f"none of {every} runs meets {' and '.join(where)}"
    rows, doubled = rows_by_seed(rows) if by_seed else (rows, 0)
    if not (rows or csv or json):
        return found
    rows = _sorted(rows, sort) if rows else rows
    chosen = [column_of("--columns", name, rows) for name in columns] if rows else []
    if csv or json:
        return _csv(rows, chosen) if csv else _json(rows, chosen)
    text = _table(rows, chosen, by_seed, width or terminal_width())
    return f"{text}\nleft out: {doubled} runs with the seed of another" if doubled else text


def list_rows(folders: Sequence[Path]) -> list[Row]:
    """Read the runs below folders, each once; they are named from the folder on, or with it if there are several.

    Raises:
        ConfigurationError: when there is no such folder.
    """
    rows, known = list[Row](), set[Path]()
    for top in folders:
        if not top.is_dir():
            raise ConfigurationError(f"runs {shown(top)}: there is no such folder; energy runs FOLDER lists another")
        for folder in run_folders(top):
            if (real := folder.resolve()) in known:
                continue
            known.add(real)
            name = str(folder.relative_to(top)) if folder != top else real.name
            rows.append(read_row(folder, name if len(folders) == 1 else str(folder)))
    return rows


def _sorted(rows: list[Row], by: str) -> list[Row]:
    if not by:
        return rows
    column = column_of("--sort", by, rows)
    if column.name in NUMBERS:
        sign = 1 if column.name in RISING else -1
        return sorted(rows, key=lambda row: (column.value(row) is None, sign * (column.value(row) or 0.0)))
    return sorted(rows, key=lambda row: _order(column.value(row)))


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then text, then nothing."""
    text = "" if value is None else value_text(value)
    try:
        return 0, float(text), ""
    except ValueError:
        return 2 if value is None else 1, 0.0, text


def _table(rows: Sequence[Row], chosen: Sequence[Column], by_seed: bool, width: int) -> str:
    """The table: of chosen columns in as many blocks as it takes; else one block, without what it has no room for."""
    if chosen:
        head = ["run", *(column.title(chosen) for column in chosen)]
        return blocks(head, [[row.folder, *(column.text(row) for column in chosen)] for row in rows], width)
    varied = [Column(path) for path in varied_fields([row.values for row in rows])]
    numbers = [Column(name) for name in NUMBERS if any(name in row.numbers for row in rows)]
    seeds = [Column("seeds")] * by_seed
    state = [Column("state")] * any(row.kind not in ("finished", "unfinished") for row in rows if by_seed)
    columns = [*(state if by_seed else [Column("state")]), *seeds, *varied, *numbers]
    head = ["run", *(column.title(columns) for column in columns)]
    cells = [[row.folder, *(column.text(row) for column in columns)] for row in rows]
    start = len(columns) - len(varied) - len(numbers) + 1
    fields = list(range(start + len(varied) - 1, start - 1, -1))  # the last goes first
    names = [column.name for column in numbers]
    later = [start + len(varied) + names.index(name) for name in SPARED if name in names]
    text, gone = fitted(head, cells, width, [*fields[:-KEPT], *later, *fields[-KEPT:]])
    return f"{text}\nnot shown: {len(gone)} columns; --csv has all" if gone else text


def _complete(rows: Sequence[Row]) -> list[Column]:
    """Every column that there is."""
    paths = list(dict.fromkeys(path for row in rows for path in row.values))
    seeds = ["seeds"] if any(row.seeds for row in rows) else []
    return [Column(name) for name in ["state", *seeds, *NUMBERS, *paths]]


def _csv(rows: Sequence[Row], chosen: Sequence[Column]) -> str:
    """Comma-separated values; a number of several runs is followed by its standard deviation, `<name>_sd`."""
    columns = [column for column in chosen or _complete(rows) if column.name != "folder"]
    grouped = any(row.seeds for row in rows)
    head, table = ["folder"], [[row.folder] for row in rows]
    for column in columns:
        spread = grouped and column.name in NUMBERS
        head += [escaped(column.name), *([f"{column.name}_sd"] if spread else [])]
        for row, cells in zip(rows, table, strict=True):
            value = column.value(row)
            plain = value if column.name in NUMBERS else None if value is None else escaped(value_text(value))
            cells += ["" if plain is None else plain]
            cells += [row.deviations.get(column.name, "")] if spread else []
    text = io.StringIO()
    comma.writer(text, lineterminator="\n").writerows([head, *([escaped(c[0]), *c[1:]] for c in table)])
    return text.getvalue().rstrip("\n")


def _json(rows: Sequence[Row], chosen: Sequence[Column]) -> str:
    """One object per row: of chosen columns their values; else state, numbers and configuration."""
    found = []
    for row in rows:
        several = {"seeds": list(row.seeds), "folders": list(row.folders)} if row.seeds else {}
        deviations = {f"{name}_sd": value for name, value in row.deviations.items()}
        if chosen:
            values = {column.name: column.value(row) for column in chosen}
            spread = {name: value for name, value in deviations.items() if name.removesuffix("_sd") in values}
            found.append({"folder": row.folder, **values, **spread})
            continue
        numbers = {name: row.numbers.get(name) for name in NUMBERS}
        held = {"folder": row.folder, "state": row.kind, "said": row.state, "title": row.title, **several}
        found.append({**held, **numbers, **deviations, "configuration": row.values})
    return notation.dumps(found, indent=1, allow_nan=False)
