"""The exact gradient that a point is judged by: at the equilibrium that its own relaxation reaches when it runs on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from energy.component import to_dict
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.relax.anderson import Anderson
from energy.relax.relaxation import Relaxation
from energy.relax.solution import Outcome, Solution
from energy.rules.contrast import Contrast
from energy.settle.dyadic import Implicit
from energy.settle.reference import exact_settler
from energy.settle.settler import Settler
from energy.state import State

ONWARD: Final = 600  # steps of the relaxation, and of the solve of the adjoint


@dataclass(frozen=True)
class Exact:
    """An exact gradient.

    Attributes:
        gradient: one tensor per parameter.
        equilibrium: of the mean; None for a settler that has another reference than `implicit`.
        outcomes: of its solves, by phase.
        multiply_adds: that it took.
    """

    gradient: list[Tensor]
    equilibrium: State | None
    outcomes: Mapping[str, str]
    multiply_adds: int


def exact_gradient(network: Network, settler: Settler, batch: tuple[Tensor, Tensor], objective: Objective) -> Exact:
    """Compute the exact gradient at the settler's γ, in the precision of the batch, in float32 or wider.

    The mean runs on by the settler's own relaxation, because an energy has several minima and another way down may end
    in another one. About an equilibrium the adjoint has one solution, which Anderson's iteration finds soonest.

    Args:
        network: settled on.
        settler: gives γ and the relaxation.
        batch: inputs and targets.
        objective: the loss.
    """
    x, target = batch
    wide = torch.promote_types(x.dtype, torch.float32)
    exact, ledger = onward(settler, wide), Ledger()
    settled = exact.settle(network, x.to(wide), target.to(wide), objective, ledger)
    outcomes = {phase: told(solution) for phase, solution in settled.solutions.items()}
    gradient = Contrast().gradients(network, settled)
    mean = getattr(settled, "mean", None)
    return Exact(gradient, mean if isinstance(mean, State) else None, outcomes, ledger.multiply_adds)


def onward(settler: Settler, dtype: torch.dtype) -> Settler:
    """Return the settler of the exact gradient, the same one for all budgets and tolerances of a relaxation."""
    exact = exact_settler(settler, dtype)
    relax = run_on(exact.relax)
    if isinstance(exact, Implicit):
        adjoint = Anderson(max_steps=ONWARD, tolerance=relax.tolerance)
        return dataclasses.replace(exact, relax=relax, nudged=adjoint)
    return dataclasses.replace(exact, relax=relax)


def run_on(relax: Relaxation) -> Relaxation:
    """Return a relaxation with a budget and a tolerance that do not depend on those it has."""
    tight = 1e-6 if relax.tolerance <= 1e-6 else 1e-3
    return dataclasses.replace(
        relax, max_steps=ONWARD, tolerance=tight, check_every=4, drop_converged=False, bfloat16_until=0.0
    )


def key_of(settler: Settler, dtype: torch.dtype) -> dict[str, Any]:
    """Return plain values that tell exact gradients on one network and batch apart."""
    return to_dict(onward(settler, torch.promote_types(dtype, torch.float32)))


def told(solution: Solution) -> str:
    """Return the outcome of a solve as a word of the record."""
    return solution.read().outcome.name.lower()


def worst(outcomes: Mapping[str, str]) -> str:
    """Return the worst of some outcomes; `none` if there are none."""
    order = [Outcome.DIVERGED, Outcome.BUDGET, Outcome.FIXED, Outcome.CONVERGED]
    names = [one.name.lower() for one in order]
    return min(outcomes.values(), key=names.index, default="none")
