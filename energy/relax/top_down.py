"""The last top-down half-sweep of a dyad as an iterator over layers, which a rule pulls.

A layer that has been yielded will not change any more, and is freed here once no lower layer reads it. The rule keeps
the tensors that the products of its edges need, so a step needs no more memory than back-propagation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from energy.couplings import Linearization
from energy.errors import UsageError
from energy.graph import layers_that_learn
from energy.network import Network
from energy.relax.dyad import Dyad
from energy.state import State


class FinalLayer(NamedTuple):
    """A layer that will not change any more.

    Attributes:
        layer: its number.
        mean: m, (B, *shape).
        delta: δ, (B, *shape); None if nothing is to be learned.
        linear: the linearizations of the edges whose two ends are now final, by index: those out of the layer, and
            those from the input.
    """

    layer: int
    mean: Tensor
    delta: Tensor | None
    linear: Mapping[int, Linearization | None]


def stream_final_layers(dyad: Dyad, state: State, *, share: bool) -> Iterator[FinalLayer]:
    """Run the downward half-sweep from `state`, the output layer first. `dyad` cannot be used after it.

    Args:
        dyad: its upward messages are those of `state`.
        state: the dyad's state after an upward half-sweep.
        share: the products of edges follow at once, and nothing else is read. Every difference is then un-pooled once
            for the layer below and for the product of its edge; at γ = 0 layers below which nothing learns have none.

    Raises:
        ValueError: if parameters have moved since: a pending pass reads them.
    """
    return _descend(dyad, dyad.read_going_down(state), share, _Unmoved(dyad.network))


def _descend(dyad: Dyad, held: dict[int, Tensor], share: bool, parameters: _Unmoved) -> Iterator[FinalLayer]:
    network, depth = dyad.network, dyad.depth
    learning = layers_that_learn(network)
    dyad.messages.sent_by = None  # stale from here on, and it would keep the first state alive
    fed_back = any(gain is not None for gain in dyad.gains)
    top = {2 * depth - 1} if dyad.nudging.feedback.reads_output else set[int]()
    for layer in reversed(range(1, depth + 1)):
        with torch.no_grad():  # not around the yield: the consumer would inherit it
            parameters.require()
            if share:
                for edge in network.out_of(layer):
                    dyad.linearization(held, edge).prepare(dyad.delta(held, edge.target))
            if not share or fed_back or layer in learning:  # else no product reads its difference
                dyad.receive_from_above(held, layer)
            held |= dyad.update(layer)
            final = [FinalLayer(layer, dyad.mean(held, layer), dyad.learned(held, layer), _taken(dyad, layer))]
            dyad.messages.drop(network, layer)
        yield final.pop()  # no name here keeps it while the next layer is computed
        for done in network.last_read_at(layer):
            for position in {done - 1, depth + done - 1} - top:
                del held[position]


def _taken(dyad: Dyad, layer: int) -> dict[int, Linearization | None]:
    """The linearizations that go with a layer, taken out of the messages."""
    found: dict[int, Linearization | None] = {}
    for edge in dyad.network.completed_by(layer):
        found[edge.index], dyad.messages.linear[edge.index] = dyad.messages.linear[edge.index], None
    return found


class _Unmoved:
    """The parameters of a network as they are now."""

    def __init__(self, network: Network) -> None:
        self.parameters = [parameter for parameter in network.parameters() if not parameter.is_inference()]
        self.versions = self._versions()

    def _versions(self) -> list[int]:
        return [parameter._version for parameter in self.parameters]

    def require(self) -> None:
        """Refuse parameters that have moved.

        Raises:
            ValueError: naming the cure.
        """
        if self._versions() != self.versions:
            raise UsageError("the parameters have moved since these states were settled: settle again")


def final_layers(
    network: Network, linear: Sequence[Linearization | None], mean: State, delta: Sequence[Tensor | None]
) -> list[FinalLayer]:
    """Return settled states as final layers, the output first.

    Args:
        network: the network.
        linear: the linearization of every edge.
        mean: m of every layer, from the bottom up.
        delta: δ of every layer, from the bottom up; None if nothing is to be learned.
    """

    def edges(layer: int) -> dict[int, Linearization | None]:
        return {edge.index: linear[edge.index] for edge in network.completed_by(layer)}

    return [FinalLayer(k, mean[k - 1], delta[k - 1], edges(k)) for k in reversed(range(1, len(mean) + 1))]
