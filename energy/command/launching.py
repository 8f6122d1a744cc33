"""The words of a command line that choose a launcher, and the command lines that it is given."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from energy.command.arguments import Arguments
from energy.command.complaint import complaint
from energy.command.output import show
from energy.component import Component, ConfigurationError
from energy.errors import EnergyError
from energy.hints import nearest
from energy.launch.attempt import LOG, ending, left_in_order
from energy.launch.command_line import CommandLine
from energy.launch.launcher import Launcher
from energy.ranks import asked
from energy.train.folder import clear_up, finished_result
from energy.train.run import Run, Setting
from energy.train.terminal import say
from energy.train.words import setting_words

WORD: Final = "launcher"


class Launching(Component):
    """The configuration that the words of a launcher make, beside that of the runs.

    Attributes:
        launcher: the launcher.
    """

    group: ClassVar[str] = "launching"
    launcher: Launcher


@dataclass(frozen=True)
class LaunchedRun:
    """The end of one run of several that were launched.

    Attributes:
        run: the run.
        state: `done`, `kept` (it was finished before), `out of time`, `stopped` or `failed`.
        result: the contents of its `result.json`, once it is finished.
        said: the error of one that failed.
    """

    run: Run
    state: str
    result: Mapping[str, Any]
    said: str = ""


def take_launcher(line: Arguments, known: Collection[str]) -> Launcher | None:
    """Take the words of a launcher off a command line, and build it; None if there are none.

    Args:
        line: the command line, of which other words remain.
        known: the names that may be set beside it.

    Raises:
        ConfigurationError: for an unknown launcher or field, several launchers, and a word that is nearly `launcher`.
    """
    own = [word for word in line.rest if _first(word) == WORD]
    line.rest = [word for word in line.rest if word not in own]
    for name in map(_first, line.rest):
        if name and name not in known and nearest(name, [*known, WORD]) == WORD:
            raise ConfigurationError(f"{name}: unknown field; did you mean {WORD!r}?")
    if not own:
        return None
    if (count := asked()) > 1:
        raise ConfigurationError(f"{own[0]}: starts processes itself, and {count} were started already (WORLD_SIZE)")
    from energy.command.compose import plan

    found = plan(Launching, "launching", Arguments(rest=own, folders=line.folders, sweep=True))
    if len(found) > 1:
        raise ConfigurationError(f"{' '.join(own)}: one launcher carries out the whole sweep; choose one value of each")
    return found[0].launcher


def run_command(run: Run, plugins: Sequence[str]) -> CommandLine:
    """Return the command line that trains a run in its folder.

    Args:
        run: the run.
        plugins: the plug-ins that it needs.
    """
    words = command_words("train", run, run.settler.needs(), plugins)
    return CommandLine(f"{run.title} in {run.folder}", words, run.folder, run.device in ("auto", "cuda"))


def command_words(
    verb: str, setting: Setting, needs: Collection[str], plugins: Sequence[str], options: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the words of a command line that carries out a run or a study with the Python of this process.

    Args:
        verb: `train` or `study`.
        setting: the run or study.
        needs: names of the settings that its settlers need.
        plugins: the plug-ins that it needs.
        options: further words.
    """
    given = [f"--plugin={name}" for name in plugins]
    return (sys.executable, "-m", "energy", verb, *given, *options, *setting_words(setting, needs))


def print_commands(commands: Sequence[CommandLine]) -> None:
    """Print command lines, one each, as a shell reads them."""
    for command in commands:
        show(command.text)


def launched_runs(
    runs: Sequence[Run], launcher: Launcher, plugins: Sequence[str], seconds: float = 0.0
) -> Iterator[LaunchedRun]:
    """Train runs that are not finished, each in a process of its own; of several in one folder the first.

    Args:
        runs: the runs, rehearsed already.
        launcher: carries out their command lines.
        plugins: the plug-ins that they need.
        seconds: time after which all are asked to leave; 0 for none.

    Yields:
        Each run as it ends, those first that were finished before. One that is not started in time is left out.

    Raises:
        Stopped: after a signal, once all have left.
    """
    left, failed = list[Run](), list[LaunchedRun]()
    for run in runs_left(runs, failed):
        left.append(run)
    for ended in failed:
        if ended.state == "kept":
            with suppress(EnergyError, OSError):  # as a run that is not launched, whose folder is cleared as it is kept
                clear_up(ended.run.folder)
        yield ended
    commands = [run_command(run, plugins) for run in left]
    if commands:
        launcher.prepare()
        told = f"{len(commands)} runs" if len(commands) > 1 else "one run"
        say(True, f"energy: {told}, launcher={launcher.name}: {launcher.describe(commands)}; each writes {LOG}")
        for place, status in launcher.statuses(commands, seconds):
            yield _ended(left[place], commands[place], status)


def runs_left(runs: Sequence[Run], others: list[LaunchedRun]) -> Iterator[Run]:
    """Yield the runs that are still to be trained, one for each folder.

    Args:
        runs: the runs.
        others: gets those that are finished, and those whose folder cannot be used.
    """
    seen = set[str]()
    for run in runs:
        if str(run.folder) in seen:
            continue
        seen.add(str(run.folder))
        try:
            result = finished_result(run, run.folder)
        except Exception as error:
            if not complaint(error):
                raise
            others.append(LaunchedRun(run, "failed", {}, complaint(error)))
            continue
        if result is None:
            yield run
        else:
            others.append(LaunchedRun(run, "kept", result))


def _ended(run: Run, command: CommandLine, status: int) -> LaunchedRun:
    """The end of a run, by the status of its command line and by what is in its folder."""
    try:
        result = finished_result(run, run.folder)
    except Exception as error:
        if not complaint(error):
            raise
        return LaunchedRun(run, "failed", {}, complaint(error))
    if result is not None:
        return LaunchedRun(run, "done", result)
    if status == 0:
        return LaunchedRun(run, "out of time", {})
    if left_in_order(status):
        return LaunchedRun(run, "stopped", {})
    return LaunchedRun(run, "failed", {}, failure_of(command, status))


def failure_of(command: CommandLine, status: int) -> str:
    """Return the last error in the log of a command line, or else its exit status."""
    path = command.folder / LOG
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    told = [line.removeprefix("energy: ") for line in lines if line.startswith("energy: ")]
    ended = ending(status)
    return f"{told[-1]} ({path})" if told and status > 0 else f"{ended} ({path})"


def _first(word: str) -> str:
    """The first part of the name that a word sets; empty for a word that sets none."""
    found = re.match(r"[+~]*([^=.\s]+)[^=\s]*(=|$)", word)
    return found[1] if found and ("=" in word or word[:1] in "+~" or found[1] == WORD) else ""
