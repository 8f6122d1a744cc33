"""A solve with a tolerance inside a program: recorded blocks of steps, and a read of the residual after each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import torch
from torch import Tensor, fx

from energy.ledger import Ledger
from energy.network import Network
from energy.program.compiler import Graph
from energy.program.flat import Skeleton, flatten
from energy.program.record import Untraceable, record, tensors_of
from energy.relax.block import BlockEnd, Point, block
from energy.relax.relaxation import Relaxation
from energy.relax.solver import Outcome, Solution, solve
from energy.state import State
from energy.tracing import Opaque

_numbers: Final = itertools.count()


class Carry(State):
    """The activities of a solve, with all else that its next block needs.

    Attributes:
        form: of (problem, state, memory).
        flat: its tensors.
    """

    __slots__ = ("flat", "form")

    def __init__(self, tensors: Sequence[Tensor], form: Skeleton, flat: list[Tensor]) -> None:
        super().__init__(tensors)
        self.form, self.flat = form, flat


@dataclass(frozen=True)
class Block:
    """Some steps of a relaxation, recorded from one form of (problem, state, memory).

    Attributes:
        start, steps: the form before, and the number of steps.
        run: (network's tensors, tensors before) → [residual, blown, *tensors after].
        end: the form after.
        same: for each tensor after, the place it had before if it is passed on as it was.
        state: the places of the activities.
        counts: the cost.
    """

    start: Skeleton
    steps: int
    run: Graph
    end: Skeleton
    same: list[int | None]
    state: list[int]
    counts: Ledger


class Loop:
    """A solve as one call of a program.

    Args:
        network: its tensors are arguments of every block.
        problem, state, relax, output: as for `energy.relax.solve`.
        executable: turns a recorded block into a function.

    Attributes:
        solution: the last one.
        counts: its cost.
    """

    solution: Solution

    def __init__(
        self,
        network: Network,
        problem: Any,
        state: State,
        relax: Relaxation,
        output: int,
        executable: Callable[[fx.GraphModule], Graph],
    ) -> None:
        self.executable = executable
        self.network, self.relax, self.output = network, relax, output
        self.batch, self.device = problem.batch, problem.device
        self.phase, self.names = getattr(problem, "phase", ""), [problem.name(k) for k in range(len(state))]
        self.start, self.tensors = flatten((problem, state, None), tensors_of(network))
        self.size = len(tensors_of(network))
        self.blocks: list[Block] = []
        self.end: Skeleton | None = None
        self.new: list[int] = []
        self.passed: dict[int, int] = {}
        self.results: list[Tensor] = []
        self.counts = Ledger()
        self.call = Opaque(f"energy.program.loop.{id(self)}.{next(_numbers)}", self.run, self.shapes)

    def name(self, index: int) -> str:
        return self.names[index]

    def mark(self) -> Any:
        """Return the way back from a block that was run too many: nothing here is written to."""
        return lambda: None

    def run(self, given: list[Tensor]) -> list[Tensor]:
        """Solve, and return steps, residual, converged, output, and the tensors that are new.

        Args:
            given: the network's tensors, and those of (problem, state).
        """
        self._network, flat = given[: self.size], given[self.size :]
        self.counts = Ledger()
        found = solve(self, Carry(flat[:1], self.start, flat), self.relax, output=self.output, run=self._advance)  # pyright: ignore[reportArgumentType] (it has what `solve` reads)
        self.solution, end = found, found.state
        assert isinstance(end, Carry)
        assert found.output is not None
        self.counts.sweeps[self.phase] += found.taken
        self._settle_on(end, flat)
        return [found.steps, found.residual, found.converged, found.output.clone(), *(end.flat[k] for k in self.new)]

    def _settle_on(self, end: Carry, flat: list[Tensor]) -> None:
        """Note the form of the result, which every later one must have."""
        places = {id(tensor): k for k, tensor in enumerate(flat)}
        new = [k for k, tensor in enumerate(end.flat) if id(tensor) not in places]
        if self.end is None:
            self.end, self.new = end.form, new
            self.passed = {k: places[id(tensor)] for k, tensor in enumerate(end.flat) if id(tensor) in places}
        elif new != self.new or not end.form.alike(self.end):
            raise Untraceable("a solve ended in another form than when it was recorded")

    def shapes(self, given: list[Tensor]) -> list[Tensor]:
        """Return tensors like the results, without numbers."""
        return [torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=t.device) for t in self.results]

    def recorded(self, problem: Any, counts: Ledger) -> Solution:
        """Record the call, and let `problem` continue from its end; `counts` is the ledger of the recording."""
        known = tensors_of(self.network)
        self.results = self.call([*known, *self.tensors])
        steps, residual, converged, output, *new = self.results
        flat = {k: self.tensors[place] for k, place in self.passed.items()} | dict(zip(self.new, new, strict=True))
        assert self.end is not None
        ended, state, _ = self.end.around([flat[k] for k in range(len(flat))], known, counts)
        vars(problem).update(vars(ended))
        return Solution(state, Outcome.BUDGET, steps, residual, converged, output=output)

    def _advance(self, problem: Any, relax: Relaxation, point: Point, steps: int) -> BlockEnd:
        """Carry out a block as `energy.relax.block` does."""
        carry = point.state
        assert isinstance(carry, Carry)
        found = self._recorded(carry, steps)
        residual, blown, *after = found.run(self._network, carry.flat)
        flat = [new if k is None else carry.flat[k] for k, new in zip(found.same, after, strict=True)]
        point.state = Carry([flat[k] for k in found.state], found.end, flat)
        self.counts.update(found.counts)
        return BlockEnd(residual, blown)

    def _recorded(self, carry: Carry, steps: int) -> Block:
        for known in self.blocks:
            if known.steps == steps and known.start.alike(carry.form):
                return known
        if len(self.blocks) > 4:
            raise Untraceable("the steps of a solve keep changing their form")
        self.blocks.append(self._record(carry, steps))
        return self.blocks[-1]

    def _record(self, carry: Carry, steps: int) -> Block:
        facts: dict[str, Any] = {}

        def advance(flat: list[Tensor]) -> list[Tensor]:
            known, counts = tensors_of(self.network), Ledger()
            problem, state, memory = carry.form.around(flat, known, counts)
            point = Point(state, memory)
            look = block(problem, self.relax, point, steps)
            assert look is not None
            end, after = flatten((problem, point.state, point.memory), known)
            places = {id(tensor): k for k, tensor in enumerate(flat)}
            facts["same"] = [places.get(id(tensor)) for tensor in after]
            facts["state"] = [[id(t) for t in after].index(id(tensor)) for tensor in point.state]
            facts.update(end=end, counts=counts)
            return [look.residual, look.blown, *after]

        graph = record(self.network, torch.no_grad()(advance), self._network, carry.flat, _Inner())
        return Block(carry.form, steps, self.executable(graph), **facts)


class _Inner:
    """The trace of a block, in which nothing else is solved."""

    def cast(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        return weight.to(dtype)

    def loop(self, problem: Any, state: Any, relax: Any, output: int) -> NoReturn:
        raise Untraceable("a solve inside a step of another")
