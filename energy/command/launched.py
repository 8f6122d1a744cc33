"""Sweeps whose runs are command lines of their own, carried out by a launcher."""

from __future__ import annotations

from collections.abc import Sequence

from energy.command.complaint import complaint
from energy.command.launching import LaunchedRun, launched_runs, print_commands, run_command, runs_left
from energy.command.output import show
from energy.command.sweep import Member, members_of, print_table
from energy.component import ConfigurationError
from energy.launch.launcher import Launcher
from energy.train.interrupt import Stopped
from energy.train.progress import answer
from energy.train.rehearsal import rehearse
from energy.train.run import Run
from energy.train.terminal import say


def launch_sweep(runs: Sequence[Run], launcher: Launcher, plugins: Sequence[str]) -> int:
    """Rehearse every run, train those that are not finished in processes of their own, and print the table.

    Args:
        runs: the runs of the sweep.
        launcher: carries out their command lines.
        plugins: the plug-ins that they need.

    Returns:
        The exit status: 1 if any run failed or left early by itself, or else 0.

    Raises:
        Stopped: after a signal, once all have left and the table is printed.
    """
    launcher.prepare()
    members = members_of(runs)
    try:
        fit_for = [member.run for member in members if rehearsed(member)]
        for ended in launched_runs(fit_for, launcher, plugins):
            _settle(members, ended)
    except Stopped as stopped:
        say(True, f"energy: {stopped}")
        raise
    finally:
        print_table(members)
    return int(any(member.state in ("failed", "stopped", "not run") for member in members))


def print_sweep(runs: Sequence[Run], plugins: Sequence[str]) -> int:
    """Print the command lines of the runs that are not finished, and run nothing.

    Args:
        runs: the runs of the sweep.
        plugins: the plug-ins that they need.

    Returns:
        The exit status: 1 if a run cannot be trained, or else 0.
    """
    members, others = members_of(runs), list[LaunchedRun]()
    left = list(runs_left([member.run for member in members if rehearsed(member)], others))
    for ended in others:
        _settle(members, ended, quiet=True)
    print_commands([run_command(run, plugins) for run in left])
    return int(any(member.state == "failed" for member in members))


def rehearsed(member: Member) -> bool:
    """Rehearse one run; one that cannot be trained is reported and left out."""
    try:
        rehearse(member.run)
    except ConfigurationError as error:
        member.state = "failed"
        say(True, f"energy: {member.name}: {complaint(error)}")
        return False
    return True


def _settle(members: Sequence[Member], ended: LaunchedRun, quiet: bool = False) -> None:
    """Note the end of a run with all members that share its folder, and print its line."""
    own = [one for one in members if one.run.folder == ended.run.folder and one.state == "not run"]
    for member in own:
        member.state, member.result = ended.state, ended.result
        if ended.said:
            say(True, f"energy: {member.name}: {ended.said}")
    if ended.result and not quiet:
        show(answer(ended.run, dict(ended.result)))
