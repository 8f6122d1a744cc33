"""A recorded step, and its replay on other numbers."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any
from weakref import ref

import torch
from torch import Tensor

from energy import foreach, reading
from energy.health import guarding
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.program.compiler import executable
from energy.program.loop import Loop
from energy.program.record import record_graph, tensors_of
from energy.relax.solution import Solution
from energy.rules.rule import Rule
from energy.settle.settled import Settled
from energy.settle.settler import Settler
from energy.state import State


@dataclasses.dataclass(kw_only=True)
class SettledProgram(Settled):
    """The result of a replayed step: output and solutions, no layers.

    Attributes:
        error: the loss of each sample, (B,), of a method with an error of its own; None for the others.
    """

    error: Tensor | None = None


class Replay:
    """One step, recorded for batches like (x, target).

    Args:
        rule, network, settler, objective: of the step.
        x, target: a batch like those to come.
        compiled: whether the recording is compiled.

    Raises:
        Untraceable: for a step that no recording would repeat.
    """

    def __init__(
        self,
        rule: Rule,
        network: Network,
        settler: Settler,
        objective: Objective,
        x: Tensor,
        target: Tensor,
        *,
        compiled: bool = True,
    ) -> None:
        self.rule = rule
        self.settler, self.objective = settler, objective
        self._network = ref(network)  # which a program does not keep
        self.executable = functools.partial(executable, device=x.device, compiled=compiled)
        self.loops: list[Loop] = []
        self.counts = Ledger()
        self.solutions: dict[str, Solution] = {}
        self.solved: dict[str, int | None] = {}
        self.checked = not guarding()
        graph = record_graph(network, self._step, tensors_of(network), self.given(x, target), self)
        for loop in self.loops:
            loop.forget()
        self.written: list[int] = graph.meta["written"]
        self.run = self.executable(graph)

    @property
    def network(self) -> Network:
        network = self._network()
        assert network is not None  # whoever calls the program holds it
        return network

    def of(self, network: Network) -> bool:
        """Return True if this is a step of `network`."""
        return self._network() is network

    def given(self, x: Tensor, target: Tensor) -> list[Tensor]:
        """Return the arguments of the recorded step, besides the network's tensors."""
        return [x, target]

    def cast(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """Return a weight in the precision of the states, while the step is recorded."""
        return weight.to(dtype)

    def _step(self, given: list[Tensor]) -> dict[str, Any]:
        """The step itself, while it is recorded."""
        x, target = given[:2]
        settled = self.rule.batch(self.network, self.settler, x, target, self.objective, self.counts)
        gradients = [tensor.grad for tensor in tensors_of(self.network)]
        given = [gradient for gradient in gradients if gradient is not None]
        spikes = {name: dict(getattr(self.counts, name)) for name in ("spikes", "synaptic")}
        self.counts.spikes.clear()  # they are results, while what is left is the same at every replay
        self.counts.synaptic.clear()
        ends = [id(loop.results[0]) for loop in self.loops]
        for name, one in settled.solutions.items():
            self.solutions[name] = _bare(one)
            self.solved[name] = ends.index(id(one.steps)) if id(one.steps) in ends else None
        return {
            "gradients": gradients,
            "sound": foreach.all_finite(given) if self.checked and given else None,
            "output": settled.output.detach(),
            "error": getattr(settled, "error", None),
            "spikes": spikes,
            "solutions": {name: _tensors(one) for name, one in settled.solutions.items()},
        }

    def loop(self, problem: Any, state: State, relax: Any, output: int) -> Solution:
        """Record a solve as one call; the problem continues from its end.

        Args:
            problem, state, relax, output: as for `energy.relax.solve`.
        """
        loop = Loop(self.network, problem, state, relax, output, self.executable)
        self.loops.append(loop)
        return loop.recorded(problem, self.counts)

    def __call__(self, x: Tensor, target: Tensor, ledger: Ledger) -> tuple[SettledProgram, dict[str, Any]]:
        """Carry out the step on another batch.

        Args:
            x, target: a batch like the recorded one.
            ledger: counts the cost.

        Returns:
            The result, and all tensors of it: `gradients` of the network's parameters and buffers, and `sound`.
        """
        tensors = [tensor.detach() for tensor in tensors_of(self.network)]
        found = self.run(tensors, self.given(x, target))
        self._count(found["spikes"], ledger)
        solutions = {name: self._solution(name, given) for name, given in found["solutions"].items()}
        settled = SettledProgram(x=x, output=found["output"], ledger=ledger, solutions=solutions, error=found["error"])
        return settled, found

    def _count(self, spikes: dict[str, dict[str, Any]], ledger: Ledger) -> None:
        ledger.update(self.counts)
        for loop in self.loops:
            ledger.update(loop.counts)
        for layer, count in spikes["spikes"].items():
            ledger.count_spikes(layer, count, spikes["synaptic"][layer])

    def _solution(self, name: str, given: dict[str, Any]) -> Solution:
        """The solution of a phase: its tensors, and the outcome of the solve that gave them."""
        known, index = self.solutions[name], self.solved[name]
        found = dataclasses.replace(known, **{**given, "state": State(given["state"])})
        if index is not None:
            ended = self.loops[index].ended
            return dataclasses.replace(found, outcome=ended.outcome, layer=ended.layer, taken=ended.taken)
        return found.read() if reading.is_free(found.steps.device) else found


def _tensors(solution: Solution) -> dict[str, Any]:
    """The tensors of a solution, by field."""
    fields = ("steps", "residual", "converged", "output", "lost", "rate")
    return {"state": list(solution.state), **{name: getattr(solution, name) for name in fields}}


def _bare(solution: Solution) -> Solution:
    """The solution without its tensors, which belong to the recording."""
    nothing = torch.empty(0)
    bare = dataclasses.replace(solution, state=State(()), output=None, lost=None, rate=None)
    return dataclasses.replace(bare, steps=nothing, residual=nothing, converged=nothing)
