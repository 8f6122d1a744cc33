"""The error of a gradient as a sum of vectors, one for each cause.

    e = g − g* = Σ_i part_i + unexplained,      part_i = g_{i−1} − g_i,      unexplained = g_n − g*

g₀ is the gradient of a settler and a rule as they are, g* the exact one in float64 at the settler's own γ
(`energy.settle.reference`), and g_i what the first i remedies give together (`energy.analysis.remedies`), each kept as
the next one comes:

    rule                the contrast of the same states, where the rule is another
    rounding            float64
    other_equilibrium   of that, the samples that rounding led to another equilibrium
    mean                the free phase at rest
    feedback_weights    the weights themselves carry δ down
    difference          δ, or the nudged phases, at rest
    clamp               a nudge in place of a clamp
    switches            the switches of the free equilibrium in every phase
    nudge               β/100

The order is part of the definition: a part is what its remedy changes after those before it, so two causes that act
together are charged to the first. Digits come first, since a difference of stored states draws another rounding error
whenever anything else changes, and a later remedy would be charged with that. The mean comes next: all else depends on
where it is, and from here on it is the equilibrium at which g* is taken. δ settles for certain only with the weights
themselves, and a nudge is judged by phases that have settled. Switches before the nudge, because a smaller nudge leaves
them alone too.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from energy.analysis.gradient_alignment import at_rest
from energy.analysis.other_equilibrium import in_another_equilibrium, objective_of_some
from energy.analysis.remedies import REMEDIES, Attempt, in_float64
from energy.component import ConfigurationError
from energy.errors import NonFiniteError
from energy.network import Network
from energy.objectives import Objective
from energy.relax.relaxation import Relaxation
from energy.rules.contrast import Contrast
from energy.rules.rule import Rule
from energy.settle.dyadic import Dyadic
from energy.settle.reference import exact_settler, further
from energy.settle.settler import Settler
from energy.settle.spiking_settler import SpikingSettler
from energy.settle.two_phase import Phases

BUDGET: Final = 1000  # steps at least, in float64
TIGHT: Final = 1e-13
UNEXPLAINED: Final = "unexplained"

Gradient = list[Tensor]  # one tensor per parameter, in float64


@dataclass(frozen=True)
class ErrorParts:
    """The exact gradient, and the parts that a gradient differs from it by.

    Attributes:
        exact: g*.
        parts: the vectors that add up to g − g*, by cause, in the order in which they were found.
        reference: the outcomes of the solves of the exact gradient, by phase, those that came to rest in float64 within
            1e-6 as converged.
        left_out: causes whose remedy gave no finite gradient; what they did is in the parts after them.
    """

    exact: Gradient
    parts: dict[str, Gradient]
    reference: dict[str, str]
    left_out: list[str]


def error_parts(
    network: Network, settler: Settler, rule: Rule, objective: Objective, x: Tensor, target: Tensor
) -> ErrorParts:
    """Split the error of a gradient on one batch.

    Everything runs on copies: no weight, no buffer and no `.grad` changes. The settler starts cold, and does not
    control the contraction, which stays as it is.

    Args:
        network: the network.
        settler, rule: give the gradient.
        objective: the loss.
        x: (B, *input shape).
        target: (B, *output shape).

    Raises:
        ConfigurationError: for a rule that descends no objective, and for spikes, which have no equilibrium.
        NonFiniteError: for a gradient, or an exact one, that is not finite.
    """
    if not rule.descends:
        raise ConfigurationError(f"rule={rule.name}: descends no objective that its gradient could be compared with")
    if isinstance(settler, SpikingSettler):
        raise ConfigurationError(f"settler={settler.name}: spikes have no equilibrium, whose gradient this is about")
    start = Attempt(_as_probed(settler), copy.deepcopy(network), x, target, until_rest)
    exact, reference = _exact(start, objective)
    chain = _Chain(objective, rule, start)
    for name, remedy in REMEDIES.items():
        chain.refine(name, remedy(chain.attempt))
    parts = {**chain.parts, UNEXPLAINED: _minus(chain.gradient, exact)}
    return ErrorParts(exact, parts, reference, chain.left_out)


def until_rest(relax: Relaxation, dtype: torch.dtype) -> Relaxation:
    """Return the same relaxation with a tolerance and a budget that leave float64 states no way to go.

    Args:
        relax: the relaxation.
        dtype: of the states; narrower ones get what `further` gives.
    """
    if dtype != torch.float64:
        return further(relax, dtype)
    steps = max(BUDGET, 5 * relax.max_steps)
    return dataclasses.replace(relax, max_steps=steps, tolerance=TIGHT, bfloat16_until=0.0)


class _Chain:
    """The refinements so far: the attempt that they lead to, its gradient, and the parts.

    Args:
        objective: the loss.
        rule: gives the first gradient; the others come from the contrast.
        attempt: the attempt as it is.
    """

    def __init__(self, objective: Objective, rule: Rule, attempt: Attempt) -> None:
        self.objective, self.attempt = objective, attempt
        self.parts: dict[str, Gradient] = {}
        self.left_out: list[str] = []
        self.gradient = _gradient(attempt, objective, rule)
        if not _finite(self.gradient):
            raise NonFiniteError(f"settler={attempt.settler.name}: its gradient is not finite, so it has no error")
        if not rule.exact:
            self.refine("rule", attempt)

    def refine(self, name: str, attempt: Attempt | None) -> None:
        """Enter the part of one cause; `attempt` is the one without it, None if it has no such cause."""
        if attempt is None:
            return
        found = _gradient(attempt, self.objective, Contrast())
        if not _finite(found):
            self.left_out.append(name)
            return
        part = _minus(self.gradient, found)
        if name == "rounding" and bool((chosen := in_another_equilibrium(self.attempt, attempt)).any()):
            of_some = objective_of_some(self.objective, chosen)
            other = _minus(*(_gradient(one, of_some, Contrast()) for one in (self.attempt, attempt)))
            self.parts["other_equilibrium"], part = other, _minus(part, other)
        self.parts[name] = part
        self.attempt, self.gradient = attempt, found


def _as_probed(settler: Settler) -> Settler:
    settler = at_rest(settler)
    return dataclasses.replace(settler, warm_starts=0) if isinstance(settler, Dyadic | Phases) else settler


def _exact(attempt: Attempt, objective: Objective) -> tuple[Gradient, dict[str, str]]:
    """The exact gradient in float64, and how its solves ended."""
    wide = in_float64(attempt) or attempt
    settler = exact_settler(wide.settler, torch.float64)
    fields = {name: until_rest(getattr(settler, name), torch.float64) for name in ("relax", "nudged")}
    settled = dataclasses.replace(settler, **fields).settle(wide.network, wide.x, wide.target, objective)
    exact = [tensor.detach() for tensor in Contrast().gradients(wide.network, settled)]
    if not _finite(exact):
        raise NonFiniteError(f"settler={settler.name}: the exact gradient is not finite")
    return exact, {
        phase: "converged" if bool((solution.residual < 1e-6).all()) else solution.outcome.name.lower()
        for phase, solution in settled.solutions.items()
    }


def _gradient(attempt: Attempt, objective: Objective, rule: Rule) -> Gradient:
    settled = attempt.settler.settle(attempt.network, attempt.x, attempt.target, objective)
    return [tensor.detach().double() for tensor in rule.gradients(attempt.network, settled)]


def _minus(one: Gradient, other: Gradient) -> Gradient:
    return [a - b for a, b in zip(one, other, strict=True)]


def _finite(gradient: Gradient) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in gradient)
