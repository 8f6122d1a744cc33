"""Samples whose free phase ends in another equilibrium for the digits of its states.

An energy with many minima has basins, and a state that passes near the border of two can be put on the other side by
rounding. The same relaxation then leads to one equilibrium in narrow states and to another in float64, and the
gradients of the two differ however well each is computed.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import torch
from torch import Tensor

from energy.analysis.remedies import Attempt
from energy.ledger import Ledger
from energy.objectives import Objective
from energy.potentials import Potential
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Solution
from energy.settle.settler import solve_layers

APART: Final = 1e-6  # relative: one equilibrium is found again to residual/(1 − ρ), far less than this
STILL: Final = 1e-10  # a residual up to which a state in float64 is at an equilibrium


@torch.no_grad()
def in_another_equilibrium(narrow: Attempt, wide: Attempt) -> Tensor:
    """Return true for each sample that has another equilibrium in narrow states than in float64, (B,).

    The narrow free phase settles as far as its digits allow. From there it goes on in float64, which ends in the
    equilibrium that it was at. A sample counts if this one and that of a free phase all in float64 are both reached,
    and lie apart. Samples that do not come to rest do not count; nor does any under normalization by the batch, which
    makes one problem of all samples.

    Args:
        narrow: the attempt as it is.
        wide: the same in float64.
    """
    nowhere = torch.zeros(len(wide.x), dtype=torch.bool, device=wide.x.device)
    settler = narrow.settler
    if not settler.gamma or any(edge.coupling.batchwise for edge in narrow.network.edges):
        return nowhere
    onward = dataclasses.replace(settler, relax=narrow.onward(settler.relax, narrow.x.dtype))
    _, reached, _ = onward.free(narrow.network, narrow.x, Ledger())
    to_rest = dataclasses.replace(settler, relax=wide.onward(settler.relax, wide.x.dtype))
    _, _, direct = to_rest.free(wide.network, wide.x, Ledger())
    problem = SinglePhase(wide.network, wide.x, to_rest.gain_on_device(wide.network), Ledger())
    again = solve_layers(problem, problem.adopt(reached.to(wide.x.dtype)), to_rest.relax)
    assert direct is not None  # there is feedback
    size = direct.state.norms().clamp_min(torch.finfo(torch.float64).tiny)
    distance = ((again.state - direct.state).norms() / size).amax(0)
    return (distance > APART) & _at_rest(again) & _at_rest(direct)


def _at_rest(solution: Solution) -> Tensor:
    return solution.converged | (solution.residual < STILL)


def objective_of_some(objective: Objective, chosen: Tensor) -> Objective:
    """Return the same objective for the samples that are `chosen`, (B,) booleans, and 0 for the others.

    The others are settled as before but not nudged, so they have no gradient. A smaller batch would not do: the
    rounding of a matrix product depends on the size of the batch. A clamp is not lifted.
    """
    some = _OfSome(inner=objective, nudge=objective.nudge)
    some._chosen = chosen
    return some


class _OfSome(Objective):
    inner: Objective

    def _choose(self, mine: Tensor, others: Tensor) -> Tensor:
        chosen = self._chosen  # pyright: ignore[reportAttributeAccessIssue] (a tensor is no field of a component)
        return torch.where(chosen.view(-1, *[1] * (mine.ndim - 1)), mine, others)

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        mine = self.inner.value(output, target)
        return self._choose(mine, torch.zeros_like(mine))

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        mine = self.inner.gradient(output, target)
        return self._choose(mine, torch.zeros_like(mine))

    def validate_output(self, potential: Potential) -> None:
        self.inner.validate_output(potential)

    def nudged(
        self,
        potential: Potential,
        drive: Tensor,
        h: Tensor,
        target: Tensor,
        frozen: Tensor | None,
        beta_plus: float,
        beta_minus: float,
    ) -> tuple[Tensor, Tensor]:
        mine, pull = self.inner.nudged(potential, drive, h, target, frozen, beta_plus, beta_minus)
        return self._choose(mine, drive), self._choose(pull, h)
