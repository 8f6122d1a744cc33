"""The loop around a relaxation: it steps, checks the residual, counts, stops, and reports the outcome."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import torch
from torch import Tensor

from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation, returned
from energy.state import State

BLOWN_UP = 1e4  # root mean square activity of a layer above which it counts as diverged


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
        lost: true for each tensor that diverged, (tensors,), if the device has not been read.
        taken: the steps of the batch.
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

    def __str__(self) -> str:
        at = f" ({self.layer})" if self.layer else ""
        if bool(self.residual.isnan().all()) and not self.layer:
            share = "residual not measured"
        else:
            share = f"{int(self.converged.sum())} of {len(self.converged)} samples converged"
        return f"{self.outcome.name.lower()}{at}: {self.outcome.value}; {int(self.steps.max())} steps, {share}"


@torch.no_grad()
def solve(problem: Problem, state: State, relax: Relaxation, *, output: int = -1) -> Solution:
    """Step until all samples have converged, one has diverged, or the budget is spent; the device is read at checks.

    Args:
        problem: gives the `response` that the states come to equal.
        state: the start.
        relax: the relaxation, with its budget and tolerance.
        output: the position of the output layer's activity in a state.

    Returns:
        The last state, and the outcome.
    """
    steps = torch.full((problem.batch,), relax.max_steps, device=problem.device)
    residual = torch.full((problem.batch,), torch.nan, device=problem.device)
    converged = reached = torch.zeros(problem.batch, dtype=torch.bool, device=problem.device)
    outcome, layer = Outcome.FIXED, ""
    taken, memory = 0, None
    kept = lost = None
    for taken in range(1, relax.max_steps + 1):
        before = state
        state, memory = returned(relax, relax.step(problem, state, memory))
        if relax.tolerance and (taken % relax.check_every == 0 or taken == relax.max_steps):
            residual, blown = _look(relax.residual(problem, before, state), state)
            steps = torch.where((residual <= relax.tolerance) & ~converged, taken, steps)
            converged = residual <= relax.tolerance
            kept = _kept(kept, state[output], reached)
            reached = reached | converged
            outcome, layer = _verdict(problem, converged, blown.any(1))
            if outcome is not Outcome.BUDGET:
                break
    if outcome is Outcome.FIXED and relax.max_steps > 1:
        lost = ~(state.norms() < BLOWN_UP).all(1)
        if (
            lost.device.type == "cpu"
        ):  # on a GPU the check would wait for the device, which a fixed number of steps must not
            ended, layer = _verdict(problem, converged, lost)
            outcome, lost = ended if ended is Outcome.DIVERGED else outcome, None
    kept = state[output] if kept is None else kept
    return Solution(state, outcome, steps.clamp(max=taken), residual, converged, layer, kept, lost, taken)


def fixed(problem: Problem, state: State, steps: int) -> Solution:
    """Return the solution of a fixed number of steps, with no residual measured."""
    batch, device = problem.batch, problem.device
    nan, none = torch.full((batch,), torch.nan, device=device), torch.zeros(batch, dtype=torch.bool, device=device)
    return Solution(state, Outcome.FIXED, torch.full((batch,), steps, device=device), nan, none, taken=steps)


def _kept(held: Tensor | None, now: Tensor, reached: Tensor) -> Tensor:
    """The output `now`, but the `held` one of the samples that had reached the tolerance before."""
    return now if held is None else torch.where(reached.view(-1, *[1] * (now.ndim - 1)), held, now)


def _look(change: State, state: State) -> tuple[Tensor, Tensor]:
    """The relative residual of each sample, (B,), and true for each (tensor, sample) that has blown up."""
    size, moved = state.norms(), change.norms()
    relative = moved / size.clamp_min(torch.finfo(size.dtype).tiny)
    relative = torch.where(moved == 0, torch.zeros_like(moved), relative)
    return relative.amax(0), ~(size < BLOWN_UP)


def _verdict(problem: Problem, converged: Tensor, blown: Tensor) -> tuple[Outcome, str]:
    """The outcome so far, and the first layer that has `blown` up, (tensors,); one read of the device."""
    done, *lost = torch.cat((converged.all()[None], blown)).tolist()
    if any(lost):
        return Outcome.DIVERGED, problem.name(lost.index(True))
    return Outcome.CONVERGED if done else Outcome.BUDGET, ""
