"""The loop around a relaxation: it runs blocks of steps, looks at the residual, counts, stops, and says how it ended.

A block of steps reads nothing (`energy.relax.block`). The look at its end reads one small tensor: at once where reads
are free, elsewhere while the next block runs ahead of it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from energy import reading
from energy.reading import DeviceRead
from energy.relax.block import BLOWN_UP, BlockEnd, Point, block
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.state import State
from energy.tracing import tracing

Run = Callable[[Problem, Relaxation, Point, int], BlockEnd | None]  # as `block`


class Outcome(enum.Enum):
    """The end of a solve."""

    CONVERGED = "every sample reached the tolerance"
    FIXED = "ran the number of steps it was given; convergence was not asked for"
    BUDGET = "the budget of steps ran out before every sample reached the tolerance"
    DIVERGED = "the activity of a layer left every bound or stopped being a number"


@dataclass(frozen=True)
class Solution:
    """The result of a solve.

    Attributes:
        state: the last state.
        outcome: the reason that the solve ended.
        steps: of each sample, (B,).
        residual: the largest relative change that a response would still make to a layer, (B,); NaN if convergence was
            not asked for, and then no sample counts as converged.
        converged: of each sample, (B,).
        layer: the name of the first layer that diverged.
        output: the activity of the output layer, each sample's from the check at which it first reached the tolerance:
            it does not depend on the other samples of the batch.
        lost: true for each tensor that diverged, (tensors,), if the device has not been read; `read` does it.
        taken: the steps of the batch.
        names: of the layer of each tensor in `lost`.
    """

    state: State
    outcome: Outcome
    steps: Tensor
    residual: Tensor
    converged: Tensor
    layer: str = ""
    output: Tensor | None = None
    lost: Tensor | None = None
    taken: int = 0
    names: tuple[str, ...] = ()

    def read(self) -> Solution:
        """Return this solution with the divergence that is still on the device, if any; reads the device then."""
        lost = [] if self.lost is None else self.lost.tolist()
        if not any(lost):
            return self if self.lost is None else dataclasses.replace(self, lost=None)
        return dataclasses.replace(self, lost=None, outcome=Outcome.DIVERGED, layer=self.names[lost.index(True)])

    def __str__(self) -> str:
        at = f" ({self.layer})" if self.layer else ""
        if bool(self.residual.isnan().all()) and not self.layer:
            share = "residual not measured"
        else:
            share = f"{int(self.converged.sum())} of {len(self.converged)} samples converged"
        return f"{self.outcome.name.lower()}{at}: {self.outcome.value}; {int(self.steps.max())} steps, {share}"


class Tally:
    """The record of each sample of a batch, on the device; a `Solution` takes it over.

    Args:
        problem: gives the batch and its device.
        relax: gives budget and tolerance.
    """

    def __init__(self, problem: Problem, relax: Relaxation) -> None:
        batch, device = problem.batch, problem.device
        self.tolerance = relax.tolerance
        self.steps = torch.full((batch,), relax.max_steps, device=device)
        self.residual = torch.full((batch,), torch.nan, device=device)
        self.converged = self.reached = torch.zeros(batch, dtype=torch.bool, device=device)
        self.output: Tensor | None = None

    def note(self, residual: Tensor, taken: int, output: Tensor) -> None:
        """Enter a look after `taken` steps, with the activity of the output layer."""
        within = residual <= self.tolerance
        self.steps = torch.where(within & ~self.converged, taken, self.steps)
        self.residual, self.converged = residual, within
        self.output = _kept(self.output, output, self.reached)
        self.reached = self.reached | within

    def solution(self, state: State, output: Tensor, taken: int) -> Solution:
        """Return the solution of a solve that was not cut short by an outcome of its own."""
        kept = output if self.output is None else self.output
        steps = self.steps.clamp(max=taken)
        return Solution(state, Outcome.FIXED, steps, self.residual, self.converged, output=kept, taken=taken)


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
        The last state, and the outcome.
    """
    if relax.tolerance and run is block and (trace := tracing()) is not None:
        return trace.loop(problem, state, relax, output)
    point, tally = Point(state), Tally(problem, relax)
    if relax.tolerance:
        return _looking(problem, relax, point, tally, output, run)
    run(problem, relax, point, relax.max_steps)
    solution = tally.solution(point.state, point.state[output], relax.max_steps)
    if relax.max_steps == 1:
        return solution
    lost, names = ~(point.state.norms() < BLOWN_UP).all(1), tuple(map(problem.name, range(len(point.state))))
    solution = dataclasses.replace(solution, lost=lost, names=names)
    return solution.read() if reading.is_free(problem.device) else solution


def _looking(problem: Problem, relax: Relaxation, point: Point, tally: Tally, output: int, run: Run) -> Solution:
    """Solve to a tolerance, with a look at the end of each block."""
    looks = [*range(relax.check_every, relax.max_steps, relax.check_every), relax.max_steps]
    seen = run(problem, relax, point, looks[0])
    outcome, layer = Outcome.BUDGET, ""
    taken = looks[0]
    for taken, following in zip(looks, [*looks[1:], 0], strict=True):
        assert seen is not None  # there is a tolerance
        tally.note(seen.residual, taken, point.state[output])
        verdict = DeviceRead(torch.cat((tally.converged.all()[None], seen.blown)))
        ahead = _run_ahead(problem, relax, point, following - taken, run) if following else None
        outcome, layer = _ended(problem, *verdict.result())
        if outcome is not Outcome.BUDGET or not following:
            if ahead is not None:
                ahead.take_back()
            break
        point, seen = (ahead.point, ahead.seen) if ahead else (point, run(problem, relax, point, following - taken))
    solution = tally.solution(point.state, point.state[output], taken)
    return dataclasses.replace(solution, outcome=outcome, layer=layer)


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


def fixed(problem: Problem, state: State, steps: int) -> Solution:
    """Return the solution of a fixed number of steps, with no residual measured."""
    batch, device = problem.batch, problem.device
    nan, none = torch.full((batch,), torch.nan, device=device), torch.zeros(batch, dtype=torch.bool, device=device)
    return Solution(state, Outcome.FIXED, torch.full((batch,), steps, device=device), nan, none, taken=steps)


def _kept(held: Tensor | None, now: Tensor, reached: Tensor) -> Tensor:
    """The output `now`, but the `held` one of the samples that had reached the tolerance before."""
    return now if held is None else torch.where(reached.view(-1, *[1] * (now.ndim - 1)), held, now)


def _ended(problem: Problem, done: bool, *lost: bool) -> tuple[Outcome, str]:
    """The outcome so far, and the first layer that has blown up."""
    if any(lost):
        return Outcome.DIVERGED, problem.name(lost.index(True))
    return Outcome.CONVERGED if done else Outcome.BUDGET, ""
