"""The record of a solve that is under way, sample by sample, on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.solution import Outcome, Solution
from energy.state import State


class Tally:
    """The record of each sample of a batch; a `Solution` takes it over.

    Args:
        problem: gives the batch and its device.
        relax: gives budget, tolerance and distance between looks.
        output: the position of the output layer's activity in a state.
    """

    def __init__(self, problem: Problem, relax: Relaxation, output: int) -> None:
        batch, device = problem.batch, problem.device
        self.relax, self.at = relax, output
        self.steps = torch.full((batch,), relax.max_steps, device=device)
        self.residual = torch.full((batch,), torch.nan, device=device)
        self.converged = self.reached = torch.zeros(batch, dtype=torch.bool, device=device)
        self.output: Tensor | None = None
        self.best: State | None = None
        self.least = torch.full((batch,), torch.inf, device=device)
        self.looks: list[Tensor] = []  # residuals
        self.last = torch.zeros(batch, dtype=torch.int64, device=device)  # look that counts for the rate

    def note(self, residual: Tensor, taken: int, state: State) -> None:
        """Enter a look after `taken` steps, which found `residual` at `state`."""
        within = residual <= self.relax.tolerance
        self.steps = torch.where(within & ~self.converged, taken, self.steps)
        self.last = torch.where(self.reached, self.last, len(self.looks))
        self.looks.append(residual)
        self.residual, self.converged = residual, within
        self.output = _kept(self.output, state[self.at], self.reached)
        self.reached = self.reached | within
        if not self.relax.monotone:
            better = within | (residual < self.least)
            self.best = state if self.best is None else state.where(better, self.best)
            self.least = torch.where(better, residual, self.least)

    def verdict(self) -> Tensor:
        """Return (2,) on the device: all samples are within the tolerance; all are at their best states."""
        return torch.stack((self.converged.all(), (self.least <= self.relax.tolerance).all()))

    def rate(self) -> Tensor:
        """Return the factor per step of each sample's residual, (B,); see `Solution.rate`."""
        if len(self.looks) < 2:
            return torch.full_like(self.residual, torch.nan)
        residuals, first = torch.stack(self.looks), self.last // 2
        before, after = (residuals.gather(0, look[None])[0] for look in (first, self.last))
        steps = self._taken(self.last) - self._taken(first)
        return torch.where((steps > 0) & (before > 0), (after / before) ** (1 / steps), torch.nan)

    def _taken(self, look: Tensor) -> Tensor:
        return ((look + 1) * self.relax.check_every).clamp(max=self.relax.max_steps)

    def go_back(self) -> State | None:
        """Enter each sample's best look as its last one, and return the state of these; None if none was kept."""
        if self.best is not None:
            self.residual = torch.where(self.least.isfinite(), self.least, self.residual)
            self.converged = self.residual <= self.relax.tolerance
        return self.best

    def solution(self, state: State, taken: int, outcome: Outcome = Outcome.FIXED, layer: str = "") -> Solution:
        """Return the solution of a solve that ended at `state`.

        Args:
            state: the one to return.
            taken: the steps of the batch.
            outcome: the reason that it ended.
            layer: the name of the first layer that diverged.
        """
        output = state[self.at] if self.output is None else self.output
        steps, rate = self.steps.clamp(max=taken), self.rate()
        residual, converged = self.residual, self.converged
        return Solution(state, outcome, steps, residual, converged, layer=layer, output=output, taken=taken, rate=rate)


def _kept(held: Tensor | None, now: Tensor, reached: Tensor) -> Tensor:
    """The output `now`, but the `held` one of the samples that had reached the tolerance before."""
    return now if held is None else torch.where(reached.view(-1, *[1] * (now.ndim - 1)), held, now)
