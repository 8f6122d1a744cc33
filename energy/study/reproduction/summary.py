"""The table of all papers: how many cells there are, and what became of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from energy.study.reproduction.cell import Paper, ReproductionCell
from energy.study.reproduction.table import WITHIN, lines_of, measured_accuracies, verdict
from energy.study.results import RESULTS, read_results
from energy.study.statistics import markdown, sample_statistics

HEADINGS: Final = ("paper", "cells", "run", "published and run", "within tolerance", "not run")
STUDY_TABLE: Final = "study.csv"


def summary_table(papers: Mapping[str, tuple[Path, Paper]], base: str) -> str:
    """Return the table of all papers as Markdown.

    A cell counts as published and run if it has a published value and was run at full size; those with a tolerance
    stand in the next column.

    Args:
        papers: the folder and the cells of each, by name.
        base: the path of the folder of papers from the page, ending in a slash, or empty.
    """
    return markdown(HEADINGS, [_counts(f"[{name}]({base}{name}/README.md)", *papers[name]) for name in papers])


def was_run(folder: Path, cell: ReproductionCell, lines: Sequence[Mapping[str, str]]) -> bool:
    """Return true if there are results of a cell: a line of `results.csv`, or the table of a study.

    Args:
        folder: the folder of the paper.
        cell: the cell.
        lines: the lines of its `results.csv`.
    """
    return (folder / cell.name / STUDY_TABLE).exists() if cell.study else bool(lines_of(cell.name, lines))


def _counts(name: str, folder: Path, paper: Paper) -> list[str]:
    lines = read_results(folder / RESULTS)
    run = [cell for cell in paper.cells.values() if was_run(folder, cell, lines)]
    compared = [cell for cell in run if cell.published.value is not None and not cell.reduced]
    verdicts = [
        verdict(cell, sample_statistics(measured_accuracies(lines_of(cell.name, lines)))["mean"])
        for cell in compared
        if cell.published.tolerance is not None
    ]
    within = f"{sum(one.startswith(WITHIN) for one in verdicts)} of {len(verdicts)}" if verdicts else "–"
    left = len(paper.cells) - len(run)
    return [name, str(len(paper.cells)), str(len(run)), str(len(compared)), within, str(left)]
