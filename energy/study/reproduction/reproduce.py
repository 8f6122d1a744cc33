"""One run of a cell: trained in its folder, then gathered into the files of its paper."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from energy.io.record import exclusive_lock
from energy.io.result import is_finished, read_result
from energy.study.reproduction.cell import Paper
from energy.study.reproduction.records import RECORDS, record_run
from energy.study.reproduction.table import write_paper_table
from energy.study.results import RESULTS, read_results, result_row, write_results
from energy.train.fit import fit
from energy.train.rehearsal import rehearse
from energy.train.run import Run
from energy.train.terminal import say

ROW: Final = (
    *("title", "configuration_key", "seed", "test_accuracy", "test_objective", "validation_accuracy", "epochs"),
    *("sweeps", "multiply_adds", "seconds", "device_name", "threads", "torch", "commit", "outcomes"),
)


def reproduce(folder: Path, paper: Paper, run: Run) -> dict[str, Any]:
    """Train a run of the paper in `folder`, from its newest checkpoint if there is one, and gather it.

    Args:
        folder: the folder of the paper.
        paper: its cells; the title of the run is the name of one.
        run: the run.

    Returns:
        The contents of its `result.json`.

    Raises:
        Stopped: after a signal or the time limit, with the state saved and nothing gathered.
        ConfigurationError: when the run cannot be trained, or its folder belongs to another run.
    """
    if not is_finished(run.folder):
        rehearse(run)
    run.place()
    result = fit(run)
    gather_run(folder, paper, run, result)
    return result


def gather_run(folder: Path, paper: Paper, run: Run, result: Mapping[str, Any] | None = None) -> None:
    """Put one finished run into `results.csv`, `table.md` and `records/` of its paper.

    Rows of its cell that were made with another configuration are removed: a cell has one.

    Args:
        folder: the folder of the paper.
        paper: its cells.
        run: the run, finished in its own folder.
        result: the contents of its `result.json`; read from there unless given.
    """
    row = result_row({**(read_result(run.folder, ROW) if result is None else result), "title": run.title})
    with exclusive_lock(folder / RECORDS, wait=True):  # several commands may run cells of one paper
        keys = record_run(folder, run.title, run, row["configuration"]).keys
        lines = read_results(folder / RESULTS)
        kept = [line for line in lines if line["cell"] != run.title or line["configuration"] in keys]
        say(len(kept) < len(lines), f"{run.title}: the rows and records of its former configuration are removed")
        write_results(folder / RESULTS, [*kept, row])
        write_paper_table(folder, paper)
