"""Lives of a command: it is started, watched, and killed with all its processes at a moment that was drawn before."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.ordeal.promises import Watch

PAUSE: Final = 0.01  # seconds between two looks
PATIENCE: Final = 1800.0  # seconds that a life may last
SHARES: Final = {"startup": 0.15, "training": 0.65, "conclusion": 0.2}


@dataclass(frozen=True)
class Moment:
    """When a life ends.

    Attributes:
        phase: `startup`, `training` (from the first change of the folder on) or `conclusion`.
        share: of what that phase lasted in the unbroken run, after which the life ends.
    """

    phase: str
    share: float


@dataclass
class Life:
    """What was seen of one life.

    Attributes:
        status: exit status; None for a life that was ended.
        said: what the process wrote.
        lasted: seconds of each phase.
    """

    status: int | None
    said: str
    lasted: dict[str, float] = field(default_factory=dict)


def moments(count: int, seed: int) -> list[Moment]:
    """Draw when `count` lives end. Training is cut early, so that a run dies more than once before it is done."""
    drawn = random.Random(seed)
    phases = drawn.choices([*SHARES], [*SHARES.values()], k=count)
    return [Moment(phase, drawn.uniform(0, 0.4 if phase == "training" else 1)) for phase in phases]


def live(
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    watch: Watch,
    concludes: str,
    moment: Moment | None = None,
    whole: Mapping[str, float] | None = None,
) -> Life:
    """Start a command, and look at its folder until it ends or its moment comes.

    Args:
        words: the command.
        folder: in which it is started; beside it `said` keeps what it writes.
        environment: of the command.
        watch: of the folder that it writes in.
        concludes: pattern below that folder of what appears when the conclusion begins.
        moment: when it is killed; None for never.
        whole: seconds of the phases of an unbroken life.
    """
    said = folder / "said"
    begun = {"startup": time.monotonic()}
    watch.look()
    with said.open("wb") as log:
        child = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        followed(child, watch, begun, concludes, due(moment, whole or {}))
    finally:
        ended = child.poll() is not None
        if not ended:
            kill(child)
    watch.look()
    text = said.read_text(errors="replace")
    return Life(child.returncode if ended else None, text, _lasted(begun, time.monotonic()))


def due(moment: Moment | None, whole: Mapping[str, float]) -> tuple[str, float]:
    """The phase in which a life ends, and the seconds after its beginning; no phase for a life that is not ended."""
    return (moment.phase, moment.share * whole[moment.phase]) if moment else ("", 0.0)


def followed(
    child: subprocess.Popen[bytes], watch: Watch, begun: dict[str, float], concludes: str, end: tuple[str, float]
) -> None:
    """Look at the folder of a process until that ends or its moment has come, and note when its phases begin."""
    phase, seconds = end
    while child.poll() is None:
        _note(watch, begun, concludes)
        if phase in begun and time.monotonic() >= begun[phase] + seconds:
            return
        assert time.monotonic() - begun["startup"] < PATIENCE, f"{child.args} lasts longer than {PATIENCE} s"
        time.sleep(PAUSE)
    _note(watch, begun, concludes)


def kill(child: subprocess.Popen[bytes]) -> None:
    """End a process and all that come from it, in whichever group they are, as a machine that loses power does."""
    family = {child.pid}
    while more := {pid for pid, parent in parents().items() if parent in family} - family:
        family |= more
        for pid in more:
            _send(pid, signal.SIGSTOP)  # it starts no more while the others are looked for
    for pid in [child.pid, *sorted(family - {child.pid})]:
        _send(pid, signal.SIGKILL)
    child.wait()
    while any(pid in parents() for pid in family):
        time.sleep(PAUSE)


def parents() -> dict[int, int]:
    """The parent of every process that has not ended; on Linux."""
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                state, parent = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state not in "ZX":
                found[int(name)] = int(parent)
    return found


def energy(*words: str) -> list[str]:
    """The command line of the library."""
    return [sys.executable, "-m", "energy", *words]


def _note(watch: Watch, begun: dict[str, float], concludes: str) -> None:
    """Look once, and note the phases that have begun."""
    if watch.look():
        begun.setdefault("training", time.monotonic())
    if "training" in begun and "conclusion" not in begun and next(watch.folder.glob(concludes), None):
        begun["conclusion"] = time.monotonic()


def _lasted(begun: Mapping[str, float], end: float) -> dict[str, float]:
    """Seconds of each phase that began, until the next one did."""
    ends = [*list(begun.values())[1:], end]
    return {name: after - at for (name, at), after in zip(begun.items(), ends, strict=True)}


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
