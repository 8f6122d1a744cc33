"""Accuracy over time, from the records of runs that are finished.

ENERGY_BENCH_RUNS       run folders, separated as in PATH; the benchmark is left out unless it is set
"""

import os
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from energy.io.record import CONFIGURATION, RECORD, RESULT, append_line, read_json, read_lines, write_json
from tests.benchmarks.timing import Record


@pytest.mark.slow
def test_accuracy_over_time(record: Record) -> None:
    """Seconds in training steps and in all, added up over the epochs; where each run was made is in its row."""
    folders = [Path(name) for name in os.environ.get("ENERGY_BENCH_RUNS", "").split(os.pathsep) if name]
    if not folders:
        pytest.skip("ENERGY_BENCH_RUNS names no run folder")
    for folder in folders:
        record.add(*curve(folder))


def curve(folder: Path) -> list[dict[str, Any]]:
    """One row an epoch."""
    lines, made = read_lines(folder / RECORD), _made(folder)
    assert lines, f"{folder}: has no {RECORD} with a line in it"
    assert [line["epoch"] for line in lines] == list(range(len(lines))), f"{folder}: epochs are missing"
    steps = accumulate(line["seconds"]["step"] for line in lines)
    totals = accumulate(line["seconds"]["total"] for line in lines)
    return [
        {
            **made,
            "epoch": line["epoch"] + 1,
            "seconds_step": step,
            "seconds_total": total,
            "accuracy": line["validation_accuracy"],
        }
        for line, step, total in zip(lines, steps, totals, strict=True)
    ]


def _made(folder: Path) -> dict[str, Any]:
    """Label, settler and machine of a run, as far as its files tell."""
    configured, ended = folder / CONFIGURATION, folder / RESULT
    settler = read_json(configured)["run"]["settler"]["name"] if configured.is_file() else ""
    result = read_json(ended) if ended.is_file() else {}
    name = f"{folder.parent.name}/{folder.name}"
    return {"name": name, "settler": settler, **{key: result.get(key) for key in ("device_name", "commit")}}


def test_seconds_add_up(tmp_path: Path) -> None:
    for epoch in range(3):
        seconds = {"step": 1.0 + epoch, "total": 2.0 + epoch}
        append_line(tmp_path / RECORD, {"epoch": epoch, "seconds": seconds, "validation_accuracy": 80.0 + epoch})
    write_json(tmp_path / CONFIGURATION, {"run": {"settler": {"name": "backprop"}}})
    found = curve(tmp_path)
    assert [(row["epoch"], row["seconds_step"], row["seconds_total"]) for row in found] == [
        (1, 1.0, 2.0),
        (2, 3.0, 5.0),
        (3, 6.0, 9.0),
    ]
    assert [row["accuracy"] for row in found] == [80.0, 81.0, 82.0]
    assert {row["settler"] for row in found} == {"backprop"}
