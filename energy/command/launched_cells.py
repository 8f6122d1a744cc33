"""Missing runs of papers as command lines of their own; what they leave is gathered here, one after the other."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from energy.command.cells import Chosen, cell_study
from energy.command.launched_study import launch_points, study_commands
from energy.command.launching import LaunchedRun, launched_runs, print_commands, run_command, runs_left
from energy.command.output import show
from energy.command.reproducing import Reproducing, missing_runs, startable
from energy.command.study import carry_out_and_report, written
from energy.io.record import RESULT
from energy.launch.launcher import Launcher
from energy.study.reproduction.cell import ReproductionCell
from energy.study.reproduction.reproduce import gather_run
from energy.train.interrupt import Stopped
from energy.train.progress import answer
from energy.train.rehearsal import rehearse
from energy.train.run import Run
from energy.train.terminal import say

LEAST: Final = 1e-3  # seconds; no limit at all is written as 0
Cell = tuple[Chosen, ReproductionCell]


def launch_cells(papers: Sequence[Chosen], launcher: Launcher, session: Reproducing, seconds: float) -> None:
    """Carry out what is missing of papers in processes of their own: all trainings together, then each study.

    Args:
        papers: the papers and cells.
        launcher: carries out the command lines.
        session: the command, whose failures and end of time are noted.
        seconds: that are left; infinite for no limit.

    Raises:
        Stopped: after a signal, once all runs have left and those that are finished are gathered.
    """
    launcher.prepare()
    cells = _startable(papers, session)
    runs = {run.folder: (chosen, run) for chosen, run in _fit(cells, session)}
    limit = max(seconds, LEAST) if math.isfinite(seconds) else 0.0
    try:
        for ended in launched_runs([run for _, run in runs.values()], launcher, session.arguments.plugins, limit):
            _gather(runs[ended.run.folder][0], ended, session, bool(limit))
            del runs[ended.run.folder]
    except Stopped as stopped:
        say(True, f"energy: {stopped}")
        raise
    session.out_of_time = session.out_of_time or bool(runs)
    for chosen, cell in _studies(cells):
        if not session.out_of_time:
            _study(chosen, cell, launcher, session)


def print_cells(papers: Sequence[Chosen], session: Reproducing) -> int:
    """Print the command lines of what is missing of papers, and run nothing.

    Args:
        papers: the papers and cells.
        session: the command.

    Returns:
        The exit status: 1 if a run cannot be trained, or else 0.
    """
    plugins, others = session.arguments.plugins, list[LaunchedRun]()
    cells = _startable(papers, session)
    left = runs_left([run for _, run in _fit(cells, session)], others)
    print_commands([run_command(run, plugins) for run in left])
    for ended in others:
        say(bool(ended.said), f"energy: {ended.run.title} seed {ended.run.seed}: {ended.said}")
    for chosen, cell in _studies(cells):
        print_commands(study_commands(cell_study(chosen, cell, session.arguments)[0], plugins))
    return int(bool(session.failures) or any(ended.said for ended in others))


def _startable(papers: Sequence[Chosen], session: Reproducing) -> list[Cell]:
    return [(chosen, cell) for chosen in papers for cell in startable(chosen, session)]


def _studies(cells: Sequence[Cell]) -> list[Cell]:
    return [(chosen, cell) for chosen, cell in cells if cell.study]


def _fit(cells: Sequence[Cell], session: Reproducing) -> Iterator[tuple[Chosen, Run]]:
    """The runs that are missing; one that cannot be trained is reported and left out."""
    for chosen, cell in cells:
        for run in [] if cell.study else missing_runs(chosen, cell, session):
            try:
                if not (run.folder / RESULT).exists():
                    rehearse(run)
            except Exception as error:
                session.fail(_name(chosen, run), error)
            else:
                yield chosen, run


def _gather(chosen: Chosen, ended: LaunchedRun, session: Reproducing, limited: bool) -> None:
    """Gather one run that is finished; report one that failed."""
    name = _name(chosen, ended.run)
    if not ended.result:
        late = ended.state == "out of time" or (limited and ended.state == "stopped")
        session.out_of_time = session.out_of_time or late
        if not late:
            session.note(name, ended.said or ended.state)
        return
    try:
        gather_run(chosen.folder, chosen.paper, ended.run, ended.result)
        show(f"{name}: {answer(ended.run, ended.result)}")
    except Exception as error:
        session.fail(name, error)


def _study(chosen: Chosen, cell: ReproductionCell, launcher: Launcher, session: Reproducing) -> None:
    name = f"{chosen.name}/{cell.name}"
    try:
        study, line = cell_study(chosen, cell, session.arguments)
        show(f"{name}: {written(line)}", sys.stderr)
        if launch_points(study, launcher, session.arguments.plugins):
            session.note(name, f"some of its points failed; the same command goes on, logs in {study.folder}")
            return
        carry_out_and_report(study, written(line))
    except Exception as error:
        session.fail(name, error)


def _name(chosen: Chosen, run: Run) -> str:
    return f"{chosen.name}/{run.title} seed {run.seed}"
