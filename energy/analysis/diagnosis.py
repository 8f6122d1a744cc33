"""The cause of an inexact gradient: the single remedy that restores its worst cosine with the exact one.

Every suspect is a settler (or a precision) with one aspect made as good as possible and all else unchanged:

    rounding           weights, inputs and states in float64
    mean               the free phase settled until it stands still
    difference         the nudged phase settled until it stands still
    nudge              β → 0
    switches           two phases that share the pooling switches, as a dyad's replicas do
    feedback_weights   the weights carry the difference down
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor

from energy.feedback import Tied
from energy.network import Network
from energy.pooling import MaxPool
from energy.settle.dyadic import Dyadic, EquilibriumPropagation
from energy.settle.reference import further
from energy.settle.settler import Settler
from energy.settle.two_phase import Phases, TwoPhase

GAIN: Final = 0.02  # of a worst cosine, below which a suspect is not what binds
NEAR: Final = 0.01  # within which two suspects serve alike, and the first of them is named
CURES: Final = {
    "nudge": "beta is too large: lower settler.beta",
    "mean": "the mean is not settled: lower settler.relax.tolerance or raise settler.relax.max_steps",
    "difference": "the difference is not settled: lower settler.nudged.tolerance or raise settler.nudged.max_steps",
    "switches": "the phases pool by different switches: one dyad (equilibrium_propagation) shares them",
    "feedback_weights": "the feedback weights are not the weights (settler.feedback)",
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
    found = {name: worst(*trial) for name, trial in suspects(settler, network, x, target)}
    known = {name: value for name, value in found.items() if value is not None}
    if not known:
        return None
    top = max(known.values())
    first = next(name for name, value in known.items() if value >= top - NEAR)
    return first if known[first] > before + GAIN else "several"


def suspects(
    settler: Settler, network: Network, x: Tensor, target: Tensor
) -> Iterator[tuple[str, tuple[Settler, Network, Tensor, Tensor]]]:
    """Yield every suspect that the settler has: its name, and the settler, network, input and target to try.

    Args:
        settler: the settler under diagnosis.
        network: settled on; a float64 copy is tried too.
        x: (B, *input shape).
        target: (B, *output shape).
    """
    wide = copy.deepcopy(network).double()
    here, there = (network, x, target), (wide, x.double(), target.double())
    if x.dtype != torch.float64:
        yield "rounding", (settler, *there)
    if settler.gamma:
        yield "mean", (dataclasses.replace(settler, relax=further(settler.relax, x.dtype)), *here)
    if settler.gamma and isinstance(settler, Dyadic | Phases):
        yield "difference", (dataclasses.replace(settler, nudged=further(settler.nudged, x.dtype)), *here)
    if isinstance(settler, TwoPhase):
        yield "nudge", (dataclasses.replace(settler, beta=settler.beta / 100), *there)  # which needs the digits
        if any(isinstance(getattr(coupling, "pool", None), MaxPool) for coupling in network.couplings):
            yield "switches", (_as_dyad(settler), *here)
    elif isinstance(settler, Dyadic) and _nudged(settler):
        yield "nudge", (dataclasses.replace(settler, beta=settler.beta / 100), *here)
    if isinstance(settler, Dyadic) and not isinstance(settler.feedback, Tied):
        yield "feedback_weights", (dataclasses.replace(settler, feedback=Tied()), *here)


def _as_dyad(settler: TwoPhase) -> EquilibriumPropagation:
    """One dyad with the nudges of two centered phases."""
    return EquilibriumPropagation(
        gamma=settler.gamma, beta=2 * settler.beta, freeze_mean=False, relax=settler.relax, nudged=settler.nudged
    )


def _nudged(settler: Dyadic) -> bool:
    """True if the settler admits another β."""
    try:
        dataclasses.replace(settler, beta=settler.beta / 100)
    except ValueError:
        return False
    return True
