"""The settler of the exact gradient, with which that of a method is compared."""

from __future__ import annotations

import dataclasses
from functools import singledispatch

import torch

from energy.relax.relaxation import Relaxation
from energy.settle.dyadic import Implicit
from energy.settle.energy_phases import EnergyTwoPhase
from energy.settle.settler import Settler
from energy.settle.two_phase import PhaseContrast


@singledispatch
def exact_settler(settler: Settler, dtype: torch.dtype = torch.float32) -> Settler:
    """Return a settler of the exact gradient at the same γ, which relaxes until states of `dtype` stand still.

    Register a function for a kind of settler whose exact gradient is another.
    """
    onward = further(settler.relax, dtype)
    return Implicit(gamma=settler.gamma, relax=onward, nudged=onward)


@exact_settler.register
def _(settler: EnergyTwoPhase, dtype: torch.dtype = torch.float32) -> EnergyTwoPhase:
    """For any energy only the limit β → 0 is exact: the same contrast, centered, at a hundredth of the nudge."""
    free, nudged = further(settler.relax, dtype), further(settler.nudged, dtype)
    # in narrow states the difference of two phases would lose its digits at a smaller nudge
    beta = settler.beta / 100 if torch.finfo(dtype).eps < 1e-12 else settler.beta
    return dataclasses.replace(settler, relax=free, nudged=nudged, kind=PhaseContrast.CENTERED, beta=beta)


def further(relax: Relaxation, dtype: torch.dtype) -> Relaxation:
    """Return the same relaxation with a budget to run on until states of `dtype` stand still."""
    tight = 1e-6 if torch.finfo(dtype).eps < 1e-6 else 1e-3
    budget, tolerance = max(300, 5 * relax.max_steps), min(tight, relax.tolerance or tight)
    return dataclasses.replace(relax, max_steps=budget, tolerance=tolerance)
