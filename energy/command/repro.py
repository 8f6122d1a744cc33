"""The verb `repro`: run what is missing of papers, list their cells, or write their tables again."""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from energy.command.arguments import Arguments
from energy.command.cells import ROOT, RUNS, Chosen, cell_runs, chosen_papers
from energy.command.complaint import complaint, defect
from energy.command.output import show
from energy.command.presets import EXPERIMENT, looked_in, presets
from energy.component import ConfigurationError, from_dict, to_dict
from energy.errors import shown
from energy.study.reproduction.cell import ReproductionCell
from energy.study.reproduction.records import read_recorded
from energy.study.reproduction.status import SeedStatus, seed_status
from energy.study.results import RESULTS, read_results
from energy.train.interrupt import Stopped
from energy.train.terminal import say

if TYPE_CHECKING:
    from energy.train.run import Run


@dataclass
class Reproducing:
    """One command that runs cells.

    Attributes:
        arguments: the command line.
        seeds: the only seeds to run; none for all.
        deadline: the time of `time.monotonic` after which nothing is started.
        failures: what failed, a line each.
        out_of_time: whether the deadline came.
    """

    arguments: Arguments
    seeds: Collection[int]
    deadline: float
    failures: list[str] = field(default_factory=list)
    out_of_time: bool = False

    def fail(self, name: str, error: Exception) -> None:
        """Report a failure, and go on."""
        told = complaint(error) or defect(error)
        self.failures.append(f"{name}: {told}")
        say(True, f"energy: {name}: {told}")


def reproduce_papers(arguments: Arguments) -> int:
    """Carry out the verb.

    Returns:
        The exit status: 1 if any cell failed, or else 0.

    Raises:
        ConfigurationError: for an unknown paper or cell, a malformed file of cells, and a mistaken option.
    """
    from energy.command.shelf import list_cells, list_papers, write_tables

    experiments = presets(looked_in(arguments), EXPERIMENT)
    session = Reproducing(arguments, _seeds(arguments.seeds), time.monotonic() + _seconds(arguments.budget))
    papers = chosen_papers(arguments.rest, experiments)
    if not papers:
        raise ConfigurationError(
            f"repro: there is no paper below {ROOT}; go to a clone of the repository, or name a folder"
        )
    if arguments.tables:
        return write_tables(experiments, arguments.folders)
    if arguments.listed:
        return list_cells(papers, arguments.folders)
    if not arguments.rest:
        return list_papers(papers)
    _known_seeds(papers, session.seeds)
    try:
        for chosen in papers:
            _reproduce(chosen, session)
    finally:
        for failure in session.failures:
            say(True, f"energy: failed: {failure}")
        say(session.out_of_time, "energy: out of time; the same command goes on")
    if any((ROOT / chosen.name).is_dir() for chosen in papers):
        try:
            write_tables(experiments, arguments.folders)
        except ConfigurationError as error:  # the cells were run all the same
            session.fail("tables", error)
    return int(bool(session.failures))


def status_of_seeds(chosen: Chosen, runs: dict[int, Run]) -> dict[int, SeedStatus]:
    """Return the state of each run of one cell, by seed."""
    if not runs:
        return {}
    cell = next(iter(runs.values())).title
    lines, recorded = read_results(chosen.folder / RESULTS), read_recorded(chosen.folder, cell)
    return {seed: seed_status(run, cell, recorded, lines) for seed, run in runs.items()}


def _reproduce(chosen: Chosen, session: Reproducing) -> None:
    """Run what is missing of one paper."""
    cells = chosen.cells if chosen.named else _startable(chosen)
    for cell in cells:
        if session.out_of_time:
            return
        try:
            if cell.study:
                _study(chosen, cell, session.arguments)
                continue
            runs = cell_runs(cell, chosen.name, session.arguments.folders)
            missing = [runs[seed] for seed, one in status_of_seeds(chosen, runs).items() if not one.done]
        except Exception as error:
            session.fail(f"{chosen.name}/{cell.name}", error)
            continue
        for run in missing:
            if not session.seeds or run.seed in session.seeds:
                _train(chosen, run, session)


def _startable(chosen: Chosen) -> list[ReproductionCell]:
    """The cells without those that need a GPU on a machine that has none, which are reported in one line."""
    import torch

    if torch.cuda.is_available():
        return list(chosen.cells)
    left = [cell.name for cell in chosen.cells if cell.needs.device == "gpu"]
    told = f"{len(left)} cells need a GPU and are left out, unless they are named: {', '.join(left)}"
    say(bool(left), f"energy: {chosen.name}: {told}")
    return [cell for cell in chosen.cells if cell.needs.device != "gpu"]


def _train(chosen: Chosen, run: Run, session: Reproducing) -> None:
    """Train and gather one run within the time that is left."""
    from energy.study.reproduction.reproduce import reproduce
    from energy.train.progress import answer
    from energy.train.run import Run

    left = session.deadline - time.monotonic()
    if session.out_of_time or left <= 0:
        session.out_of_time = True
        return
    name = f"{chosen.name}/{run.title} seed {run.seed}"
    if math.isfinite(left):
        plain = to_dict(run)
        plain["train"]["time_limit"] = min(left, run.train.time_limit or left)
        run = from_dict(Run, plain, path="")
    try:
        show(f"{name}: {answer(run, reproduce(chosen.folder, chosen.paper, run))}")
    except Stopped as stopped:
        if stopped.code:
            raise
        session.out_of_time = time.monotonic() >= session.deadline
    except Exception as error:
        session.fail(name, error)
    gc.collect()  # frees the memory of a failed run before the next


def _study(chosen: Chosen, cell: ReproductionCell, arguments: Arguments) -> None:
    """Carry out one study, which knows no budget, in its folder below `runs`."""
    from energy.command.compose import plan
    from energy.command.study import carry_out_and_report, written
    from energy.study.inference.study import Study

    out = RUNS / chosen.name / cell.name
    line = Arguments(rest=[f"experiment={cell.study}", *cell.overrides, f"out={out}"], folders=arguments.folders)
    (study,) = plan(Study, "study", line)
    show(f"{chosen.name}/{cell.name}: {written(line)}", sys.stderr)
    carry_out_and_report(study, written(line))


def _seeds(given: Sequence[str]) -> list[int]:
    words = [word for one in given for word in one.split(",")]
    for word in words:
        if not word.isdecimal() or len(word) > 18:
            raise ConfigurationError(f"--seed={shown(word)}: must be a whole number of at least 0")
    return [int(word) for word in words]


def _known_seeds(papers: Sequence[Chosen], seeds: Collection[int]) -> None:
    """Refuse a seed that none of the cells has."""
    known = sorted({seed for chosen in papers for cell in chosen.cells for seed in cell.seeds})
    for seed in seeds:
        if seed not in known:
            raise ConfigurationError(f"--seed={seed}: no cell has it; known: {', '.join(map(str, known))}")


def _seconds(given: Sequence[str]) -> float:
    """The budget in seconds; infinite if there is none."""
    if not given:
        return math.inf
    try:
        minutes = float(given[0])
    except ValueError:
        minutes = 0.0
    if len(given) > 1 or not 0 < minutes < math.inf:
        raise ConfigurationError(f"--budget={shown(' '.join(given))}: must be one number of minutes above 0")
    return 60 * minutes
