"""The verb `repro`: run what is missing of papers, list their cells, or write their tables again."""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from energy.command.arguments import Arguments
from energy.command.cells import ROOT, Chosen, cell_study, chosen_papers
from energy.command.output import show
from energy.command.presets import EXPERIMENT, looked_in, presets
from energy.command.reproducing import Reproducing, missing_runs, startable
from energy.component import ConfigurationError, from_dict, to_dict
from energy.errors import shown
from energy.study.reproduction.cell import ReproductionCell
from energy.train.interrupt import Stopped
from energy.train.terminal import say

if TYPE_CHECKING:
    from energy.train.run import Run


def reproduce_papers(arguments: Arguments) -> int:
    """Carry out the verb.

    Returns:
        The exit status: 1 if any cell failed, or else 0.

    Raises:
        ConfigurationError: for an unknown paper or cell, a malformed file of cells, and a mistaken option.
    """
    from energy.command.launched_cells import print_cells
    from energy.command.launching import take_launcher
    from energy.command.shelf import list_cells, list_papers, write_tables

    launcher = take_launcher(arguments, ())
    experiments = presets(looked_in(arguments), EXPERIMENT)
    deadline = time.monotonic() + _seconds(arguments.budget)
    session = Reproducing(arguments, launcher, _seeds(arguments.seeds), deadline)
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
    if session.printed:
        return print_cells(papers, session)
    _carry_out(papers, session)
    if any((ROOT / chosen.name).is_dir() for chosen in papers):
        try:
            write_tables(experiments, arguments.folders)
        except ConfigurationError as error:  # the cells were run all the same
            session.fail("tables", error)
    return int(bool(session.failures))


def _carry_out(papers: Sequence[Chosen], session: Reproducing) -> None:
    """Run what is missing, in this process or by the launcher, and say at the end what failed."""
    from energy.command.launched_cells import launch_cells

    try:
        if session.launcher is not None:
            launch_cells(papers, session.launcher, session, session.deadline - time.monotonic())
        for chosen in papers if session.launcher is None else ():
            _reproduce(chosen, session)
    finally:
        for failure in session.failures:
            say(True, f"energy: failed: {failure}")
        say(session.out_of_time, "energy: out of time; the same command goes on")


def _reproduce(chosen: Chosen, session: Reproducing) -> None:
    """Run what is missing of one paper."""
    for cell in startable(chosen, session):
        if session.out_of_time:
            return
        if cell.study:
            try:
                _study(chosen, cell, session.arguments)
            except Exception as error:
                session.fail(f"{chosen.name}/{cell.name}", error)
            continue
        for run in missing_runs(chosen, cell, session):
            _train(chosen, run, session)


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
    from energy.command.study import carry_out_and_report, written

    study, line = cell_study(chosen, cell, arguments)
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
