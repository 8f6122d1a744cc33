"""Seconds, joules and bytes of the steps of a study's points, in turn with back-propagation on the same network."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch

from energy.analysis.gradient_alignment import kept_buffers
from energy.kernels import fused
from energy.ledger import Ledger
from energy.study.inference.measure import Case
from energy.study.interleaved import interleaved
from energy.study.joules import Meter, meter
from energy.study.memory import moved_bytes, peak_bytes
from energy.train.settings import settings

Step = Callable[[], object]
EAGER: Final = "\0eager"
COMPILED: Final = "\0compiled"
LONG: Final = 0.5  # seconds that joules are measured over, which counters of the hardware can tell


def timed(cases: Sequence[Case], *, rounds: int, seconds: float) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Time one training step of each case, its optimizer aside: settle, and the products into `.grad`.

    The steps are taken in turn, with eager and with compiled back-propagation through plain PyTorch among them.

    Args:
        cases: on one network and batch.
        rounds: in each of which every step is taken once.
        seconds: after which no round begins; three are taken in any case.

    Returns:
        The measures of each case by its point's key: `seconds`, `seconds_over_backprop`, `seconds_over_compiled`,
        `joules`, `bytes_held` and `bytes_moved`, None where there is no compiler or no counter; and the conditions:
        rounds taken, and the seconds of back-propagation.
    """
    first, device = cases[0], cases[0].batch[0].device
    steps: dict[str, Step] = {case.point.key: _learn(case) for case in cases}
    with settings(False), kept_buffers(first.network), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch warns of itself when it compiles
        references = _references(first)
        for step in (*references.values(), *steps.values()):
            step()
        times = interleaved({**references, **steps}, rounds=rounds, seconds=seconds, device=device)
        medians = {label: statistics.median(taken) for label, taken in times.items()}
        counter = meter(device)
        found = {
            key: {
                "seconds": medians[key],
                "seconds_over_backprop": medians[key] / medians[EAGER],
                "seconds_over_compiled": medians[key] / medians[COMPILED] if COMPILED in medians else None,
                "joules": None if counter is None else joules(step, counter, medians[key]),
                "bytes_held": _held(first, step, device),
                "bytes_moved": _moved(step),
            }
            for key, step in steps.items()
        }
    first.network.zero_grad()
    rounded = min(map(len, times.values()))
    return found, {"rounds": rounded, "backprop": medians[EAGER], "backprop_compiled": medians.get(COMPILED)}


def joules(step: Step, counter: Meter, seconds: float) -> float:
    """Return the joules of one step, the mean over as many as take half a second or more.

    Args:
        step: takes a step.
        counter: of the device; whatever else runs on it is in the number.
        seconds: that a step takes.
    """
    count = max(1, round(LONG / seconds))
    before = counter.read()
    for _ in range(count):
        step()
    return (counter.read() - before) / count


def _learn(case: Case) -> Step:
    x, target = case.batch
    rule, objective = case.point.setting["rule"], case.point.setting["objective"]

    def step() -> None:
        case.network.zero_grad()
        rule.learn(case.network, case.settler, x, target, objective, Ledger())

    return step


def _references(case: Case) -> Mapping[str, Step]:
    """Back-propagation by autograd, eager and compiled; eager alone where there is no compiler."""
    x, target = case.batch
    x, target = x.to(case.point.precision.weight), target.to(case.point.precision.weight)
    objective, network = case.point.setting["objective"], case.network

    def through(forward: Callable[..., Any]) -> Step:
        def step() -> None:
            network.zero_grad()
            objective.value(forward(x), target).mean().backward()

        return step

    eager, compiled = through(network), through(torch.compile(network.forward))
    try:
        compiled()
    except Exception:  # whatever a compiler that is missing or broken raises
        return {EAGER: eager}
    return {EAGER: eager, COMPILED: compiled}


def _moved(step: Step) -> int:
    """The bytes of the operators of plain functions: nothing compiles under a mode that watches them."""
    with fused(False):
        return moved_bytes(step)


def _held(case: Case, step: Step, device: torch.device) -> int:
    case.network.zero_grad()
    return peak_bytes(step, device)
