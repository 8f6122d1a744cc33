"""The file `results.csv`: one line per finished run, kept beside the paper's expectations."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from energy.errors import UsageError
from energy.io.atomic import write_text
from energy.io.record import RESULT, read_json
from energy.study.statistics import number

COLUMNS: Final[tuple[str, ...]] = (
    "cell",
    "configuration",
    "seed",
    "test_accuracy_percent",
    "test_top5_percent",
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
)
FORMER: Final = tuple(name for name in COLUMNS if name != "test_top5_percent")  # of files that were written before it


def result_row(result: Mapping[str, Any]) -> dict[str, str]:
    """Return the line of `results.csv` for one `result.json`."""
    values = {
        **{name: result[name] for name in ("seed", "epochs", "threads", "torch", "commit")},
        "cell": result["title"],
        "configuration": result["configuration_key"],
        "test_accuracy_percent": f"{result['test_accuracy']:.4f}",
        "test_top5_percent": number(result.get("test_top5_accuracy"), ".4f", ""),
        "validation_accuracy_percent": number(validated(result), ".4f", ""),
        "test_objective_per_sample": f"{result['test_objective']:.6g}",
        "sweeps_mean": number(result["sweeps"].get("mean"), ".2f", ""),
        "sweeps_p95": number(result["sweeps"].get("p95"), ".0f", ""),
        "sweeps_max": number(result["sweeps"].get("max"), ".0f", ""),
        "training_multiply_adds": result["multiply_adds"],
        "training_seconds": f"{result['seconds']['total']:.1f}",
        "device": result["device_name"],
        "outcomes": json.dumps(result["outcomes"], sort_keys=True),
    }
    return {column: "" if values[column] is None else str(values[column]) for column in COLUMNS}


def validated(result: Mapping[str, Any]) -> float | None:
    """Return the final validation accuracy in percent: that of the read-out, if one was fitted."""
    of_read_out = result.get("readout_validation_accuracy")
    return result["validation_accuracy"] if of_read_out is None else of_read_out


def read_results(path: Path) -> list[dict[str, str]]:
    """Read the lines of a `results.csv`; there are none if there is no file yet.

    A file without the column `test_top5_percent` is read as if that were empty.

    Raises:
        ValueError: naming the file, when its columns are not `COLUMNS`.
    """
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        lines = list(reader)
    if tuple(reader.fieldnames or ()) not in (COLUMNS, FORMER):
        raise UsageError(f"{path}: its columns are {reader.fieldnames}, must be {list(COLUMNS)}")
    return [{"test_top5_percent": "", **line} for line in lines]


def collect(path: Path, folders: Iterable[Path]) -> list[dict[str, str]]:
    """Merge the finished runs under `folders` into `path`; a line of the same cell and seed is replaced.

    Raises:
        ValueError: naming the folder, when no finished run is in it.
    """
    lines = {_identity(line): line for line in read_results(path)}
    for folder in folders:
        found = sorted(folder.rglob(RESULT))
        if not found:
            raise UsageError(f"{folder}: no finished run (no {RESULT}) in it")
        for result in found:
            line = result_row(read_json(result))
            lines[_identity(line)] = line
    ordered = sorted(lines.values(), key=lambda line: (line["cell"], line["configuration"], int(line["seed"])))
    _write(path, ordered)
    return ordered


def _identity(line: Mapping[str, str]) -> tuple[str, str, str]:
    return line["cell"], line["configuration"], line["seed"]


def _write(path: Path, lines: list[dict[str, str]]) -> None:
    text = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(path, text.getvalue())
