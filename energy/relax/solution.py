"""The result of a solve."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass

import torch
from torch import Tensor

from energy.relax.problem import Problem
from energy.state import State


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
        state: the last state; where a relaxation may rise (`Relaxation.monotone`) and the solve has not converged, each
            sample's state of the look with the least residual.
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
        rate: the factor by which a step multiplied the residual of each sample, (B,): the geometric mean over the
            second half of its looks, up to that at which it reached the tolerance; NaN for a sample with one look.
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
    rate: Tensor | None = None

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


def fixed(problem: Problem, state: State, steps: int) -> Solution:
    """Return the solution of a fixed number of steps, with no residual measured."""
    batch, device = problem.batch, problem.device
    nan, none = torch.full((batch,), torch.nan, device=device), torch.zeros(batch, dtype=torch.bool, device=device)
    steps_each = torch.full((batch,), steps, device=device)
    return Solution(state, Outcome.FIXED, steps_each, nan, none, taken=steps, rate=nan)
