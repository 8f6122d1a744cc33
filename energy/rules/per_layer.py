"""A rule for every layer."""

from __future__ import annotations

from dataclasses import field

from energy.component import ConfigurationError, require
from energy.network import Network
from energy.rules.local import Local
from energy.rules.plasticity import Plasticity


class PerLayer(Local, name="per_layer"):
    """A rule for every layer, from the bottom up; layers beyond the last rule do not learn.

    Attributes:
        rules: the rule of each layer.
    """

    rules: list[Plasticity] = field(default_factory=list)

    def __post_init__(self) -> None:
        require(bool(self.rules), self, "rules", "at least one rule")

    def unit_rules(self) -> list[Plasticity]:
        return self.rules

    def rule_for(self, network: Network, layer: int) -> Plasticity | None:
        if len(self.rules) > len(network.layers):
            raise ConfigurationError(f"per_layer.rules: {len(self.rules)} rules for {len(network.layers)} layers")
        return self.rules[layer - 1] if layer <= len(self.rules) else None
