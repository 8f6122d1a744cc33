"""The remedies of an inexact gradient: each makes one aspect of a trial as good as it can be, all else unchanged.

    rounding           weights, inputs and states in float64
    mean               the free phase settled until it stands still
    feedback_weights   the weights carry the difference down
    difference         the nudged phases settled until they stand still
    clamp              an output that is nudged, in place of a clamped one
    switches           pooling by the switches of the free equilibrium in every phase
    nudge              β → 0

A remedy maps a trial to a trial, so that remedies compose: the result of one is the subject of the next. The order
above is the one to compose them in (`energy.analysis.error_parts`).
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
class Trial:
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


def in_float64(trial: Trial) -> Trial | None:
    """Return the trial in float64, on a copy of the network; None if it is."""
    if trial.x.dtype == torch.float64 and all(p.dtype == torch.float64 for p in trial.network.parameters()):
        return None
    wide = copy.deepcopy(trial.network).double()
    return dataclasses.replace(trial, network=wide, x=trial.x.double(), target=trial.target.double())


def settled_mean(trial: Trial) -> Trial | None:
    """Return the trial with its free phase settled further; None at γ = 0, where there is none."""
    settler = trial.settler
    if not (settler.gamma or isinstance(settler, EnergyTwoPhase)):
        return None
    return _other(trial, dataclasses.replace(settler, relax=trial.onward(settler.relax, trial.x.dtype)))


def tied_feedback(trial: Trial) -> Trial | None:
    """Return the trial with the weights in place of feedback weights; None if it has none."""
    settler = trial.settler
    if not isinstance(settler, Dyadic) or isinstance(settler.feedback, Tied):
        return None
    return _other(trial, dataclasses.replace(settler, feedback=Tied()))


def settled_difference(trial: Trial) -> Trial | None:
    """Return the trial with its nudged phases settled further; None for one sweep at γ = 0, which is the whole way."""
    settler = trial.settler
    if isinstance(settler, EnergyTwoPhase | PredictiveCodingEP) or (
        isinstance(settler, Dyadic | Phases) and settler.gamma
    ):
        return _other(trial, dataclasses.replace(settler, nudged=trial.onward(settler.nudged, trial.x.dtype)))
    return None


def unclamped(trial: Trial) -> Trial | None:
    """Return the trial with a nudged output; None if it is not clamped.

    Coupled learning gets phases with its own β, a clamp at the target itself a small one. Where phases are stored the
    difference then needs the digits of float64.
    """
    settler = trial.settler
    if isinstance(settler, ContrastiveHebbian):
        dyad = EquilibriumPropagation(
            gamma=settler.gamma,
            beta=GENTLE,
            freeze_mean=False,
            feedback=settler.feedback,
            relax=settler.relax,
            nudged=settler.nudged,
        )
        return _other(trial, dyad)
    if not isinstance(settler, Clamping):
        return None
    phases = TwoPhase(gamma=settler.gamma, beta=GENTLE, relax=settler.relax, nudged=settler.nudged)
    if isinstance(settler, CoupledLearning):
        return _other(trial, dataclasses.replace(phases, beta=settler.beta, kind=settler.kind))
    return _other(in_float64(trial) or trial, phases)


def shared_switches(trial: Trial) -> Trial | None:
    """Return the trial with the switches of its free phase held in all phases; None without phases or switches."""
    settler = trial.settler
    if not isinstance(settler, Phases) or not switching(trial.network):
        return None
    with trial.network.normalizing():
        _, state, _ = settler.free(trial.network, trial.x, Ledger())
    return dataclasses.replace(trial, network=hold_switches(trial.network, trial.x, state))


def smaller_nudge(trial: Trial) -> Trial | None:
    """Return the trial with a hundredth of β, in float64 where stored phases need its digits.

    None if the settler has no β to choose, or one that is as small as float64 allows already.
    """
    settler = trial.settler
    if isinstance(settler, TwoPhase | EnergyTwoPhase):
        beta = max(settler.beta / LESS, LEAST)
        wide = in_float64(trial) or trial
        return _other(wide, dataclasses.replace(settler, beta=beta)) if beta < settler.beta else None
    if not isinstance(settler, Dyadic | PredictiveCodingEP) or not settler.beta:
        return None
    try:
        return _other(trial, dataclasses.replace(settler, beta=settler.beta / LESS))
    except ValueError:  # a clamp has no strength to choose
        return None


def _other(trial: Trial, settler: Settler) -> Trial:
    return dataclasses.replace(trial, settler=settler)


REMEDIES: Final[Mapping[str, Callable[[Trial], Trial | None]]] = {
    "rounding": in_float64,
    "mean": settled_mean,
    "feedback_weights": tied_feedback,
    "difference": settled_difference,
    "clamp": unclamped,
    "switches": shared_switches,
    "nudge": smaller_nudge,
}
