"""The cause of an inexact gradient: the single remedy that restores its worst cosine with the exact one.

Every suspect is a remedy of `energy.analysis.remedies`, applied alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from torch import Tensor

from energy.analysis.remedies import REMEDIES, Attempt
from energy.network import Network
from energy.settle.settler import Settler

GAIN: Final = 0.02  # of a worst cosine, below which a suspect is not what binds
NEAR: Final = 0.01  # within which two suspects serve alike, and the first of them is named
CURES: Final = {
    "nudge": "beta is too large: lower settler.beta",
    "mean": "the mean is not settled: lower settler.relax.tolerance or raise settler.relax.max_steps",
    "difference": "the difference is not settled: lower settler.nudged.tolerance or raise settler.nudged.max_steps",
    "switches": "the phases pool by different switches: one dyad (equilibrium_propagation) shares them",
    "feedback_weights": "the feedback weights are not the weights (settler.feedback)",
    "clamp": "the output is clamped, not nudged: equilibrium_propagation or two_phase with a small beta nudges it",
    "rounding": "digits are lost: use float64, a larger settler.beta, or a dyad in place of stored phases",
}

Worst = Callable[[Settler, Network, Tensor, Tensor], float | None]


def binds(settler: Settler, network: Network, x: Tensor, target: Tensor, before: float, worst: Worst) -> str | None:
    """Return the name of the suspect that raises the worst cosine most; "several" if none does alone.

    Args:
        settler: the settler under diagnosis.
        network: settled on.
        x: (B, *input shape).
        target: (B, *output shape).
        before: the worst cosine without a remedy.
        worst: gives that of a settler on a network and a batch, None if there is none.

    Returns:
        A name from `suspects`, "several", or None if no suspect has a worst cosine.
    """
    attempts = suspects(Attempt(settler, network, x, target))
    found = {name: worst(attempt.settler, attempt.network, attempt.x, attempt.target) for name, attempt in attempts}
    known = {name: value for name, value in found.items() if value is not None}
    if not known:
        return None
    top = max(known.values())
    first = next(name for name, value in known.items() if value >= top - NEAR)
    return first if known[first] > before + GAIN else "several"


def suspects(attempt: Attempt) -> Iterator[tuple[str, Attempt]]:
    """Yield every suspect that the settler of an attempt has: its name, and the attempt after that remedy alone."""
    for name, remedy in REMEDIES.items():
        if (other := remedy(attempt)) is not None:
            yield name, other
