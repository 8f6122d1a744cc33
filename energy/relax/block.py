"""A block of a solve: the steps between two looks at the residual, and the numbers that a look then reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from energy.relax.problem import Problem
from energy.relax.relaxation import Relaxation, returned
from energy.state import State

BLOWN_UP: Final = 1e4  # root mean square activity of a layer above which it counts as diverged


class BlockEnd(NamedTuple):
    """The numbers at the end of a block, on the device.

    Attributes:
        residual: the relative residual of each sample, (B,).
        blown: true for each tensor that has blown up, (tensors,).
    """

    residual: Tensor
    blown: Tensor


@dataclass
class Point:
    """The point that a solve has come to: the state, and the memory of the relaxation."""

    state: State
    memory: Any = None


Run = Callable[[Problem, Relaxation, Point, int], BlockEnd | None]  # as `block`


def block(problem: Problem, relax: Relaxation, point: Point, steps: int) -> BlockEnd | None:
    """Move `point` on by `steps`; a function of the point and of the problem's messages that reads nothing.

    Args:
        problem: gives the response; layers keep their last messages in it.
        relax: the relaxation.
        point: replaced in place, so that a state is freed as soon as the next one is there.
        steps: at least 1.

    Returns:
        The look at its end; None at tolerance 0.
    """
    before = point.state
    for _ in range(steps):
        before = point.state
        point.state, point.memory = returned(relax, relax.step(problem, before, point.memory))
    if not relax.tolerance:
        return None
    size, moved = point.state.norms(), relax.residual(problem, before, point.state).norms()
    relative = moved / size.clamp_min(torch.finfo(size.dtype).tiny)
    relative = torch.where(moved == 0, torch.zeros_like(moved), relative)
    return BlockEnd(relative.amax(0), (~(size < BLOWN_UP)).any(1))
