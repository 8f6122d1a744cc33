"""The cost of a run: coupling applications, multiply-adds and sweeps, by phase.

Unit of account: U = every coupling applied once to one sample, U₁ the part of it that reads the input. A step of
back-propagation, and a step of one-sweep dual propagation, is 3U − U₁: forward, backward without the input's gradient,
weight products. Counting adds Python integers and never reads the device.

Networks of spiking units are also counted in spikes and in synaptic operations, a spike times its fan-out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class HasCost(Protocol):
    """The cost of an edge; `source` 0 is the input."""

    @property
    def source(self) -> int: ...
    @property
    def multiply_adds(self) -> int: ...


class CostGraph(Protocol):
    """The costs of a network."""

    @property
    def edges(self) -> Sequence[HasCost]: ...


@dataclass
class Ledger:
    """The counts of a run.

    Attributes:
        applications: coupling applications × samples, by phase.
        multiply_adds_by_phase: of these applications.
        sweeps: steps of the relaxation, by phase.
        spikes, synaptic: spikes and synaptic operations, by layer: numbers, or tensors () that `read` turns into
            numbers.
    """

    applications: Counter[str] = field(default_factory=Counter)
    multiply_adds_by_phase: Counter[str] = field(default_factory=Counter)
    sweeps: Counter[str] = field(default_factory=Counter)
    spikes: Counter[str] = field(default_factory=Counter)
    synaptic: Counter[str] = field(default_factory=Counter)

    def apply(self, phase: str, multiply_adds: int, samples: int) -> None:
        """Count the application of one coupling to `samples` samples, at `multiply_adds` per sample."""
        self.applications[phase] += samples
        self.multiply_adds_by_phase[phase] += multiply_adds * samples

    def count_spikes(self, layer: str, spikes: Any, operations: Any) -> None:
        """Count the spikes of a layer, and the synaptic operations that they cost."""
        self.spikes[layer] = self.spikes[layer] + spikes
        self.synaptic[layer] = self.synaptic[layer] + operations

    def mark(self) -> Callable[[], None]:
        """Return a function that takes back whatever is counted from now on."""
        held = {name: counts.copy() for name, counts in vars(self).items()}
        return lambda: vars(self).update(held)

    def read(self) -> dict[str, Counter[str]]:
        """Return all counts as numbers; reads the device if spikes were counted on it."""
        plain = {name: dict(counts) for name, counts in vars(self).items()}
        return {name: Counter({k: _number(n) for k, n in counts.items()}) for name, counts in plain.items()}

    @property
    def multiply_adds(self) -> int:
        """The multiply-adds of all phases."""
        return self.multiply_adds_by_phase.total()

    def backprop_steps(self, network: CostGraph, samples: int) -> float:
        """Return the multiply-adds spent, in steps of back-propagation over `samples` samples."""
        return self.multiply_adds / (backprop_multiply_adds(network) * samples)

    def update(self, other: Ledger) -> None:
        """Add the counts of another ledger."""
        self.applications.update(other.applications)
        self.multiply_adds_by_phase.update(other.multiply_adds_by_phase)
        self.sweeps.update(other.sweeps)
        for layer, spikes in other.spikes.items():
            self.count_spikes(layer, spikes, other.synaptic[layer])


def backprop_multiply_adds(network: CostGraph) -> int:
    """Return 3U − U₁, the multiply-adds of one back-propagation step per sample."""
    every = sum(edge.multiply_adds for edge in network.edges)
    return 3 * every - sum(edge.multiply_adds for edge in network.edges if edge.source == 0)


def _number(count: Any) -> Any:
    """The number as an int if it is whole, whatever holds it."""
    value = count.item() if hasattr(count, "item") else count
    return int(value) if value == int(value) else value
