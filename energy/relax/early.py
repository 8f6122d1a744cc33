"""Early steps in bfloat16: a solve that comes near its end in cheap steps, and reaches it in the states' own precision.

Rounding moves an equilibrium, so the first part stops at a residual well above what bfloat16 resolves (2⁻⁸ relative),
and the last steps are always the states' own.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from energy.relax.layered import Layered
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.solver import solve
from energy.state import State


def settle_early(problem: Layered, state: State, relax: Relaxation) -> tuple[State, Tensor | None]:
    """Settle down to `relax.bfloat16_until` in bfloat16.

    Args:
        problem: its messages from above are then those of the state that is returned.
        state: the start.
        relax: the relaxation; half of its budget at most is used.

    Returns:
        The state, in the precision of `state`, and the steps of each sample, (B,). Nothing is done, and None returned,
        unless the relaxation asks for it, and for a problem other than a free phase.
    """
    wide = state[0].dtype
    until, half = relax.bfloat16_until, relax.max_steps // 2
    low = lowered(problem) if until > relax.tolerance > 0 and half and wide is not torch.bfloat16 else None
    if low is None:
        return state, None
    coarse = dataclasses.replace(relax, tolerance=until, max_steps=half)
    found = solve(low, state.to(torch.bfloat16), coarse, output=problem.depth - 1)
    problem.ledger.sweeps[problem.phase] += found.taken
    problem.messages.sent_by = None
    for index, down in enumerate(low.messages.down):
        problem.messages.down[index] = None if down is None else down.to(wide)
    return found.state.to(wide), found.steps


def lowered(problem: Layered) -> SinglePhase | None:
    """Return a free problem in bfloat16, with its messages from above; None for any other problem."""
    if not isinstance(problem, SinglePhase) or problem.nudge is not None or problem.clamp is not None:
        return None
    x = problem.x.to(torch.bfloat16)
    low = SinglePhase(problem.network, x, problem.gamma, problem.ledger, problem.phase)
    low.messages.down = [None if down is None else down.to(x.dtype) for down in problem.messages.down]
    return low
