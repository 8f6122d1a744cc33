"""The layers that local rules train, linearized at settled states: each one population of units with its rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.couplings import UnitInputs
from energy.errors import UsageTypeError
from energy.graph import learns
from energy.network import Edge, Network
from energy.rules.joined import Joined, population
from energy.rules.memory import memory_of
from energy.rules.rule import Rule
from energy.rules.step import dual
from energy.rules.unit_rule import UnitRule, Update
from energy.settle.feedforward import SettledFree
from energy.settle.settled import Settled, SettledDyad


class LinearizedLayer(NamedTuple):
    """A layer with a rule: the first edge into it, the rule, and the inputs of its units by all edges."""

    edge: Edge
    rule: UnitRule
    inputs: UnitInputs

    @property
    def edges(self) -> Sequence[Edge]:
        """The edges whose weights the inputs' filters are."""
        filters: Any = self.inputs.filters
        return filters.edges if isinstance(filters, Joined) else [self.edge]

    def shares(self, update: Update) -> Iterator[tuple[Edge, Update]]:
        """Yield each edge with its part of an update of weights and bias."""
        filters: Any = self.inputs.filters
        return filters.shares(*update) if isinstance(filters, Joined) else iter([(self.edge, update)])


def linearized_layers(
    rule: Rule, network: Network, settled: Settled, *, learning: bool = False
) -> Iterator[LinearizedLayer]:
    """Yield the layers that `rule` has a unit rule for, from the bottom up.

    Args:
        rule: gives the unit rules.
        network: that was settled.
        settled: its states.
        learning: leave out the frozen layers.

    Raises:
        TypeError: for a settling that did not keep the activity of every layer.
        ConfigurationError: for a layer that is no population of units, or has no drive of the rule's p.
    """
    if not isinstance(settled, SettledDyad):
        raise UsageTypeError(f"rule={rule.name} needs the activity of every layer: {type(settled).__name__} has none")
    states = (settled.x, *settled.mean)
    for layer in range(1, len(states)):
        law, edges = rule.rule_for(network, layer), network.into(layer)
        if law is not None and (not learning or any(learns(edge.coupling) for edge in edges)):
            drive = _drive(network, settled, states, layer)
            inputs = population(edges, states, drive, settled.linear, network.layers[layer - 1].name)
            memory = memory_of(network, layer, law.name) if law.memory else {}
            yield LinearizedLayer(edges[0], law, inputs._replace(drive=_measured(law, inputs), memory=memory))


def _drive(network: Network, settled: SettledDyad, states: tuple[Tensor, ...], layer: int) -> Tensor:
    if isinstance(settled, SettledFree):
        return settled.drives[layer - 1]
    sent = [edge.coupling(states[edge.source]) for edge in network.into(layer)]
    return torch.stack(sent).sum(0) if len(sent) > 1 else sent[0]


def _measured(rule: UnitRule, inputs: UnitInputs) -> Tensor:
    """The drive u = ⟨sign(w)|w|^(p−1), x⟩ + b, units on axis 1."""
    if rule.p == 2:
        return inputs.drive
    if not inputs.linear:
        raise ConfigurationError(
            f"{rule.name}.p={rule.p}: must be 2 if units compete with rectified drives, or receive from a coupling "
            "without weights"
        )
    filters = inputs.filters
    u = filters.filter(inputs.presynaptic, dual(filters.weight, rule.p))
    return u if filters.bias is None else u + filters.bias.to(u.dtype).view(-1, *[1] * (u.ndim - 2))
