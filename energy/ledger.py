"""What a run spent: coupling applications, multiply-adds and sweeps, by phase.

Unit of account: U = every coupling applied once to one sample, U₁ the part of it that reads the input. A step of
back-propagation, and a step of one-sweep dual propagation, is 3U − U₁: forward, backward without the input's gradient,
weight products. Counting adds Python integers and never reads the device.

Networks of spiking units are also counted in spikes and in synaptic operations, a spike times its fan-out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class HasCost(Protocol):
    """An edge of a network, as far as its price goes; `source` 0 is the input."""

    @property
    def source(self) -> int: ...
    @property
    def multiply_adds(self) -> int: ...


class CostGraph(Protocol):
    """A network, as far as its price goes."""

    @property
    def edges(self) -> Sequence[HasCost]: ...


@dataclass
class Ledger:
    """Counts by phase. `applications` is in coupling applications × samples, `multiply_adds` what they cost. `spikes`
    and `synaptic` (operations) are by layer, numbers or tensors of one number, of which `read` makes numbers.
    """

    applications: Counter[str] = field(default_factory=Counter)
    multiply_adds_by_phase: Counter[str] = field(default_factory=Counter)
    sweeps: Counter[str] = field(default_factory=Counter)
    spikes: Counter[str] = field(default_factory=Counter)
    synaptic: Counter[str] = field(default_factory=Counter)

    def apply(self, phase: str, multiply_adds: int, samples: int) -> None:
        """One coupling of `multiply_adds` a sample was applied to `samples` samples."""
        self.applications[phase] += samples
        self.multiply_adds_by_phase[phase] += multiply_adds * samples

    def count_spikes(self, layer: str, spikes: Any, operations: Any) -> None:
        """A layer fired so many spikes, which cost so many synaptic operations."""
        self.spikes[layer] = self.spikes[layer] + spikes
        self.synaptic[layer] = self.synaptic[layer] + operations

    def read(self) -> dict[str, Counter[str]]:
        """All counts as numbers; reads the device where spikes were counted on it."""
        plain = {name: dict(counts) for name, counts in vars(self).items()}
        return {name: Counter({k: _number(n) for k, n in counts.items()}) for name, counts in plain.items()}

    @property
    def multiply_adds(self) -> int:
        """Over all phases."""
        return self.multiply_adds_by_phase.total()

    def backprop_steps(self, network: CostGraph, samples: int) -> float:
        """What was spent, in steps of back-propagation over `samples` samples."""
        return self.multiply_adds / (backprop_multiply_adds(network) * samples)

    def update(self, other: Ledger) -> None:
        """Add what another ledger spent."""
        self.applications.update(other.applications)
        self.multiply_adds_by_phase.update(other.multiply_adds_by_phase)
        self.sweeps.update(other.sweeps)
        for layer, spikes in other.spikes.items():
            self.count_spikes(layer, spikes, other.synaptic[layer])


def backprop_multiply_adds(network: CostGraph) -> int:
    """3U − U₁, the multiply-adds of one back-propagation step for one sample."""
    every = sum(edge.multiply_adds for edge in network.edges)
    return 3 * every - sum(edge.multiply_adds for edge in network.edges if edge.source == 0)


def _number(count: Any) -> Any:
    """A whole number as an int, whatever holds it."""
    value = count.item() if hasattr(count, "item") else count
    return int(value) if value == int(value) else value
