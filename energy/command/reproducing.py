"""A command that reproduces papers: its options, its failures, and the runs that are missing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from energy.command.arguments import Arguments
from energy.command.cells import Chosen, cell_runs
from energy.command.complaint import complaint, defect
from energy.study.reproduction.cell import ReproductionCell
from energy.study.reproduction.records import read_recorded
from energy.study.reproduction.status import SeedStatus, seed_status
from energy.study.results import RESULTS, read_results
from energy.train.terminal import say

if TYPE_CHECKING:
    from energy.launch.launcher import Launcher
    from energy.train.run import Run


@dataclass
class Reproducing:
    """One command that runs cells.

    Attributes:
        arguments: the command line.
        launcher: carries the runs out in processes of their own; None for one after the other in this process.
        seeds: the only seeds to run; none for all.
        deadline: the time of `time.monotonic` after which nothing is started.
        failures: what failed, a line each.
        out_of_time: whether the deadline came.
    """

    arguments: Arguments
    launcher: Launcher | None
    seeds: Collection[int]
    deadline: float
    failures: list[str] = field(default_factory=list)
    out_of_time: bool = False

    @property
    def printed(self) -> bool:
        """True if command lines are printed and nothing is run."""
        return self.arguments.printed

    @property
    def gpus(self) -> bool:
        """True if a run that wants a GPU gets one, here or where the launcher carries it out."""
        import torch

        return torch.cuda.is_available() if self.launcher is None else self.launcher.offers_gpus

    def fail(self, name: str, error: Exception) -> None:
        """Report a failure, and go on."""
        self.note(name, complaint(error) or defect(error))

    def note(self, name: str, told: str) -> None:
        """Report a failure in words, and go on."""
        self.failures.append(f"{name}: {told}")
        say(True, f"energy: {name}: {told}")


def status_of_seeds(chosen: Chosen, runs: dict[int, Run]) -> dict[int, SeedStatus]:
    """Return the state of each run of one cell, by seed."""
    if not runs:
        return {}
    cell = next(iter(runs.values())).title
    lines, recorded = read_results(chosen.folder / RESULTS), read_recorded(chosen.folder, cell)
    return {seed: seed_status(run, cell, recorded, lines) for seed, run in runs.items()}


def startable(chosen: Chosen, session: Reproducing) -> list[ReproductionCell]:
    """Return the cells to run: those that are named, or all but those for a GPU where there is none, with a line."""
    if chosen.named or session.gpus:
        return list(chosen.cells)
    left = [cell.name for cell in chosen.cells if cell.needs.device == "gpu"]
    told = f"{len(left)} cells need a GPU and are left out, unless they are named: {', '.join(left)}"
    say(bool(left), f"energy: {chosen.name}: {told}")
    return [cell for cell in chosen.cells if cell.needs.device != "gpu"]


def missing_runs(chosen: Chosen, cell: ReproductionCell, session: Reproducing) -> list[Run]:
    """Return the runs of a cell that are not gathered yet; one that cannot be composed is reported.

    Args:
        chosen: the paper.
        cell: a training.
        session: the command.
    """
    try:
        runs = cell_runs(cell, chosen.name, session.arguments.folders)
        missing = [runs[seed] for seed, one in status_of_seeds(chosen, runs).items() if not one.done]
    except Exception as error:
        session.fail(f"{chosen.name}/{cell.name}", error)
        return []
    return [run for run in missing if not session.seeds or run.seed in session.seeds]
