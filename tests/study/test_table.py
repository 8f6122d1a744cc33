"""`energy table`: arithmetic against numpy, nothing invented where nothing was published or run."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from energy.study.results import COLUMNS, collect, read_results
from energy.study.table import reproduction_table, verdict

ACCURACIES = [91.31, 91.40, 91.25]


def _result(seed: int, accuracy: float, title: str = "mnist_dp") -> dict[str, Any]:
    return {
        "title": title,
        "configuration_key": "0123456789",
        "seed": seed,
        "test_accuracy": accuracy,
        "validation_accuracy": 91.0,
        "test_objective": 0.0123456,
        "epochs": 100,
        "threads": 2,
        "torch": "2.13.0",
        "commit": "a" * 40,
        "sweeps": {"mean": 1.0, "p95": 1, "max": 1},
        "multiply_adds": 2_000_000_000_000 + seed,
        "seconds": {"total": 100.0 + seed},
        "device_name": "A processor",
        "outcomes": {"nudged": {"fixed": 3}},
    }


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    folder = tmp_path / "paper"
    folder.mkdir()
    cells = {
        "mnist_dp": {"claim": "on par with BP", "value": 91.4, "tolerance": 0.2, "published": "Table 1, p. 7"},
        "cifar_dp": {"value": None, "tolerance": None, "reason": "the table was not available"},
    }
    (folder / "expected.json").write_text(json.dumps({"paper": "Dual propagation", "cells": cells}))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed, accuracy in enumerate(ACCURACIES):
        folder = tmp_path / "runs" / f"seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(_result(seed, accuracy)))
    return tmp_path / "runs"


def test_the_row_of_a_cell(paper: Path, runs: Path) -> None:
    text = reproduction_table(paper, [runs])
    assert text == (paper / "table.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| mnist_dp"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    mean, sd = np.mean(ACCURACIES), np.std(ACCURACIES, ddof=1)
    assert cells[1:6] == [
        "91.4 (± 0.2)",
        f"{mean:.2f} ± {sd:.2f}",
        "3",
        f"within ({mean - 91.4:+.2f})",
        "1.0 / 1.0 / 1.0",
    ]
    assert cells[6:8] == ["2.000", "0123456789"]
    assert cells[8:] == ["a" * 10, "A processor", "2.13.0"]


def test_what_was_validated_is_what_the_run_ends_with(tmp_path: Path) -> None:
    """Of a read-out where one was fitted, and of the network otherwise."""
    lines = []
    for name, of_read_out in (("plain", {}), ("read", {"readout_validation_accuracy": 93.25})):
        (tmp_path / name).mkdir()
        result = {**_result(0, 90.0, title=name), **of_read_out}
        (tmp_path / name / "result.json").write_text(json.dumps(result))
        lines = collect(tmp_path / "results.csv", [tmp_path / name])
    assert [line["validation_accuracy_percent"] for line in lines] == ["91.0000", "93.2500"]


def test_where_nothing_was_run_or_published_nothing_is_claimed(paper: Path) -> None:
    text = reproduction_table(paper)
    assert "not run" in next(line for line in text.splitlines() if line.startswith("| mnist_dp"))
    assert "- **cifar_dp**: No published number: the table was not available." in text
    assert "- **mnist_dp**: on par with BP. Published: Table 1, p. 7." in text


@pytest.fixture
def partner(paper: Path, runs: Path) -> Path:
    """`mnist_bp` at seeds 1, 2 and 7, which `mnist_dp` is against."""
    for seed, accuracy in ((1, 91.30), (2, 91.35), (7, 12.0)):
        folder = runs / f"bp-{seed}"
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps(_result(seed, accuracy, "mnist_bp")))
    known = json.loads((paper / "expected.json").read_text())
    known["cells"]["mnist_dp"]["against"] = "mnist_bp"
    (paper / "expected.json").write_text(json.dumps(known))
    return paper


def _note(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("- **mnist_dp**"))


def test_a_cell_against_another_is_paired_by_seed(partner: Path, runs: Path) -> None:
    """Differences of 0.1 at both seeds but for a sign have the mean 0 and the half width 12.706 · 0.1414 / √2."""
    note = _note(reproduction_table(partner, [runs]))
    assert "Difference to mnist_bp: +0.00 (-1.27 to +1.27), by seed +0.10 (seed 1), -0.10 (seed 2)" in note
    assert "sign-flip p = 1, least reachable 0.5." in note and "seed 7" not in note


def test_what_cannot_be_paired_is_said(partner: Path, runs: Path) -> None:
    assert "mnist_bp" not in _note(reproduction_table(partner, [runs / "bp-7"]))  # the cell itself was not run
    note = _note(reproduction_table(partner, [runs / "seed-0"]))
    assert "Not paired with mnist_bp: no seed was run with both." in note
    second = {**_result(1, 90.0), "configuration_key": "other"}
    (runs / "seed-1b").mkdir()
    (runs / "seed-1b" / "result.json").write_text(json.dumps(second))
    note = _note(reproduction_table(partner, [runs]))
    assert "Not paired with mnist_bp: mnist_dp was run with one seed in several configurations." in note


def test_a_partner_that_is_no_cell_is_named(partner: Path, runs: Path) -> None:
    with pytest.raises(ValueError, match=r"mnist_dp\.against='mnist_bp': .*known: cifar_dp, mnist_dp"):
        reproduction_table(partner, [runs / "seed-0"])


def test_regenerating_changes_nothing(paper: Path, runs: Path) -> None:
    first = reproduction_table(paper, [runs])
    results = (paper / "results.csv").read_text()
    assert reproduction_table(paper) == first
    assert reproduction_table(paper, [runs]) == first
    assert (paper / "results.csv").read_text() == results


def test_a_repeated_seed_replaces_its_line(paper: Path, runs: Path) -> None:
    collect(paper / "results.csv", [runs])
    (runs / "seed-1" / "result.json").write_text(json.dumps(_result(1, 50.0)))
    lines = collect(paper / "results.csv", [runs / "seed-1"])
    assert [line["test_accuracy_percent"] for line in lines] == ["91.3100", "50.0000", "91.2500"]


def test_a_cell_nobody_expected_is_shown_too(paper: Path, runs: Path) -> None:
    (runs / "seed-0" / "result.json").write_text(json.dumps(_result(0, 11.0, "surprise")))
    text = reproduction_table(paper, [runs])
    assert "nothing to compare" in next(line for line in text.splitlines() if line.startswith("| surprise"))


def test_results_csv_is_plain(paper: Path, runs: Path) -> None:
    collect(paper / "results.csv", [runs])
    with open(paper / "results.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 4
    assert len(read_results(paper / "results.csv")) == 3


def test_mistakes_are_named(paper: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no finished run"):
        reproduction_table(paper, [tmp_path / "empty"])
    with pytest.raises(ValueError, match=r"expected\.json"):
        reproduction_table(tmp_path / "empty")
    (paper / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="its columns are"):
        reproduction_table(paper)


@pytest.mark.parametrize(
    ("expected", "mean", "said"),
    [
        ({"value": 91.0, "tolerance": 0.5}, 91.5, "within (+0.50)"),
        ({"value": 91.0, "tolerance": 0.5}, 90.4, "outside (-0.60)"),
        ({"value": None, "tolerance": 0.5}, 90.4, "nothing to compare"),
        ({"value": 91.0, "tolerance": None}, 90.4, "nothing to compare"),
        ({}, 90.4, "nothing to compare"),
    ],
)
def test_verdicts(expected: dict[str, Any], mean: float, said: str) -> None:
    assert verdict(expected, {"mean": mean}) == said
