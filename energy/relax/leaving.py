"""Samples that leave the batch of a solve once they have converged, so that the others go on at a lower price.

They leave in eighths of the batch, so that few sizes occur: the rows that stay are all those that have not converged,
filled up with some that have. Rows that have left keep the state and the residual that they left with.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from energy import reading
from energy.relax.block import BlockEnd, Point, Run, block
from energy.relax.relaxation import Relaxation
from energy.state import State

PARTS: Final = 8


def leaving(run: Run, problem: Any, relax: Relaxation) -> Run:
    """Return `run`, or one that drops samples if `relax` asks for it and the problem can be cut to some of them.

    Where a read of the device waits, all of them stay.

    Args:
        run: carries out a block of steps.
        problem: has `rows` and `put_rows` if it can be cut (`SinglePhase`, `EnergyProblem`).
        relax: says if samples leave.
    """
    cut = relax.drop_converged and relax.tolerance and reading.is_free(problem.device) and hasattr(problem, "rows")
    return Leaving() if run is block and cut else run


class Leaving:
    """Blocks of steps on those samples of a batch that have not converged, and enough others to fill up an eighth."""

    def __init__(self) -> None:
        self.rows: Tensor | None = None  # that are left; None for all
        self.problem: Any = None  # of these rows
        self.memory: Any = None
        self.residual = torch.empty(0)

    def __call__(self, problem: Any, relax: Relaxation, point: Point, steps: int) -> BlockEnd | None:
        """Move `point` on by `steps`, as `energy.relax.block` does."""
        if self.rows is None:
            end = block(problem, relax, point, steps)
            self.problem, self.memory = problem, point.memory
        else:
            end = self._some(problem, relax, point, steps)
        if end is not None:
            self.residual = end.residual
            self._cut(problem, relax)
        return end

    def _some(self, problem: Any, relax: Relaxation, point: Point, steps: int) -> BlockEnd | None:
        """A block for the rows that are left, entered into the whole batch."""
        rows, whole = self.rows, point.state
        assert rows is not None
        some = Point(whole.rows(rows), self.memory)
        end = block(self.problem, relax, some, steps)
        self.memory = point.memory = some.memory
        point.state = whole.put_rows(rows, some.state)
        problem.put_rows(rows, self.problem)
        return None if end is None else BlockEnd(self.residual.index_copy(0, rows, end.residual), end.blown)

    def _cut(self, problem: Any, relax: Relaxation) -> None:
        """Let go of as many eighths of the batch as have converged."""
        batch, going_on = problem.batch, ~(self.residual <= relax.tolerance)
        part = -(-batch // PARTS)
        size = min(batch, -(-int(going_on.sum()) // part) * part)
        now = batch if self.rows is None else len(self.rows)
        if not 0 < size < now:
            return
        held = torch.arange(batch, device=going_on.device) if self.rows is None else self.rows
        kept = going_on[held].to(torch.uint8).argsort(descending=True, stable=True)[:size].sort().values
        some = self.problem.rows(kept)
        if some is not None:
            self.problem, self.rows = some, held[kept]
            self.memory = remembered(self.memory, kept, now)


def remembered(memory: Any, rows: Tensor, batch: int) -> Any:
    """Return the memory of a relaxation for some rows of a batch: of each tensor in it whose first axis is the batch.

    Args:
        memory: tensors, states and tuples of them; anything else is passed on.
        rows: of the samples, (b,).
        batch: B.
    """
    if isinstance(memory, State):
        return memory.rows(rows)
    if isinstance(memory, Tensor):
        return memory[rows] if memory.ndim and len(memory) == batch else memory
    if isinstance(memory, tuple):
        parts = [remembered(part, rows, batch) for part in memory]
        return type(memory)(*parts) if hasattr(memory, "_fields") else tuple(parts)
    return memory
