"""`table.md` of a paper: arithmetic against numpy, nothing invented where nothing was published or run."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from energy.study.reproduction.cell import Cost, Paper, PublishedFigure, ReproductionCell, cost
from energy.study.reproduction.table import paper_table, verdict
from energy.study.results import COLUMNS, read_results, result_row, write_results

ACCURACIES = [91.31, 91.40, 91.25]
COSTS = Cost("cpu", 0.5)


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


def _cell(name: str, **given: Any) -> ReproductionCell:
    return ReproductionCell(name, "on par with BP", COSTS, experiment="demo", seeds=(0, 1, 2), **given)


@pytest.fixture
def paper() -> Paper:
    """One cell with a published number, and one without."""
    cells = [
        _cell("mnist_dp", published=PublishedFigure(91.4, 0.2, "Table 1, p. 7")),
        _cell("cifar_dp", published=PublishedFigure(reason="the table was not available"), reduced="5 of 100 epochs"),
    ]
    return Paper("Dual propagation", {cell.name: cell for cell in cells})


@pytest.fixture
def lines() -> list[dict[str, str]]:
    return [result_row(_result(seed, accuracy)) for seed, accuracy in enumerate(ACCURACIES)]


def _row(text: str, name: str) -> list[str]:
    row = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_row_of_a_cell(paper: Paper, lines: list[dict[str, str]]) -> None:
    cells = _row(paper_table(paper, lines), "mnist_dp")
    mean, sd = np.mean(ACCURACIES), np.std(ACCURACIES, ddof=1)
    assert cells[1:5] == ["full", "91.4 (± 0.2)", f"{mean:.2f} ± {sd:.2f}", "3"]
    assert cells[5:7] == [f"within ({mean - 91.4:+.2f})", "1.0 / 1.0 / 1.0"]
    assert cells[7:] == ["2.000", "0123456789", "a" * 10, "A processor", "2.13.0"]


def test_what_was_validated_is_what_the_run_ends_with() -> None:
    """Of a read-out where one was fitted, and of the network otherwise."""
    plain = result_row(_result(0, 90.0))
    read = result_row({**_result(0, 90.0), "readout_validation_accuracy": 93.25})
    assert [one["validation_accuracy_percent"] for one in (plain, read)] == ["91.0000", "93.2500"]


def test_where_nothing_was_run_or_published_nothing_is_claimed(paper: Paper) -> None:
    text = paper_table(paper, [])
    assert _row(text, "mnist_dp")[3:5] == ["not run: 1.5 h (cpu)", "0"]  # three seeds of half an hour
    assert _row(text, "cifar_dp")[1:3] == ["5 of 100 epochs", "–"]
    assert "- **cifar_dp**: on par with BP. No published number: the table was not available." in text
    assert "- **mnist_dp**: on par with BP. Published: Table 1, p. 7." in text


def _note(paper: Paper, lines: list[dict[str, str]]) -> str:
    cells = paper.cells | {
        "mnist_dp": replace(paper.cells["mnist_dp"], against="mnist_bp"),
        "mnist_bp": _cell("mnist_bp"),
    }
    text = paper_table(Paper(paper.title, cells), lines)
    return next(line for line in text.splitlines() if line.startswith("- **mnist_dp**"))


PARTNER = [result_row(_result(seed, found, "mnist_bp")) for seed, found in ((1, 91.30), (2, 91.35), (7, 12.0))]


def test_a_cell_against_another_is_paired_by_seed(paper: Paper, lines: list[dict[str, str]]) -> None:
    """Differences of 0.1 at both seeds but for a sign have the mean 0 and the half width 12.706 · 0.1414 / √2."""
    note = _note(paper, [*lines, *PARTNER])
    assert "Difference to mnist_bp: +0.00 (-1.27 to +1.27), by seed +0.10 (seed 1), -0.10 (seed 2)" in note
    assert "sign-flip p = 1, least reachable 0.5." in note and "seed 7" not in note


def test_what_cannot_be_paired_is_said(paper: Paper, lines: list[dict[str, str]]) -> None:
    assert "mnist_bp" not in _note(paper, PARTNER)  # the cell itself was not run
    assert "Not paired with mnist_bp: no seed was run with both." in _note(paper, [lines[0], *PARTNER])
    second = {**lines[1], "configuration": "other"}
    told = "Not paired with mnist_bp: mnist_dp was run with one seed in several configurations."
    assert told in _note(paper, [*lines, second, *PARTNER])


def test_a_cell_nobody_expected_is_shown_too(paper: Paper) -> None:
    text = paper_table(paper, [result_row(_result(0, 11.0, "surprise"))])
    assert _row(text, "surprise")[5] == "nothing to compare"


def test_a_repeated_seed_replaces_its_line(tmp_path: Path, lines: list[dict[str, str]]) -> None:
    again = result_row(_result(1, 50.0))
    write_results(tmp_path / "results.csv", [*reversed(lines), again])
    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS and len(rows) == 4
    found = [line["test_accuracy_percent"] for line in read_results(tmp_path / "results.csv")]
    assert found == ["91.3100", "50.0000", "91.2500"]


def test_a_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    assert read_results(tmp_path / "results.csv") == []
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="its columns are"):
        read_results(tmp_path / "results.csv")


@pytest.mark.parametrize(
    ("published", "reduced", "mean", "said"),
    [
        (PublishedFigure(91.0, 0.5, "there"), "", 91.5, "within (+0.50)"),
        (PublishedFigure(91.0, 0.5, "there"), "", 90.4, "outside (-0.60)"),
        (PublishedFigure(91.0, 0.5, "there"), "5 epochs", 91.0, "reduced (+0.00)"),
        (PublishedFigure(91.0, None, "there"), "", 90.4, "nothing to compare"),
        (PublishedFigure(reason="not at hand"), "", 90.4, "nothing to compare"),
    ],
)
def test_verdicts(published: PublishedFigure, reduced: str, mean: float, said: str) -> None:
    assert verdict(_cell("one", published=published, reduced=reduced), mean) == said


@pytest.mark.parametrize(
    ("hours", "said"), [(8, "8 h"), (1, "1 h"), (0.5, "30 min"), (1 / 60, "1 min"), (0.005, "18 s")]
)
def test_a_time_is_said_in_the_unit_that_suits_it(hours: float, said: str) -> None:
    assert cost(hours) == said


def test_the_norm_of_all_weights_is_told_where_it_was_measured(paper: Paper, lines: list[dict[str, str]]) -> None:
    assert "W_L" not in _note(paper, lines)
    measured = [result_row({**_result(seed, 91.0), "weight_product_norm": norm}) for seed, norm in ((0, 2.0), (1, 4.0))]
    assert _note(paper, measured).endswith("‖W_L ⋯ W_1‖₂ at the last probe: 3.00 ± 1.41.")
