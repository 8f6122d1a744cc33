"""A solve with a tolerance inside a program: recorded blocks of steps, and a read of the residual after each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn
from weakref import ref

import torch
from torch import Tensor, fx

from energy.ledger import Ledger
from energy.network import Network
from energy.program.compiler import Graph
from energy.program.flat import Skeleton, take_apart
from energy.program.record import Untraceable, kept_by, record_graph, restore, tensors_of
from energy.relax.block import BlockEnd, Point, block
from energy.relax.relaxation import Relaxation
from energy.relax.solution import Outcome, Solution
from energy.relax.solver import solve
from energy.state import State
from energy.tracing import Opaque

_numbers: Final = itertools.count()


class Carry(State):
    """The activities of a solve, with all else that its next block needs.

    Attributes:
        form: of (problem, state, memory, what couplings keep).
        flat: its tensors.
        block: the block that led here, if any.
    """

    __slots__ = ("block", "flat", "form")

    def __init__(
        self, tensors: Sequence[Tensor], form: Skeleton, flat: list[Tensor], block: RecordedBlock | None = None
    ) -> None:
        super().__init__(tensors)
        self.form, self.flat = form, flat
        self.block = block

    def where(self, chosen: Tensor, other: State) -> Carry:
        """Return this carry, with the activities of `other` for the samples that are not `chosen`, (B,)."""
        assert self.block is not None  # a block led here
        mixed, flat = super().where(chosen, other), list(self.flat)
        for place, tensor in zip(self.block.state, mixed, strict=True):
            flat[place] = tensor
        return Carry(mixed.tensors, self.form, flat, self.block)


class End(NamedTuple):
    """The end of a solve, but for its tensors; as in `Solution`."""

    outcome: Outcome = Outcome.BUDGET
    layer: str = ""
    taken: int = 0


@dataclass(frozen=True)
class RecordedBlock:
    """Some steps of a relaxation, recorded from one form of (problem, state, memory, what couplings keep).

    Attributes:
        start, steps: the form before, and the number of steps.
        run: (network's tensors, tensors before) → [residual, blown, *tensors after].
        end: the form after.
        result: the form after, without the memory of the relaxation.
        places: of the result's tensors among those after.
        same: for each tensor after, the place it had before if it is passed on as it was.
        state: the places of the activities.
        counts: the cost.
    """

    start: Skeleton
    steps: int
    run: Graph
    end: Skeleton
    result: Skeleton
    places: list[int]
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
        ended: the end of the last solve.
        counts: its cost.
    """

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
        self._held = ref(network)
        self.relax, self.output = relax, output
        self.batch, self.device = problem.batch, problem.device
        self.phase, self.names = getattr(problem, "phase", ""), [problem.name(k) for k in range(len(state))]
        self.adopts = hasattr(problem, "adopt")
        self.start, self.tensors = take_apart((problem, state, None, kept_by(network)), tensors_of(network))
        self.modes = [module.training for module in network.modules()]  # couplings may normalize by the batch
        self.size = len(tensors_of(network))
        self.blocks: list[RecordedBlock] = []
        self.result: Skeleton | None = None
        self.ended = End()
        self.new: list[int] = []
        self.passed: dict[int, int] = {}
        self.results: list[Tensor] = []
        self.given: list[Tensor] = []
        self.forms: list[tuple[Any, ...]] = []
        self.counts = Ledger()
        self.call = Opaque(f"energy.program.loop.{id(self)}.{next(_numbers)}", self.run, self.shapes)

    @property
    def network(self) -> Network:
        network = self._held()
        assert network is not None  # whoever calls the program holds it
        return network

    def forget(self) -> None:
        """Let go of the tensors of the first batch, once everything is recorded."""
        self.tensors, self.results = [], []
        self.given = []

    def name(self, index: int) -> str:
        return self.names[index]

    def mark(self) -> Any:
        """Return the way back from a block that was run too many: nothing here is written to."""
        return lambda: None

    def adopt(self, state: State) -> State:
        """Continue from a state that is not the last one, as the problem does."""
        point = Point(state)
        if self.adopts:
            self._advance(self.given, self, self.relax, point, 0)
        return point.state

    def run(self, given: list[Tensor]) -> list[Tensor]:
        """Solve, and return steps, residual, converged, output, rate, and the tensors that are new.

        Args:
            given: the network's tensors, and those of (problem, state).
        """
        network, flat = given[: self.size], given[self.size :]
        self.given, self.counts = network, Ledger()
        start, run = Carry(flat[:1], self.start, flat), partial(self._advance, network)
        found = solve(self, start, self.relax, output=self.output, run=run)  # pyright: ignore[reportArgumentType] (it has what `solve` reads)
        self.ended, end = End(found.outcome, found.layer, found.taken), found.state
        assert isinstance(end, Carry)
        assert found.output is not None
        self.counts.sweeps[self.phase] += found.taken
        new = self._settle_on(end, flat)
        assert found.rate is not None
        return [found.steps, found.residual, found.converged, found.output.clone(), found.rate, *new]

    def _settle_on(self, end: Carry, flat: list[Tensor]) -> list[Tensor]:
        """The tensors of the result that are new; its form is noted, and every later one must have it."""
        assert end.block is not None  # at least one was run
        result, places = end.block.result, {id(tensor): k for k, tensor in enumerate(flat)}
        tensors = [end.flat[k] for k in end.block.places]
        new = [k for k, tensor in enumerate(tensors) if id(tensor) not in places]
        passed = {k: places[id(tensor)] for k, tensor in enumerate(tensors) if id(tensor) in places}
        if self.result is None:
            self.result = result
            self.new, self.passed = new, passed
        elif passed != self.passed or not result.alike(self.result):
            raise Untraceable("a solve ended in another form than when it was recorded")
        return [tensors[k] for k in new]

    def shapes(self, given: list[Tensor]) -> list[Tensor]:
        """Return tensors like the results, without numbers."""
        return [torch.empty_strided(s, strides, dtype=t, device=d) for s, strides, t, d in self.forms]

    def recorded(self, problem: Any, counts: Ledger) -> Solution:
        """Record the call, and let `problem` continue from its end; `counts` is the ledger of the recording."""
        known = tensors_of(self.network)
        self.results = self.call([*known, *self.tensors])
        self.forms = [(t.shape, t.stride(), t.dtype, t.device) for t in self.results]
        steps, residual, converged, output, rate, *new = self.results
        flat = {k: self.tensors[place] for k, place in self.passed.items()} | dict(zip(self.new, new, strict=True))
        assert self.result is not None
        ended, state, kept = self.result.around([flat[k] for k in range(len(flat))], known, counts)
        vars(problem).update(vars(ended))
        restore(self.network, kept)
        return Solution(state, Outcome.BUDGET, steps, residual, converged, output=output, rate=rate)

    def _advance(self, network: list[Tensor], problem: Any, relax: Relaxation, point: Point, steps: int) -> BlockEnd:
        """Carry out a block as `energy.relax.block` does."""
        carry = point.state
        assert isinstance(carry, Carry)
        found = self._recorded(network, carry, steps)
        residual, blown, *after = found.run(network, carry.flat)
        flat = [new if k is None else carry.flat[k] for k, new in zip(found.same, after, strict=True)]
        point.state = Carry([flat[k] for k in found.state], found.end, flat, found)
        self.counts.update(found.counts)
        return BlockEnd(residual, blown)

    def _recorded(self, network: list[Tensor], carry: Carry, steps: int) -> RecordedBlock:
        for known in self.blocks:
            if known.steps == steps and known.start.alike(carry.form):
                return known
        if len(self.blocks) > 4:
            raise Untraceable("the steps of a solve keep changing their form")
        try:
            self.blocks.append(self._record(network, carry, steps))
        except Exception as error:
            raise Untraceable(f"a block of a solve: {error}") from error
        return self.blocks[-1]

    def _record(self, network: list[Tensor], carry: Carry, steps: int) -> RecordedBlock:
        facts: dict[str, Any] = {}

        def advance(flat: list[Tensor]) -> list[Tensor]:
            known, counts = tensors_of(self.network), Ledger()
            problem, state, memory, kept = carry.form.around(flat, known, counts)
            restore(self.network, kept)
            point = Point(state, memory)
            look = block(problem, self.relax, point, steps) if steps else _adopted(problem, point)
            assert look is not None
            kept = kept_by(self.network)
            end, after = take_apart((problem, point.state, point.memory, kept), known)
            result, inner = take_apart((problem, point.state, kept), known)
            before, places = ({id(tensor): k for k, tensor in enumerate(some)} for some in (flat, after))
            facts["same"] = [before.get(id(tensor)) for tensor in after]
            facts["state"], facts["places"] = ([places[id(tensor)] for tensor in some] for some in (point.state, inner))
            facts.update(end=end, result=result, counts=counts)
            return [look.residual, look.blown, *after]

        with _in_modes(self.network, self.modes):
            graph = record_graph(self.network, torch.no_grad()(advance), network, carry.flat, _Inner())
        return RecordedBlock(carry.form, steps, self.executable(graph), **facts)


@contextmanager
def _in_modes(network: Network, modes: Sequence[bool]) -> Iterator[None]:
    """Set training and evaluation modes, of all modules in order, while the context lasts."""
    modules = list(network.modules())
    held = [module.training for module in modules]
    for module, mode in zip(modules, modes, strict=True):
        module.training = mode
    try:
        yield
    finally:
        for module, mode in zip(modules, held, strict=True):
            module.training = mode


def _adopted(problem: Any, point: Point) -> BlockEnd:
    """Let the problem continue from `point`; the numbers of the look mean nothing."""
    problem.adopt(point.state)
    nothing = point.state[0].new_zeros(())
    return BlockEnd(nothing, nothing)


class _Inner:
    """The trace of a block, in which nothing else is solved."""

    def cast(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        return weight.to(dtype)

    def loop(self, problem: Any, state: Any, relax: Any, output: int) -> NoReturn:
        raise Untraceable("a solve inside a step of another")
