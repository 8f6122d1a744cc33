"""What a run spent: coupling applications, multiply-adds and sweeps, by phase.

Unit of account: U = every coupling applied once to one sample, U₁ the part of it that reads the input. A step of
back-propagation, and a step of one-sweep dual propagation, is 3U − U₁: forward, backward without the input's gradient,
weight products. Counting adds Python integers and never reads the device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Priced(Protocol):
    """An edge of a network, as far as its price goes; `source` 0 is the input."""

    @property
    def source(self) -> int: ...
    @property
    def multiply_adds(self) -> int: ...


class Graph(Protocol):
    """A network, as far as its price goes."""

    @property
    def edges(self) -> Sequence[Priced]: ...


@dataclass
class Ledger:
    """Counts by phase. `applications` is in coupling applications × samples, `multiply_adds` what they cost."""

    applications: Counter[str] = field(default_factory=Counter)
    spent: Counter[str] = field(default_factory=Counter)
    sweeps: Counter[str] = field(default_factory=Counter)

    def apply(self, phase: str, multiply_adds: int, samples: int) -> None:
        """One coupling of `multiply_adds` a sample was applied to `samples` samples."""
        self.applications[phase] += samples
        self.spent[phase] += multiply_adds * samples

    @property
    def multiply_adds(self) -> int:
        """Over all phases."""
        return self.spent.total()

    def backprop_steps(self, network: Graph, samples: int) -> float:
        """What was spent, in steps of back-propagation over `samples` samples."""
        return self.multiply_adds / (backprop_multiply_adds(network) * samples)

    def update(self, other: Ledger) -> None:
        """Add what another ledger spent."""
        self.applications.update(other.applications)
        self.spent.update(other.spent)
        self.sweeps.update(other.sweeps)


def backprop_multiply_adds(network: Graph) -> int:
    """3U − U₁, the multiply-adds of one back-propagation step for one sample."""
    every = sum(edge.multiply_adds for edge in network.edges)
    return 3 * every - sum(edge.multiply_adds for edge in network.edges if edge.source == 0)
