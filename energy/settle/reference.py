"""The settler of the exact gradient that a method is measured against."""

from __future__ import annotations

import dataclasses
from functools import singledispatch

import torch

from energy.relax.relaxation import Relaxation
from energy.settle.dyadic import Implicit
from energy.settle.settler import Settler


@singledispatch
def exact_settler(settler: Settler, dtype: torch.dtype = torch.float32) -> Settler:
    """The exact gradient at the same γ, its relaxation the same one with a budget to run on until states of `dtype`
    stand still. Register a function for a kind of settlers whose exact gradient is another.
    """
    onward = further(settler.relax, dtype)
    return Implicit(gamma=settler.gamma, relax=onward, nudged=onward)


def further(relax: Relaxation, dtype: torch.dtype) -> Relaxation:
    """The same relaxation with a budget to run on until states of `dtype` stand still."""
    tight = 1e-6 if torch.finfo(dtype).eps < 1e-6 else 1e-3
    budget, tolerance = max(300, 5 * relax.max_steps), min(tight, relax.tolerance or tight)
    return dataclasses.replace(relax, max_steps=budget, tolerance=tolerance)
