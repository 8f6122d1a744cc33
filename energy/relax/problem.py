"""What a relaxation solves: the response of every layer to the others, for one replica or for a dyad.

A problem owns what each edge last said (the *cached drives*) and the switches it said it with. A relaxation either asks
for the `response` of all layers at once, or visits layers one by one and says which side has news. Visiting only the
side that changed is what makes a symmetric sweep cost 2(U − U₁): each half keeps the other direction's drives. The
input's drive is computed once."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Edge, Network, laid_out
from energy.objectives import Objective
from energy.state import State


class Problem(abc.ABC):
    """s = response(s) for the layers of `network` above a clamped `x`, at feedback gain `gamma`."""

    def __init__(self, network: Network, x: Tensor, gamma: float, ledger: Ledger, phase: str) -> None:
        self.network, self.x, self.gamma, self.ledger, self.phase = network, laid_out(x), gamma, ledger, phase
        self.depth = len(network.layers)
        self.gains = [edge.gain(gamma) for edge in network.edges]
        self.points: list[Any] = [None] * len(network.edges)
        self.below: list[Tensor | None] = [None] * len(network.edges)
        self.above: list[Tensor | None] = [None] * len(network.edges)
        self.fresh = False  # True while every drive from below is what the present state says
        self.closing = False  # True in a step that ends the solve and that nobody looks back on
        self.rest: Callable[[State, int], None] | None = None  # told which layer has come to rest in a closing step

    @cached_property
    def colours(self) -> list[list[int]]:
        """The layers in groups of which no two are joined."""
        return _colours(self.network)

    def response(self, state: State) -> State:
        """Every layer's response with all others standing still."""
        for k in range(1, self.depth + 1):
            self.hear_below(state, k)
        for k in range(1, self.depth + 1):
            self.hear_above(state, k)
        changes: dict[int, Tensor] = {}
        for k in range(1, self.depth + 1):
            changes |= self.respond(state, k)
        self.fresh = False
        return state.replace(changes)

    def visit(
        self, state: State, layers: list[int], *, below: bool = False, above: bool = False, last: bool = False
    ) -> State:
        """Set `layers`, which must not be joined to one another, to their responses; first hear the sides that have
        news. On the `last` visit of a closing step what the layers were and heard is let go of, so that its memory
        serves the layers that follow.
        """
        closing = last and self.closing
        changes: dict[int, Tensor] = {}
        for k in layers:
            if below:
                self.hear_below(state, k)
            if above:
                self.hear_above(state, k)
            changes |= self.respond(state, k)
        self.fresh = False
        if not closing:
            return state.replace(changes)
        state.give_up(changes)
        for k in layers:
            self.forget(k)
            if self.rest is not None:
                self.rest(state, k)
        return state

    def said_down(self) -> list[list[Tensor | None]]:
        """What every edge last said to the layer below it, kind by kind; a relaxation may replace the tensors."""
        return [self.above]

    def blank(self, state: State) -> None:
        """Let go of whatever a top-down half-sweep will set before anyone reads it."""
        self.empty(state, range(1, self.depth + 1))

    def empty(self, state: State, layers: Iterable[int]) -> None:
        """Let go of layers in `state`, which then has nothing in their places."""
        nothing = self.x.new_empty(0)
        state.give_up({at: nothing for k in layers for at in range(k - 1, len(state), self.depth)})

    def forget(self, layer: int) -> None:
        """Let go of what a layer has heard."""
        for edge in self.network.into(layer):
            self.below[edge.index] = None
        for edge in self.network.out_of(layer):
            self.above[edge.index] = None

    def hear_below(self, state: State, layer: int) -> None:
        """Refresh what the edges into a layer say; the input is heard once."""
        for edge in self.network.into(layer):
            if edge.source or self.below[edge.index] is None:
                self._say_up(state, edge)

    def hear_above(self, state: State, layer: int) -> None:
        """Refresh what the edges out of a layer say down to it."""
        for edge in self.network.out_of(layer):
            self._say_down(state, edge)

    def mean(self, state: State, layer: int) -> Tensor:
        """The activity that others see of a layer; layer 0 is the input."""
        return state[layer - 1] if layer else self.x

    def count(self, edge: Edge) -> None:
        self.ledger.apply(self.phase, edge.multiply_adds, len(self.x))

    def drive(self, layer: int) -> Tensor:
        """J(m) of a layer from the cached drives."""
        return _total(
            [
                *(self.below[e.index] for e in self.network.into(layer)),
                *(self.above[e.index] for e in self.network.out_of(layer)),
            ]
        )

    def name(self, index: int) -> str:
        """Which layer the tensor at `index` of a state belongs to."""
        return self.network.layers[index % self.depth].name

    @abc.abstractmethod
    def respond(self, state: State, layer: int) -> dict[int, Tensor]:
        """The new tensors of one layer, by position in the state, from the cached drives."""

    def _say_up(self, state: State, edge: Edge) -> None:
        self.below[edge.index], self.points[edge.index] = edge.coupling.linearise(self.mean(state, edge.source))
        self.count(edge)

    def _say_down(self, state: State, edge: Edge) -> None:
        if gain := self.gains[edge.index]:
            said = edge.coupling.adjoint(self.mean(state, edge.target), self.point(state, edge))
            self.above[edge.index] = said if gain == 1 else said * gain
            self.count(edge)

    def point(self, state: State, edge: Edge) -> Any:
        """Where the edge's coupling is linearised; established by speaking up once if nothing has been said yet."""
        if self.points[edge.index] is None:
            self._say_up(state, edge)
        return self.points[edge.index]


class Single(Problem):
    """One replica. Free by default; `nudge` adds β·C to its energy, `clamp` holds the output at a value."""

    def __init__(
        self,
        network: Network,
        x: Tensor,
        gamma: float,
        ledger: Ledger,
        phase: str = "free",
        *,
        beta: float = 0.0,
        objective: Objective | None = None,
        target: Tensor | None = None,
        frozen: Tensor | None = None,
        clamp: Tensor | None = None,
    ) -> None:
        super().__init__(network, x, gamma, ledger, phase)
        self.beta, self.objective, self.target, self.frozen, self.clamp = beta, objective, target, frozen, clamp
        self.sign: Tensor | None = None  # +1 or −1 on the device, () of the state's dtype, which multiplies β

    def start(self) -> State:
        """One bottom-up pass."""
        state = State(())
        for k in range(1, self.depth + 1):
            self.hear_below(state, k)
            response = self.network.layers[k - 1].potential.response(self.drive(k))
            state = State((*state, response))
        self.fresh = True
        return state

    def climb(self, state: State) -> State:
        """The upward half of a sweep, after which drives from below and switches are those of the state."""
        if not self.fresh:
            for k in range(1, self.depth + 1):
                state = self.visit(state, [k], below=True)
            self.fresh = True
        return state

    def adopt(self, other: Problem) -> None:
        """Go on from another problem on the same input: take over what its layers have heard from both sides."""
        self.points, self.below, self.above = list(other.points), list(other.below), list(other.above)
        self.fresh = other.fresh

    def respond(self, state: State, layer: int) -> dict[int, Tensor]:
        drive, potential = self.drive(layer), self.network.layers[layer - 1].potential
        if layer < self.depth:
            return {layer - 1: potential.response(drive)}
        if self.clamp is not None:
            return {layer - 1: self.clamp}
        if self.objective is None or self.target is None or self.network.readout(layer):
            return {layer - 1: potential.response(drive)}
        heard = self._nudged(drive, self.beta)
        if self.sign is not None:
            heard = torch.where(self.sign > 0, heard, self._nudged(drive, -self.beta))
        return {layer - 1: potential.response(heard)}

    def _nudged(self, drive: Tensor, beta: float) -> Tensor:
        """The drive of the output that is nudged by `beta`."""
        assert self.objective is not None and self.target is not None
        potential, nothing = self.network.output.potential, drive.new_zeros(())
        drive, h = self.objective.nudged(potential, drive, nothing, self.target, self.frozen, beta, 0.0)
        return drive + beta * h

    def pulls(self, state: State, error: Tensor) -> dict[int, Tensor]:
        """∂C/∂a of every layer that leads to the output outside the dynamics: f′(a) times `error`, which is ∇C, at the
        output, and times what the edges above say down elsewhere. Empty where the output is inside them.
        """
        found: dict[int, Tensor] = {}
        for layer in range(self.depth, 0, -1):
            if not self.network.readout(layer):
                continue
            heard: list[Tensor | None] = [error] if layer == self.depth else []
            for edge in self.network.out_of(layer):
                if edge.target in found:
                    heard.append(edge.coupling.adjoint(found[edge.target], self.point(state, edge)))
                    self.count(edge)
            if heard:
                found[layer] = self.network.layers[layer - 1].potential.tangent(self.drive(layer), _total(heard))
        return found

    def _say_down(self, state: State, edge: Edge) -> None:
        if edge.feedback or self.beta == 0 or self.objective is None or self.target is None:
            super()._say_down(state, edge)
        elif self.network.readout(self.depth) and not self.network.readout(edge.source):
            self._push(state, edge, self.objective, self.target)

    def _push(self, state: State, edge: Edge, objective: Objective, target: Tensor) -> None:
        """A read-out sends down the nudge and nothing else, as a term β γ^(d_L − 1) C of the energy would."""
        error = self.frozen if self.frozen is not None else objective.gradient(state[-1], target)
        pull = self.pulls(state, error).get(edge.target)
        if pull is not None:
            spread = self.network.output.depth - self.network.depth(edge.source)
            pushed = pull * (-self.beta * self.gamma**spread)
            pushed = pushed if self.sign is None else pushed * self.sign
            self.above[edge.index] = edge.coupling.adjoint(pushed, self.point(state, edge))
            self.count(edge)


def _colours(network: Network) -> list[list[int]]:
    """Greedy colouring: layers of one colour are not joined, so they may respond together. Two colours on a chain."""
    colour: dict[int, int] = {}
    for k in range(1, len(network.layers) + 1):
        taken = {colour[e.source] for e in network.into(k) if e.source}
        colour[k] = next(c for c in range(len(taken) + 1) if c not in taken)
    return [[k for k in colour if colour[k] == c] for c in range(max(colour.values()) + 1)]


def _total(parts: list[Tensor | None]) -> Tensor:
    present = [part for part in parts if part is not None]
    total = present[0]
    for part in present[1:]:
        total = total + part
    return total
