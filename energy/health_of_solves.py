"""The health of solves while a network learns: whether the samples of its batches still converge.

A gradient read from states that are no fixed point is another one. A solve that was given a tolerance tells of each
sample whether it was reached (`Solution.converged`); a solve of a fixed number of steps does not, and is passed over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from energy.relax.solution import Outcome, Solution

FEW: Final = 0.5
MOST: Final = 0.9


@dataclass
class PhaseHealth:
    """The looks at one phase.

    Attributes:
        best: the greatest share of samples that converged at any look.
        missed: the looks in a row at which fewer than `FEW` of the samples converged.
        told: whether that was said, and no look has shown `MOST` of them since.
    """

    best: float = 0.0
    missed: int = 0
    told: bool = False


class SolveHealth:
    """The health of the solves of one network, by phase."""

    def __init__(self) -> None:
        self.phases: dict[str, PhaseHealth] = {}

    def look(self, phase: str, solution: Solution, *, early: bool = False) -> str:
        """Look at one batch; reads the device.

        Args:
            phase: its name.
            solution: of the batch.
            early: whether it is one of the first batches, when solves that never converged are not yet spoken of.

        Returns:
            What is to be said: at the second look in a row at which fewer than half of the samples reached the
            tolerance; again only after nine tenths of them have. Otherwise empty.
        """
        if solution.outcome in (Outcome.FIXED, Outcome.DIVERGED) or not bool((~solution.residual.isnan()).any()):
            return ""
        known, share = self.phases.setdefault(phase, PhaseHealth()), float(solution.converged.double().mean())
        known.best = max(known.best, share)
        known.told = known.told and share < MOST
        known.missed = known.missed + 1 if share < FEW else 0
        if known.missed < 2 or known.told or (early and known.best < MOST):
            return ""
        known.told = True
        return _told(phase, solution, share, known.best)


def _told(phase: str, solution: Solution, share: float, best: float) -> str:
    sure = best >= MOST
    before = f" ({_percent(best)} before)" if sure else f" (at best {_percent(best)})" if best > share else ""
    left = float(solution.residual.nanmedian())
    residual = f"a median residual of {left:.1e}" if math.isfinite(left) else "residuals that are not finite"
    return (
        f"the {phase} solve {'stopped converging' if sure else 'does not converge'}: {_percent(share)} of the samples "
        f"reached the tolerance in {int(solution.steps.max())} steps{before}, with {residual}, and the gradient is not "
        "that of a fixed point: allow more steps (max_steps) or a larger tolerance"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
