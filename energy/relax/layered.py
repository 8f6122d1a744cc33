"""The layers of a network as a problem: every layer's response to the others, in one phase or as a dyad.

A layer reads the messages that its edges last brought it. A relaxation either asks for the `response` of all layers at
once, or updates them one by one in half-sweeps. Going up a layer receives only from below and going down only from
above, since the other side has not changed: so a symmetric sweep costs 2(U − U₁). The input sends once.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.couplings import Linearization
from energy.graph import Gain, scaled, total
from energy.ledger import Ledger
from energy.network import Edge, Network, to_channels_last
from energy.relax.messages import Messages
from energy.relax.problem import Problem
from energy.state import State

Tensors = State | Mapping[int, Tensor]  # tensors by their position in a state, all of them or those that are left


class Layered(Problem, abc.ABC):
    """s = response(s) for the layers of `network` above a clamped `x`, at feedback gain `gamma`.

    Args:
        network: its layers are numbered from 1; 0 is the input.
        x: (B, *input shape).
        gamma: feedback gain in [0, 1].
        ledger: counts the applications of couplings.
        phase: the name that they are counted under.
    """

    def __init__(self, network: Network, x: Tensor, gamma: Gain, ledger: Ledger, phase: str) -> None:
        self.network, self.x = network, to_channels_last(x)
        self.gamma, self.gains = gamma, [edge.gain_on_device(gamma) for edge in network.edges]
        self.ledger, self.phase = ledger, phase
        self.depth = len(network.layers)
        self.messages = Messages.none(network)

    def mark(self) -> Callable[[], None] | None:
        """Return a function that takes back all messages and counts from now on; None if a coupling keeps more, such as
        the statistics of the batch that it saw last.
        """
        if any(edge.coupling.batchwise and edge.coupling.training for edge in self.network.edges):
            return None
        messages, uncount = self.messages.copy(), self.ledger.mark()

        def take_back() -> None:
            self.messages = messages
            uncount()

        return take_back

    @property
    def batch(self) -> int:
        return len(self.x)

    @property
    def device(self) -> torch.device:
        return self.x.device

    def name(self, index: int) -> str:
        return self.network.layers[index % self.depth].name

    @abc.abstractmethod
    def update(self, layer: int) -> dict[int, Tensor]:
        """Return the new tensors of one layer, by position in the state, from the messages it has received."""

    def response(self, state: State) -> State:
        layers = range(1, self.depth + 1)
        for k in layers:
            self.receive_from_below(state, k)
        for k in layers:
            self.receive_from_above(state, k)
        return self._updated(state, list(layers))

    def update_layers(self, state: State, layers: list[int]) -> State:
        """Set `layers`, no two of them joined by an edge, to their responses to both sides."""
        for k in layers:
            self.receive_from_below(state, k)
            self.receive_from_above(state, k)
        return self._updated(state, layers)

    def _updated(self, state: State, layers: list[int]) -> State:
        changes: dict[int, Tensor] = {}
        for k in layers:
            changes |= self.update(k)
        return state.replace(changes)

    def bottom_up(self, state: State) -> State:
        """Run the upward half-sweep; returns `state` itself if the upward messages are its own already."""
        if self.messages.sent_by is state:
            return state
        for k in range(1, self.depth + 1):
            self.receive_from_below(state, k)
            state = state.replace(self.update(k))
        self.messages.sent_by = state
        return state

    def top_down(self, state: State) -> State:
        """Run the downward half-sweep."""
        self.messages.sent_by = None  # it would keep the state that is being replaced
        for k in reversed(range(1, self.depth + 1)):
            self.receive_from_above(state, k)
            state = state.replace(self.update(k))
        return state

    @cached_property
    def colors(self) -> list[list[int]]:
        """The layers in groups; no edge joins two layers of a group."""
        return _colors(self.network)

    def adopt(self, state: State) -> State:
        """Send all messages anew from `state`, which is not the one that sent the last; returns it."""
        self.response(state)
        return state

    def sent_down(self) -> State:
        """Return all messages that came from above, one after the other."""
        return State(tensor for kind in self._downward() for tensor in kind if tensor is not None)

    def replace_sent_down(self, messages: State) -> None:
        """Replace the messages that came from above, in the order of `sent_down`."""
        others = iter(messages)
        for kind in self._downward():
            kind[:] = [tensor if tensor is None else next(others) for tensor in kind]

    def _downward(self) -> list[list[Tensor | None]]:
        return [self.messages.down]

    def receive_from_below(self, state: Tensors, layer: int) -> None:
        """Send anew along the edges into a layer; the input sends once."""
        for edge in self.network.into(layer):
            if edge.source or self.messages.up[edge.index] is None:
                self.send_up(state, edge)

    def receive_from_above(self, state: Tensors, layer: int) -> None:
        """Send anew down the edges out of a layer."""
        for edge in self.network.out_of(layer):
            self.send_down(state, edge)

    def send_up(self, state: Tensors, edge: Edge) -> None:
        """Send A(m), and keep the linearization at m."""
        self.messages.sent_by = None  # the edges no longer hold the messages of one state
        drive, linear = edge.coupling.linearize(self.mean(state, edge.source))
        self.messages.up[edge.index], self.messages.linear[edge.index] = drive, linear
        self.count(edge)

    def send_down(self, state: Tensors, edge: Edge) -> None:
        """Send γ^span A′(m)ᵀ m_target, if the edge carries feedback."""
        if (gain := self.gains[edge.index]) is not None:
            sent = self.linearization(state, edge).adjoint(self.mean(state, edge.target))
            self.messages.down[edge.index] = scaled(sent, gain)
            self.count(edge)

    def mean(self, state: Tensors, layer: int) -> Tensor:
        """Return the activity that a layer sends; layer 0 is the input."""
        return state[layer - 1] if layer else self.x

    def drive(self, layer: int) -> Tensor:
        """Return J(m) of a layer from the messages."""
        return total(self.messages.received(self.network, layer))

    def linearization(self, state: Tensors, edge: Edge) -> Linearization:
        """Return the edge's coupling as it was last linearized; sends up once if nothing has been sent yet."""
        if self.messages.linear[edge.index] is None:
            self.send_up(state, edge)
        linear = self.messages.linear[edge.index]
        assert linear is not None
        return linear

    def count(self, edge: Edge) -> None:
        """Count one application of the edge's coupling to every sample."""
        self.ledger.apply(self.phase, edge.multiply_adds, self.batch)


def require_layers(problem: Problem, relax: str) -> Layered:
    """Return the problem as one of layers.

    Raises:
        ConfigurationError: if it has none that could be updated one by one.
    """
    if isinstance(problem, Layered):
        return problem
    raise ConfigurationError(
        f"relax={relax}: must be flow or synchronous: {type(problem).__name__} has no layers to update one by one"
    )


def _colors(network: Network) -> list[list[int]]:
    """Greedy coloring: layers of one color are not joined, so they may respond together. Two colors on a chain."""
    color: dict[int, int] = {}
    for k in range(1, len(network.layers) + 1):
        taken = {color[e.source] for e in network.into(k) if e.source}
        color[k] = next(c for c in range(len(taken) + 1) if c not in taken)
    return [[k for k in color if color[k] == c] for c in range(max(color.values()) + 1)]
