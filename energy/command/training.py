"""The command `energy train`: one run, alone or on several ranks, or a sweep of them, here or through a launcher."""

from collections.abc import Sequence

from energy.command.arguments import Arguments
from energy.command.compose import plan
from energy.command.dry import print_descriptions
from energy.command.launched import launch_sweep, print_sweep
from energy.command.launching import take_launcher
from energy.command.output import show
from energy.command.presets import EXPERIMENT
from energy.command.sweep import sweep
from energy.component import annotations
from energy.ranks import asked, here, joined
from energy.train.fit import fit
from energy.train.progress import answer
from energy.train.rehearsal import rehearse
from energy.train.run import Run


def train_runs(arguments: Arguments) -> int:
    """Train the run that the overrides describe, or the runs of a sweep.

    Returns:
        The exit status: 1 if a run of a sweep failed, or else 0.
    """
    launcher = take_launcher(arguments, [*annotations(Run), EXPERIMENT])
    runs = plan(Run, "run", arguments)
    if arguments.dry:
        _rehearse(runs)
        return print_descriptions(runs)
    if arguments.printed:
        return print_sweep(runs, arguments.plugins)
    if launcher is not None:
        return launch_sweep(runs, launcher, arguments.plugins)
    if arguments.sweep:
        return sweep(runs)
    _rehearse(runs)
    (run,) = runs
    with joined(run.place() if asked() > 1 else None):
        told = answer(run, fit(run))
        if here().speaks:
            show(told)
    return 0


def _rehearse(runs: Sequence[Run]) -> None:
    for run in runs:
        rehearse(run)
