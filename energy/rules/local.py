"""Local rules: a unit's update depends only on its input, its pre-activation, and those of the units it competes with.

States come from one free phase, which at γ = 0 is one bottom-up pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from typing import ClassVar

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.graph import learns
from energy.health import health
from energy.ledger import Ledger
from energy.network import Edge, Network
from energy.objectives import Objective
from energy.rules.linearized import LinearizedLayer, linearized_layers
from energy.rules.memory import attach_memory, has_memory, shaped
from energy.rules.rule import Rule
from energy.rules.unit_rule import UnitRule, Update
from energy.settle.feedforward import settle_free
from energy.settle.settled import Settled
from energy.settle.settler import Settler


class Local(Rule):
    """Base of all local rules. A subclass defines `rule_for`."""

    descends: ClassVar[bool] = False
    supports_greedy: ClassVar[bool] = True

    def rule_for(self, network: Network, layer: int) -> UnitRule | None:
        raise NotImplementedError(f"{type(self).__name__} must define rule_for(network, layer)")

    def learns(self, network: Network) -> list[str]:
        return [layer.name for k, layer in enumerate(network.layers, start=1) if self.rule_for(network, k) is not None]

    def scores_output(self, network: Network, learning: Collection[str]) -> bool:
        return network.output.name in learning

    def attach(self, network: Network) -> None:
        rules = ((k, self.rule_for(network, k)) for k in range(1, len(network.layers) + 1))
        attach_memory(network, {k: rule.memory for k, rule in rules if rule is not None})

    def top(self, network: Network) -> int:
        """Return the highest layer that learns.

        Raises:
            ConfigurationError: if there is none.
        """
        layers = [edge.target for edge in network.edges if self._trains(network, edge)]
        if not layers:
            raise ConfigurationError(f"rule={self.name}: no layer of this network learns; are all of them frozen?")
        return max(layers)

    def batch(
        self, network: Network, settler: Settler, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger
    ) -> Settled:
        """Run the free phase up to the highest layer that learns, and write the step.

        Args:
            network, settler, x, ledger: as for `learn`.
            target: read by rules that use it only.
            objective: not used.
        """
        network.zero_grad()
        part = network.subnetwork(self.top(network))
        with network.learning():
            settled = settle_free(settler, part, x, target, ledger)
        health(network).solved(network, settler, settled)
        self.apply(network, settled)
        self._remember(network, settled)
        return settled

    @torch.no_grad()
    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        """Return Δw and Δb of every parameter; zero for the edges that do not learn."""
        updates = self._collected(network, settled, lambda layer: layer.rule.weight_update(layer.inputs, settled))
        kept = {edge: update for edge, update in updates.items() if self._trains(network, network.edges[edge])}
        return [torch.zeros_like(p) if update is None else update for p, update in _paired(network, kept)]

    @torch.no_grad()
    def apply(self, network: Network, settled: Settled) -> None:
        """Write minus the step into `.grad`; None for a parameter that does not learn."""
        steps = self._collected(network, settled, lambda layer: layer.rule.scaled_update(layer.inputs, settled))
        self.write(network, [step for _, step in _paired(network, steps)])

    def _collected(
        self, network: Network, settled: Settled, update: Callable[[LinearizedLayer], Update]
    ) -> dict[int, Update]:
        """The updates of the layers that learn, by the index of the edge; their products are counted."""
        found: dict[int, Update] = {}
        for layer in linearized_layers(self, network, settled, learning=True):
            passes = 1 if layer.rule.p == 2 else 2  # any other norm measures the drives anew
            for _ in range(passes):
                settled.ledger.apply("products", sum(edge.multiply_adds for edge in layer.edges), len(settled.x))
            found |= {edge.index: share for edge, share in layer.shares(update(layer))}
        return found

    @torch.no_grad()
    def _remember(self, network: Network, settled: Settled) -> None:
        for layer in linearized_layers(self, network, settled, learning=True) if has_memory(network) else ():
            if layer.inputs.memory:
                logits = layer.rule.competition_logits(layer.inputs)
                layer.rule.remember(logits, shaped(layer.inputs.memory, logits))

    def _trains(self, network: Network, edge: Edge) -> bool:
        return learns(edge.coupling) and self.rule_for(network, edge.target) is not None


def _paired(network: Network, found: dict[int, Update]) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Every parameter with its update; None for those of edges that do not learn."""
    for edge in network.edges:
        given = itertools.chain(found.get(edge.index, ()), itertools.repeat(None))
        yield from zip(edge.coupling.parameters(), given, strict=False)
