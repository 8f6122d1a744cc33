"""The remedies of an inexact gradient: each makes one aspect of an attempt as good as it can be, all else unchanged.

    rounding           weights, inputs and states in float64
    mean               the free phase settled until it stands still
    feedback_weights   the weights carry the difference down
    difference         the nudged phases settled until they stand still
    clamp              an output that is nudged, in place of a clamped one
    switches           pooling by the switches of the free equilibrium in every phase
    nudge              β → 0

A remedy maps an attempt to an attempt, so that remedies compose: the result of one is the subject of the next. The
order above is the one to compose them in (`energy.analysis.error_parts`).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from energy.analysis.held_switches import hold_switches, switching
from energy.feedback import Tied
from energy.ledger import Ledger
from energy.network import Network
from energy.relax.relaxation import Relaxation
from energy.settle.dyadic import ContrastiveHebbian, Dyadic, EquilibriumPropagation
from energy.settle.energy_phases import EnergyTwoPhase
from energy.settle.predictive_ep import PredictiveCodingEP
from energy.settle.reference import further
from energy.settle.settler import Settler
from energy.settle.two_phase import Clamping, CoupledLearning, Phases, TwoPhase

LESS: Final = 100  # by which a nudge is divided
LEAST: Final = 1e-5  # a nudge of stored phases, below which float64 has too few digits left for their difference
GENTLE: Final = 1e-3  # the nudge that takes the place of a clamp


@dataclass(frozen=True)
class Attempt:
    """A settler on a network and a batch.

    Attributes:
        settler: the settler.
        network: settled on; no remedy changes it.
        x: (B, *input shape).
        target: (B, *output shape).
        onward: gives the relaxation that settles as far as states of a dtype can.
    """

    settler: Settler
    network: Network
    x: Tensor
    target: Tensor
    onward: Callable[[Relaxation, torch.dtype], Relaxation] = further


def in_float64(attempt: Attempt) -> Attempt | None:
    """Return the attempt in float64, on a copy of the network; None if it is."""
    if attempt.x.dtype == torch.float64 and all(p.dtype == torch.float64 for p in attempt.network.parameters()):
        return None
    wide = copy.deepcopy(attempt.network).double()
    return dataclasses.replace(attempt, network=wide, x=attempt.x.double(), target=attempt.target.double())


def settled_mean(attempt: Attempt) -> Attempt | None:
    """Return the attempt with its free phase settled further; None at γ = 0, where there is none."""
    settler = attempt.settler
    if not (settler.gamma or isinstance(settler, EnergyTwoPhase)):
        return None
    return _other(attempt, dataclasses.replace(settler, relax=attempt.onward(settler.relax, attempt.x.dtype)))


def tied_feedback(attempt: Attempt) -> Attempt | None:
    """Return the attempt with the weights in place of feedback weights; None if it has none."""
    settler = attempt.settler
    if not isinstance(settler, Dyadic) or isinstance(settler.feedback, Tied):
        return None
    return _other(attempt, dataclasses.replace(settler, feedback=Tied()))


def settled_difference(attempt: Attempt) -> Attempt | None:
    """Return the attempt with its nudged phases settled further; None for a dyad at γ = 0, whose sweep is all."""
    settler = attempt.settler
    if isinstance(settler, EnergyTwoPhase | PredictiveCodingEP) or (
        isinstance(settler, Dyadic | Phases) and settler.gamma
    ):
        return _other(attempt, dataclasses.replace(settler, nudged=attempt.onward(settler.nudged, attempt.x.dtype)))
    return None


def unclamped(attempt: Attempt) -> Attempt | None:
    """Return the attempt with a nudged output; None if it is not clamped.

    Coupled learning gets phases with its own β, a clamp at the target itself a small one. Where phases are stored the
    difference then needs the digits of float64.
    """
    settler = attempt.settler
    if isinstance(settler, ContrastiveHebbian):
        dyad = EquilibriumPropagation(
            gamma=settler.gamma,
            beta=GENTLE,
            freeze_mean=False,
            feedback=settler.feedback,
            relax=settler.relax,
            nudged=settler.nudged,
        )
        return _other(attempt, dyad)
    if not isinstance(settler, Clamping):
        return None
    phases = TwoPhase(gamma=settler.gamma, beta=GENTLE, relax=settler.relax, nudged=settler.nudged)
    if isinstance(settler, CoupledLearning):
        return _other(attempt, dataclasses.replace(phases, beta=settler.beta, kind=settler.kind))
    return _other(in_float64(attempt) or attempt, phases)


def shared_switches(attempt: Attempt) -> Attempt | None:
    """Return the attempt with the switches of its free phase held in all phases; None without phases or switches."""
    settler = attempt.settler
    if not isinstance(settler, Phases) or not switching(attempt.network):
        return None
    with attempt.network.normalizing():
        _, state, _ = settler.free(attempt.network, attempt.x, Ledger())
    return dataclasses.replace(attempt, network=hold_switches(attempt.network, attempt.x, state))


def smaller_nudge(attempt: Attempt) -> Attempt | None:
    """Return the attempt with a hundredth of β, in float64 where stored phases need its digits.

    None if the settler has no β to choose, or one that is as small as float64 allows already.
    """
    settler = attempt.settler
    if isinstance(settler, TwoPhase | EnergyTwoPhase):
        beta = max(settler.beta / LESS, LEAST)
        wide = in_float64(attempt) or attempt
        return _other(wide, dataclasses.replace(settler, beta=beta)) if beta < settler.beta else None
    if not isinstance(settler, Dyadic | PredictiveCodingEP) or not settler.beta:
        return None
    try:
        return _other(attempt, dataclasses.replace(settler, beta=settler.beta / LESS))
    except ValueError:  # a clamp has no strength to choose
        return None


def _other(attempt: Attempt, settler: Settler) -> Attempt:
    return dataclasses.replace(attempt, settler=settler)


REMEDIES: Final[Mapping[str, Callable[[Attempt], Attempt | None]]] = {
    "rounding": in_float64,
    "mean": settled_mean,
    "feedback_weights": tied_feedback,
    "difference": settled_difference,
    "clamp": unclamped,
    "switches": shared_switches,
    "nudge": smaller_nudge,
}
