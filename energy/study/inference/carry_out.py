"""The course of a study: points are measured and kept one by one, then timed, then gathered into one record.

What is in the folder is not measured again. Several processes, on one machine or on several that share the folder, may
carry out the same study: each takes the points of a network that no other has, by a lock that ends with its process.
"""

from __future__ import annotations

import dataclasses
import fcntl
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import torch

from energy.component import ConfigurationError, from_dict, to_dict
from energy.errors import LockedFolderError
from energy.hints import hint
from energy.io.code import plugins
from energy.io.plain_file import opened_to_write, require_kind
from energy.io.provenance import provenance
from energy.io.record import read_json, write_json
from energy.study.inference.block import Quantity
from energy.study.inference.cases import case_of, measure_cases, point_line
from energy.study.inference.networks import Networks
from energy.study.inference.point import PlannedPoint
from energy.study.inference.record import POINTS, origin_of
from energy.study.inference.study import Study, points
from energy.study.inference.timing import timed
from energy.train.registration import register_builtins
from energy.train.terminal import say

WAIT: Final = 5.0  # seconds between two looks for points that another process is measuring


def carry_out_study(study: Study) -> None:
    """Measure every point that is not in the folder yet, wait for those that other processes have taken, then time.

    Raises:
        ConfigurationError: for several workers of a study with plug-ins, which they would not know.
    """
    wanted = points(study)
    if study.workers > 1 and plugins(study.parts()):
        raise ConfigurationError(f"workers={study.workers}: must be 1 with plug-ins; start the command several times")
    before = torch.get_num_threads()
    with helpers(study):
        torch.set_num_threads(max(1, before // study.workers))
        _until_done(study, wanted, lambda point: point.measure - {Quantity.TIME}, _measure)
    torch.set_num_threads(before)
    late = [point for point in wanted if Quantity.TIME in point.measure]
    _until_done(study, late, lambda point: frozenset({Quantity.TIME}), _time)


def unmeasured(study: Study) -> dict[str, list[PlannedPoint]]:
    """Return the points that are not in the folder yet, times left aside, by the name of their network's group."""
    found: dict[str, list[PlannedPoint]] = {}
    for point in points(study):
        if not _covers(_held(study, point), point.measure - {Quantity.TIME}):
            found.setdefault(point.group, []).append(point)
    return found


def measure_groups(study: Study, names: Iterable[str]) -> None:
    """Measure all but the times of the points of some networks, as far as they are not in the folder yet.

    Args:
        study: the study.
        names: of the groups, as `unmeasured` gives them.

    Raises:
        ConfigurationError: for a group that the study does not have.
    """
    planned, asked = points(study), set(names)
    known = {point.group for point in planned}
    for name in sorted(asked - known):
        raise ConfigurationError(f"--group={name}: the study has no such group; {hint(name, known)}")
    own = [point for point in planned if point.group in asked]
    _until_done(study, own, lambda point: point.measure - {Quantity.TIME}, _measure)


@contextmanager
def helpers(study: Study) -> Iterator[None]:
    """Let the other workers measure points while the context lasts; they end with this process, however it ends."""
    spawning = multiprocessing.get_context("spawn")
    plain = to_dict(dataclasses.replace(study, workers=1, out=str(study.folder)))
    threads = max(1, torch.get_num_threads() // study.workers)
    started = [spawning.Process(target=help_out, args=(plain, threads), daemon=True) for _ in range(1, study.workers)]
    for process in started:
        process.start()
    yield
    for process in started:
        process.join()


def help_out(plain: dict[str, Any], threads: int) -> None:
    """Measure the points of a study that no other process has, in a process of its own.

    Args:
        plain: the study as plain values.
        threads: of torch.
    """
    register_builtins()
    torch.set_num_threads(threads)
    study = from_dict(Study, plain)
    _until_done(study, points(study), lambda point: point.measure - {Quantity.TIME}, _measure)


def _until_done(
    study: Study,
    wanted: Sequence[PlannedPoint],
    asked: Callable[[PlannedPoint], frozenset[Quantity]],
    work: Callable[[Study, Networks, list[PlannedPoint]], None],
) -> None:
    """Work on what is left, group by group, until nothing is."""
    networks = Networks(study.place())
    while left := [point for point in wanted if not _covers(_held(study, point), asked(point))]:
        if not _round(study, left, lambda group: work(study, networks, group)):
            time.sleep(WAIT)


def _round(study: Study, left: list[PlannedPoint], work: Callable[[list[PlannedPoint]], None]) -> bool:
    """Work on the groups that no other process has; False if there was none."""
    worked = False
    for _, group in itertools.groupby(left, key=lambda point: point.group):
        own = list(group)
        with claimed(study.folder / POINTS / f".{own[0].group}.lock") as ours, suppress(LockedFolderError):
            if ours:
                work(own)
                worked = True
    return worked


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Hold a lock while the context lasts; False if another process holds it.

    On a file system without locks the user is trusted to start one process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened_to_write(path, os.O_RDWR) as handle:
        yield _locked(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def path_of(study: Study, point: PlannedPoint) -> Path:
    """Return the file of a point."""
    return study.folder / POINTS / f"{point.key}.json"


def _held(study: Study, point: PlannedPoint) -> dict[str, Any]:
    path = path_of(study, point)
    return read_json(path, {"measured": list[str], "measures": dict, "failed": str}) if require_kind(path) else {}


def _covers(held: dict[str, Any], asked: Iterable[Quantity]) -> bool:
    """True if a point's file has all that is asked for, or says why it cannot."""
    return bool(held) and ("failed" in held or {one.name for one in asked} <= set(held["measured"]))


def _measure(study: Study, networks: Networks, group: list[PlannedPoint]) -> None:
    left = [point for point in group if not _covers(_held(study, point), point.measure - {Quantity.TIME})]
    origin = origin_of(provenance(networks.device))
    for point, found in measure_cases(study, networks, left):
        before = _held(study, point)
        found["measured"] = sorted({*found["measured"], *before.get("measured", [])})
        found["measures"] = {**before.get("measures", {}), **found["measures"]}
        write_json(path_of(study, point), {**before, **found, "origin": origin})
        say(study.train.progress, f"{study.title}: {point_line(found)}")


def _time(study: Study, networks: Networks, group: list[PlannedPoint]) -> None:
    held = {point.key: _held(study, point) for point in group}
    sound = [point for point in group if "failed" not in held[point.key]]
    if not sound:
        return
    cases = [case_of(study, networks, point, {}) for point in sound]
    found, conditions = timed(cases, rounds=study.timing_rounds, seconds=study.timing_seconds)
    for point in sound:
        one = held[point.key]
        one["measures"] |= found[point.key]
        done = sorted({*one["measured"], Quantity.TIME.name})
        write_json(path_of(study, point), {**one, "measured": done, "timing": conditions})
    say(study.train.progress, f"{study.title}: timed {len(sound)} steps in turn, {conditions['rounds']} rounds")
