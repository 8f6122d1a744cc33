"""The loop around a relaxation: it runs blocks of steps, looks at the residual, counts, stops, and says how it ended.

A block of steps reads nothing (`energy.relax.block`). The look at its end reads one small tensor: at once where reads
are free, elsewhere while the next block runs ahead of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from energy import exchange, ranks, reading
from energy.reading import DeviceRead
from energy.relax.block import BLOWN_UP, BlockEnd, Point, Run, block
from energy.relax.leaving import leaving
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.solution import Outcome, Solution
from energy.relax.tally import Tally
from energy.relax.watch import under_watch
from energy.state import State
from energy.tracing import tracing


@torch.no_grad()
def solve(problem: Problem, state: State, relax: Relaxation, *, output: int = -1, run: Run = block) -> Solution:
    """Step until all samples have converged, one has diverged, or the budget is spent.

    The device is read once per block of `check_every` steps, not at all at tolerance 0. Where a read would wait, the
    next block runs meanwhile if the problem can be taken back (`Layered.mark`): the block too many that a solve then
    ends with is neither returned nor counted, but it was run, and it held one more state and set of messages.

    Args:
        problem: gives the `response` that the states come to equal.
        state: the start.
        relax: the relaxation, with its budget and tolerance.
        output: the position of the output layer's activity in a state.
        run: carries out a block of steps.

    Returns:
        The last state, or the best one of a relaxation that may rise, and the outcome.
    """
    if relax.tolerance and run is block and (trace := tracing()) is not None:
        return trace.loop(problem, state, relax, output)
    point, tally = Point(state), Tally(problem, relax, output)
    if run is block:
        run = under_watch(leaving(run, problem, relax))
    if relax.tolerance:
        return _looking(problem, relax, point, tally, run)
    run(problem, relax, point, relax.max_steps)
    solution = tally.solution(point.state, relax.max_steps)
    if relax.max_steps == 1:
        return solution
    lost, names = ~(point.state.norms() < BLOWN_UP).all(1), tuple(map(problem.name, range(len(point.state))))
    solution = dataclasses.replace(solution, lost=lost, names=names)
    return solution.read() if reading.is_free(problem.device) else solution


def _looking(problem: Problem, relax: Relaxation, point: Point, tally: Tally, run: Run) -> Solution:
    """Solve to a tolerance, with a look at the end of each block."""
    looks = [*range(relax.check_every, relax.max_steps, relax.check_every), relax.max_steps]
    seen = run(problem, relax, point, looks[0])
    outcome, layer = Outcome.BUDGET, ""
    taken, back = looks[0], False
    for taken, following in zip(looks, [*looks[1:], 0], strict=True):
        assert seen is not None  # there is a tolerance
        tally.note(seen.residual, taken, point.state)
        verdict = DeviceRead(_of_all(torch.cat((tally.verdict(), seen.blown))))
        following = 0 if relax.spent(point.memory) else following
        ahead = _run_ahead(problem, relax, point, following - taken, run) if following else None
        settled, settled_before, *lost = verdict.result()
        outcome, layer = _ended(problem, settled or settled_before, lost)
        back = not settled
        if outcome is not Outcome.BUDGET or not following:
            if ahead is not None:
                ahead.take_back()
            break
        point, seen = (ahead.point, ahead.seen) if ahead else (point, run(problem, relax, point, following - taken))
    return tally.solution(_returned(problem, point, tally, back), taken, outcome, layer)


def _of_all(verdict: Tensor) -> Tensor:
    """The verdict on the samples of all ranks: within the tolerance if they are everywhere, blown up if anywhere."""
    if not ranks.here().several:
        return verdict
    return torch.cat((~exchange.anywhere(~verdict[:2]), exchange.anywhere(verdict[2:])))


def _returned(problem: Problem, point: Point, tally: Tally, back: bool) -> State:
    """The last state, or `back` at the best one, which the problem then continues from."""
    best = tally.go_back() if back else None
    if best is None or best is point.state:
        return point.state
    adopt = getattr(problem, "adopt", None)
    return best if adopt is None else adopt(best)


class _Ahead(NamedTuple):
    """A block that was run before it was known to be wanted."""

    point: Point
    seen: BlockEnd | None
    take_back: Callable[[], None]


def _run_ahead(problem: Problem, relax: Relaxation, point: Point, steps: int, run: Run) -> _Ahead | None:
    """Run the next block while a look is on its way to the host; None where that gains nothing or cannot be undone."""
    mark = None if reading.is_free(problem.device) else getattr(problem, "mark", None)
    take_back = None if mark is None else mark()
    if take_back is None:
        return None
    onward = dataclasses.replace(point)
    return _Ahead(onward, run(problem, relax, onward, steps), take_back)


def _ended(problem: Problem, done: bool, lost: list[bool]) -> tuple[Outcome, str]:
    """The outcome so far, and the first layer that has blown up."""
    if any(lost):
        return Outcome.DIVERGED, problem.name(lost.index(True))
    return Outcome.CONVERGED if done else Outcome.BUDGET, ""
