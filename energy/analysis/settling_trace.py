"""The course of a settling: energy, residual and cosine after each step of its relaxations.

Energies and residuals are those of one settling, looked at after each step. A cosine is that of the gradient which the
settler would give if one phase stopped there, so each takes a settling of its own, O(n²) steps in all: a measurement
for a small batch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from energy.analysis.gradient_alignment import angles, at_rest, kept_buffers
from energy.component import annotations
from energy.network import Network
from energy.objectives import Objective
from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation
from energy.relax.solution import Solution
from energy.relax.watch import watching
from energy.rules.contrast import Contrast
from energy.rules.rule import Rule
from energy.settle.reference import exact_settler
from energy.settle.settler import Settler
from energy.state import State


def settling_trace(
    network: Network, settler: Settler, rule: Rule, objective: Objective, x: Tensor, target: Tensor
) -> dict[str, Any]:
    """Record energy, residual and cosine after each step of each phase, on one batch.

    No weight, no `.grad` and no buffer changes.

    Args:
        network: the network.
        settler, rule: give the gradient; a rule that does not descend the objective has no cosines.
        objective: the loss.
        x: (B, *input shape).
        target: (B, *output shape).

    Returns:
        Plain values. `gamma`, `samples`, `reference` (the outcomes of the exact gradient's solves), and `phases`: by
        name its `outcome` and, with one entry per step, `energy` (mean over the batch of what the problem's flow
        descends; None if there is no such energy, as for a dyad, whose equilibrium is a saddle), `residual_median` and
        `residual_max` over the samples, and `cosine` (of the worst layer with the exact gradient, if this phase stops
        there and the others go on as the settler says; phases of one relaxation stop together).

    Example:
        >>> from energy.objectives import SquaredError, one_hot
        >>> from energy.settle import EquilibriumPropagation
        >>> from energy.testing.small import batch, contracting
        >>> found = settling_trace(contracting(), EquilibriumPropagation(), Contrast(), SquaredError(), *batch())
        >>> list(found["phases"]), len(found["phases"]["free"]["energy"]) == len(found["phases"]["free"]["cosine"])
        (['free', 'nudged'], True)
    """
    settler = at_rest(settler)
    with kept_buffers(network):
        phases = _Phases()
        with watching(phases.look):
            settled = _plainly(settler).settle(network, x, target, objective)
        found = phases.found(settled.solutions)
        reference = _cosines(network, settler, rule, objective, (x, target), found) if found else {}
    gamma = settler.gain(network)
    return {"gamma": gamma, "samples": len(x), "reference": reference, "phases": found}


class _Phases:
    """The numbers of each phase, step by step, by the name that its steps are counted under."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, list[float | None]]] = {}

    def look(self, problem: Problem, state: State, steps: int) -> None:
        columns = self.seen.setdefault(getattr(problem, "phase", ""), {})
        values = _energies(problem, state)
        residual = _residual(problem, state)
        numbers = {
            "energy": None if values is None else values.mean(),
            "residual_median": None if residual is None else residual.median(),
            "residual_max": None if residual is None else residual.max(),
        }
        for name, number in numbers.items():
            columns.setdefault(name, []).append(None if number is None else _plain(float(number)))

    def found(self, solutions: Mapping[str, Solution]) -> dict[str, dict[str, Any]]:
        """Return what was seen, without steps that a solver had run ahead and took back."""
        found: dict[str, dict[str, Any]] = {}
        for name, columns in self.seen.items():
            kept = {column: numbers[: solutions[name].taken] for column, numbers in columns.items()}
            found[name] = {"outcome": solutions[name].outcome.name.lower(), **kept}
        return found


def _energies(problem: Problem, state: State) -> Tensor | None:
    """The energy of each sample that the problem's flow descends, (B,), if it defines `energies`."""
    define = getattr(problem, "energies", None)
    return None if define is None else define(state)


def _residual(problem: Problem, state: State) -> Tensor | None:
    """The relative residual of each sample, (B,), as a look of the solver measures it; the problem is left as it was.

    None for couplings whose next pass would depend on this one.
    """
    mark = getattr(problem, "mark", None)
    take_back = (lambda: None) if mark is None else mark()
    if take_back is None:
        return None
    size, moved = state.norms(), (problem.response(state) - state).norms()
    take_back()
    relative = moved / size.clamp_min(torch.finfo(size.dtype).tiny)
    return torch.where(moved == 0, 0, relative).amax(0)


def _plain(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _cosines(
    network: Network,
    settler: Settler,
    rule: Rule,
    objective: Objective,
    batch: tuple[Tensor, Tensor],
    phases: dict[str, dict[str, Any]],
) -> dict[str, str]:
    """Enter the cosine at each step of each phase; returns the outcomes of the exact gradient's solves."""
    for phase in phases.values():
        phase["cosine"] = [None] * len(phase["energy"])
    if not rule.descends:
        return {}
    x, target = batch
    wide = next(network.parameters()).dtype if settler.gamma == 0 else x.dtype
    exact = exact_settler(settler, wide).settle(network, x.to(wide), target.to(wide), objective)
    wanted = Contrast().gradients(network, exact)

    def worst(field: str, steps: int) -> float | None:
        with kept_buffers(network):
            settled = _stopped(settler, field, steps).settle(network, x, target, objective)
            return angles(network, rule.gradients(network, settled), wanted)["cosine_worst"]

    for field in ("relax", "nudged"):
        stopped = [phase for name, phase in phases.items() if (name == "free") == (field == "relax")]
        most = max((len(phase["energy"]) for phase in stopped), default=0)
        found = [worst(field, steps) for steps in range(1, most + 1)]
        for phase in stopped:
            phase["cosine"] = found[: len(phase["energy"])]
    return {phase: solution.outcome.name.lower() for phase, solution in exact.solutions.items()}


def _stopped(settler: Settler, field: str, steps: int) -> Settler:
    """The settler with a budget of `steps` in one relaxation, which takes them as it would have."""
    relax = getattr(settler, field)
    return dataclasses.replace(settler, **{field: dataclasses.replace(relax, max_steps=steps)})


class _Plain(Relaxation):
    """A relaxation by its interface alone.

    A settler carries out all of its steps, where it would leave the last one of some relaxations to the rule; and no
    step depends on what `watching` makes of the tolerance.
    """

    inner: Relaxation

    @property
    def monotone(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] (as constant as what it reads)
        return self.inner.monotone

    def step(self, problem: Problem, state: State, memory: Any) -> tuple[State, Any]:
        return self.inner.step(problem, state, memory)

    def residual(self, problem: Problem, before: State, after: State) -> State:
        return self.inner.residual(problem, before, after)

    def spent(self, memory: Any) -> bool:
        return self.inner.spent(memory)


def _plainly(settler: Settler) -> Settler:
    """The settler with its relaxations by their interface alone."""
    found: dict[str, Relaxation] = {}
    for field in ("relax", "nudged"):
        if isinstance(inner := getattr(settler, field, None), Relaxation):
            found[field] = _Plain(inner=inner, **{name: getattr(inner, name) for name in annotations(Relaxation)})
    return dataclasses.replace(settler, **found)
