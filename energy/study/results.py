"""The file `results.csv` of a paper: one line per finished run."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from energy.errors import UsageError
from energy.io.atomic import write_text
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
    """Return the final validation accuracy in percent: that of the read-out, if one was fitted."""
    of_read_out = result.get("readout_validation_accuracy")
    return result["validation_accuracy"] if of_read_out is None else of_read_out


def read_results(path: Path) -> list[dict[str, str]]:
    """Read the lines of a `results.csv`; there are none if there is no file yet.

    A file without columns of `LATER` is read as if they were empty.

    Raises:
        UsageError: naming the file, when its columns are not `COLUMNS`.
    """
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        lines = list(reader)
    names = tuple(reader.fieldnames or ())
    if names != tuple(name for name in COLUMNS if name in names or name not in LATER):
        raise UsageError(f"{path}: its columns are {reader.fieldnames}, must be {list(COLUMNS)}")
    return [{**dict.fromkeys(LATER, ""), **line} for line in lines]


def write_results(path: Path, lines: Iterable[Mapping[str, str]]) -> None:
    """Write lines by cell and seed; of several of one cell and seed the last counts."""
    kept = {(line["cell"], int(line["seed"])): line for line in lines}
    text = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept[key] for key in sorted(kept))
    write_text(path, text.getvalue())
