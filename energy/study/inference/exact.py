"""The exact gradient that a point is judged by: at the equilibrium that its own relaxation reaches when it runs on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from energy.component import to_dict
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.relax.anderson import Anderson
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.solution import Outcome, Solution
from energy.relax.sweep import Sweep
from energy.rules.contrast import Contrast
from energy.settle.dyadic import Implicit
from energy.settle.reference import exact_settler
from energy.settle.settler import Settler
from energy.state import State

ONWARD: Final = 500  # steps of the relaxation, and of the solve of the adjoint


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
    outcomes = {phase: outcome_word(solution) for phase, solution in settled.solutions.items()}
    gradient = Contrast().gradients(network, settled)
    mean = getattr(settled, "mean", None)
    return Exact(gradient, mean if isinstance(mean, State) else None, outcomes, ledger.multiply_adds)


def onward(settler: Settler, dtype: torch.dtype) -> Settler:
    """Return the settler of the exact gradient, the same one for all budgets and tolerances of a relaxation."""
    exact = exact_settler(settler, dtype)
    if not isinstance(exact, Implicit):
        return exact
    limit = {"max_steps": ONWARD, "tolerance": exact.relax.tolerance, "check_every": 4}
    inner = dataclasses.replace(exact.relax, **limit, drop_converged=False, bfloat16_until=0.0)
    relax = inner if isinstance(inner, Sweep) else Polished(inner=inner, **limit)
    return dataclasses.replace(exact, relax=relax, nudged=Anderson(**limit))


class Polished(Relaxation):
    """A relaxation for its first steps, and from where it has come to, sweeps to the equilibrium.

    A slow relaxation has chosen its minimum long before it is there.

    Attributes:
        inner: the relaxation.
        first: the number of its steps.
    """

    inner: Relaxation = field(default_factory=Sweep)
    first: int = 100

    def step(self, problem: Problem, state: State, memory: Any) -> tuple[State, Any]:
        count, held = memory or (0, None)
        way = self.inner if count < self.first else Sweep()
        if count == self.first:
            state, held = adopted(problem, state), None
        state, held = way.step(problem, state, held)
        return state, (count + 1, held)


def adopted(problem: Problem, state: State) -> State:
    """Return the state, from which all messages are sent anew."""
    adopt = getattr(problem, "adopt", None)
    return state if adopt is None else adopt(state)


def exact_key(settler: Settler, dtype: torch.dtype) -> dict[str, Any]:
    """Return plain values that tell exact gradients on one network and batch apart."""
    return to_dict(onward(settler, torch.promote_types(dtype, torch.float32)))


def outcome_word(solution: Solution) -> str:
    """Return the outcome of a solve as a word of the record."""
    return solution.read().outcome.name.lower()


def worst(outcomes: Mapping[str, str]) -> str:
    """Return the worst of some outcomes; `none` if there are none."""
    order = [Outcome.DIVERGED, Outcome.BUDGET, Outcome.FIXED, Outcome.CONVERGED]
    names = [one.name.lower() for one in order]
    return min(outcomes.values(), key=names.index, default="none")
