"""The parts of a study as command lines: first its trainings, then the points of each of its networks."""

from __future__ import annotations

from collections.abc import Sequence

from energy.command.launching import command_words, failure_of, launched_runs, run_command, runs_left
from energy.launch.attempt import LOG
from energy.launch.command_line import CommandLine
from energy.launch.launcher import Launcher
from energy.study.entrants import entrants_of
from energy.study.inference.carry_out import unmeasured
from energy.study.inference.study import Study
from energy.train.interrupt import Stopped
from energy.train.run import Run
from energy.train.terminal import say

LOGS = "logs"  # of the points, in the folder of the study


def launch_points(study: Study, launcher: Launcher, plugins: Sequence[str]) -> int:
    """Train the networks of a study, and measure its points without their times, in processes of their own.

    Args:
        study: the study.
        launcher: carries out the command lines.
        plugins: the plug-ins that they need.

    Returns:
        The exit status: 1 if any of them failed or left early, or else 0.

    Raises:
        Stopped: after a signal, once all have left.
    """
    launcher.prepare()
    try:
        return _train(trainings_left(study), launcher, plugins) or _measure(study, launcher, plugins)
    except Stopped as stopped:
        say(True, f"energy: {stopped}")
        raise


def study_commands(study: Study, plugins: Sequence[str]) -> list[CommandLine]:
    """Return the command lines of the parts of a study that are not done, the trainings first.

    Args:
        study: the study.
        plugins: the plug-ins that they need.
    """
    trained = [run_command(run, plugins) for run in runs_left(trainings_left(study), [])]
    return [*trained, *point_commands(study, plugins)]


def trainings_left(study: Study) -> list[Run]:
    """Return the trainings of points that are not measured yet, each once."""
    runs = [point.training for group in unmeasured(study).values() for point in group if point.training is not None]
    return list({str(run.folder): run for run in runs}.values())


def point_commands(study: Study, plugins: Sequence[str]) -> list[CommandLine]:
    """Return a command line for the points of each network that are not measured yet.

    Args:
        study: the study.
        plugins: the plug-ins that they need.
    """
    needs = {name for entrant in entrants_of(study, study.settlers) for name in entrant.settler.needs()}
    gpu = study.device in ("auto", "cuda")
    return [
        CommandLine(
            f"{study.title}, {len(points)} points of group {group}",
            command_words("study", study, needs, plugins, (f"--group={group}",)),
            study.folder / LOGS / group,
            gpu,
        )
        for group, points in unmeasured(study).items()
    ]


def _train(runs: Sequence[Run], launcher: Launcher, plugins: Sequence[str]) -> int:
    status = 0
    for ended in launched_runs(runs, launcher, plugins):
        if ended.state not in ("done", "kept"):
            say(True, f"energy: {ended.run.title} in {ended.run.folder}: {ended.said or ended.state}")
            status = 1
    return status


def _measure(study: Study, launcher: Launcher, plugins: Sequence[str]) -> int:
    commands, failed = point_commands(study, plugins), 0
    if not commands:
        return 0
    told = f"points of {len(commands)} networks, launcher={launcher.name}: {launcher.describe(commands)}"
    say(True, f"energy: {told}; each writes {study.folder / LOGS}/GROUP/{LOG}")
    for place, status in launcher.statuses(commands):
        if status:
            say(True, f"energy: {commands[place].name}: {failure_of(commands[place], status)}")
            failed = 1
    return failed
