"""The file `results.csv` of a paper: one line per finished run."""

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from energy.errors import DamagedFileError, MissingFileError, UsageError, shown
from energy.io.atomic import write_text
from energy.io.plain_file import read_plain
from energy.io.scores import main_value
from energy.study.statistics import number

RESULTS: Final = "results.csv"
COLUMNS: Final[tuple[str, ...]] = (
    "cell",
    "configuration",
    "seed",
    "test_accuracy_percent",
    "test_top5_percent",
    "test_mirrored_percent",
    "validation_accuracy_percent",
    "test_objective_per_sample",
    "epochs",
    "sweeps_mean",
    "sweeps_p95",
    "sweeps_max",
    "training_multiply_adds",
    "training_seconds",
    "device",
    "threads",
    "torch",
    "commit",
    "outcomes",
    "weight_product_norm",
)
LARGEST: Final = 1 << 22  # bytes of the file
LONGEST: Final = 8000  # letters of a value
NUMBER: Final = r"-?[0-9]{1,30}(\.[0-9]{0,30})?(e[+-]?[0-9]{1,3})?|-?inf|nan"
WHOLE: Final = frozenset({"seed"})
NEEDED: Final = frozenset({"test_accuracy_percent"})
NUMBERS: Final = frozenset(
    {name for name in COLUMNS if name.startswith(("test_", "validation_", "sweeps_", "training_"))}
    | {"weight_product_norm", "epochs", "threads"}
)
LATER: Final = ("test_top5_percent", "test_mirrored_percent", "weight_product_norm")  # columns that older files lack


def result_row(result: Mapping[str, Any]) -> dict[str, str]:
    """Return the line of `results.csv` for one `result.json`."""
    values = {
        **{name: result[name] for name in ("seed", "epochs", "threads", "torch", "commit")},
        "cell": result["title"],
        "configuration": result["configuration_key"],
        "test_accuracy_percent": f"{result['test_accuracy']:.4f}",
        "test_top5_percent": number(result.get("test_top5_accuracy"), ".4f", ""),
        "test_mirrored_percent": number(result.get("test_mirrored_accuracy"), ".4f", ""),
        "validation_accuracy_percent": number(validated(result), ".4f", ""),
        "test_objective_per_sample": f"{result['test_objective']:.6g}",
        "sweeps_mean": number(result["sweeps"].get("mean"), ".2f", ""),
        "sweeps_p95": number(result["sweeps"].get("p95"), ".0f", ""),
        "sweeps_max": number(result["sweeps"].get("max"), ".0f", ""),
        "training_multiply_adds": result["multiply_adds"],
        "training_seconds": f"{result['seconds']['total']:.1f}",
        "device": result["device_name"],
        "outcomes": json.dumps(result["outcomes"], sort_keys=True),
        "weight_product_norm": number(result.get("weight_product_norm"), ".5g", ""),
    }
    return {column: "" if values[column] is None else str(values[column]) for column in COLUMNS}


def validated(result: Mapping[str, Any]) -> float | None:
    """Return the final validation score, accuracy in percent for classes; that of the read-out, if one was fitted."""
    of_read_out = result.get("readout_validation_accuracy")
    return main_value(result, "validation") if of_read_out is None else of_read_out


def read_results(path: Path) -> list[dict[str, str]]:
    """Read the lines of a `results.csv`; there are none if there is no file yet.

    A file without columns of `LATER` is read as if they were empty.

    Raises:
        UsageError: naming the file, when its columns are not `COLUMNS`.
        DamagedFileError: naming file, line and column, for a value that was not written there, and for a file that is
            no UTF-8 text of at most `LARGEST` bytes.
    """
    try:
        text = read_plain(Path(os.path.realpath(path)), LARGEST).decode("utf-8")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except MissingFileError:
        return []
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{shown(path)}: byte {error.start} is not UTF-8") from None
    except csv.Error as error:
        raise DamagedFileError(f"{shown(path)}: is no table of comma-separated values ({error})") from None
    names = tuple(rows[0]) if rows else ()
    if names != tuple(name for name in COLUMNS if name in names or name not in LATER):
        raise UsageError(f"{shown(path)}: its columns are {shown(list(names))}, must be {list(COLUMNS)}")
    return [_line(f"{shown(path)}: row {at}", names, row) for at, row in enumerate(rows[1:], 2) if row]


def _line(where: str, names: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    """One line by column, with an empty text for columns that the file lacks."""
    if len(row) != len(names):
        raise DamagedFileError(f"{where}: has {len(row)} values, must have {len(names)}")
    line = {**dict.fromkeys(LATER, ""), **dict(zip(names, row, strict=True))}
    for name, value in line.items():
        limit = _limit(name, value)
        if limit:
            raise DamagedFileError(f"{where}: {name}={shown(value)}: must be {limit}")
    return line


def _limit(name: str, value: str) -> str:
    """The condition that the value of a column breaks; empty if it breaks none."""
    if len(value) > LONGEST or not value.isprintable():
        return f"at most {LONGEST} letters on one line"
    if name == "cell":
        return "" if value else "the name of a cell"
    if name in WHOLE:
        return "" if re.fullmatch(r"[0-9]{1,19}", value, re.ASCII) else "a whole number of at least 0"
    if name in NUMBERS and not (re.fullmatch(NUMBER, value, re.ASCII) or (not value and name not in NEEDED)):
        return "a number"
    return ""


def write_results(path: Path, lines: Iterable[Mapping[str, str]]) -> None:
    """Write lines by cell and seed; of several of one cell and seed the last counts."""
    kept = {(line["cell"], int(line["seed"])): line for line in lines}
    text = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept[key] for key in sorted(kept))
    write_text(path, text.getvalue())
