"""Rules without feedback: what a neuron learns depends on its drive, its rivals' and what it sees; on nothing above.

    Δw_k = Σ_{samples, places} y_k (R^p x − u_k w_k) = R^p·yx_k − yu_k·w_k        u_k = ⟨sign(w_k)|w_k|^(p−1), x⟩ + b_k

A rule is one function u → y, the plastic activation. One product a layer makes yx; since u is linear in x,
yu_k = ⟨sign(w_k)|w_k|^(p−1), yx_k⟩ + b_k Σ y_k needs no second pass over the activities. States come from one free
settling, which at γ = 0 is one bottom-up pass.

`update` is Δw as above. `apply` writes the step that is taken with it, w ← w + η_k Δw_k / max|Δw|, the maximum over the
layer and η_k = η (|‖w_k‖₂ − 1| + 1e-10)^q, into `.grad`: plain SGD at learning rate 1 takes it as it is, and a schedule
on that rate is the decay over time.

Source: Krotov & Hopfield, PNAS 116 (2019) 7723 (scaled update, p, R); Journé et al., ICLR 2023 (rate by norm)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from energy.component import ConfigurationError, require
from energy.couplings import Filtered, Linearization
from energy.ledger import Ledger
from energy.network import Edge, Network
from energy.objectives import Objective
from energy.rules.health import health
from energy.rules.joined import Joined, groups, population
from energy.rules.memory import lay, recall, remembers
from energy.rules.rule import Rule
from energy.rules.step import STEP, TINY, along, constants, over_places
from energy.settle.settled import Settled, SettledDyad
from energy.settle.settler import Settler
from energy.state import State


@dataclass(kw_only=True)
class SettledFree(Settled):
    """A free settling, up to the highest layer that learns: its activities, each layer's drive, and the target."""

    mean: State
    linear: list[Linearization | None]
    drives: list[Tensor]
    target: Tensor


class Learnt(NamedTuple):
    """A layer with a rule: the first edge into it, the rule, and what its neurons see and hear by all edges."""

    edge: Edge
    rule: Plasticity
    open: Filtered

    @property
    def edges(self) -> Sequence[Edge]:
        """Those whose weights these are."""
        filters: Any = self.open.filters
        return filters.edges if isinstance(filters, Joined) else [self.edge]

    def shares(self, change: tuple[Tensor, Tensor | None]) -> Iterator[tuple[Edge, tuple[Tensor, Tensor | None]]]:
        """What is each edge's own of a change of weights and bias."""
        filters: Any = self.open.filters
        return filters.shares(*change) if isinstance(filters, Joined) else iter([(self.edge, change)])


class Local(Rule):
    """What all rules without feedback share. A subclass says which rule an edge learns by."""

    descends: ClassVar[bool] = False

    def of(self, network: Network, layer: int) -> Plasticity | None:
        """The rule by which the edges into `layer` learn."""
        raise NotImplementedError(f"{type(self).__name__} must define of(network, layer)")

    def batch(
        self, network: Network, settler: Settler, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger
    ) -> Settled:
        """Settle freely up to the highest layer that learns, and write the step. The target matters only to a rule that
        asks for it; the objective to none.
        """
        network.zero_grad()
        part = network.up_to(self.top(network))
        with network.learning():
            settled = self.settle(part, settler, x, target, ledger)
        health(network).solved(network, settler, settled)
        self.apply(network, settled)
        self._remember(network, settled)
        return settled

    def attach(self, network: Network) -> None:
        lay(network, {k: rule.memory for k in range(1, len(network.layers) + 1) if (rule := self.of(network, k))})

    def _recall(self, network: Network, layer: int, rule: Plasticity) -> dict[str, Tensor]:
        return recall(network, layer, rule.label) if rule.memory else {}

    @torch.no_grad()
    def _remember(self, network: Network, settled: Settled) -> None:
        if remembers(network):
            for _, rule, open in self.opened(network, settled, learning=True):
                if open.memory:
                    last = rule.competing(rule.drive(open), open)
                    rule.remember(last, {name: value.view(last.shape[-2:]) for name, value in open.memory.items()})

    @torch.no_grad()
    def settle(self, network: Network, settler: Settler, x: Tensor, target: Tensor, ledger: Ledger) -> SettledFree:
        """The free equilibrium of `network`, with every layer's drive."""
        network.check(x)
        problem, state, solution = settler.free(network, x, ledger)
        return SettledFree(
            x=problem.x,
            output=state[-1],
            ledger=ledger,
            solutions={} if solution is None else {"free": solution},
            linear=problem.messages.linear,
            mean=state,
            drives=[problem.drive(k) for k in range(1, problem.depth + 1)],
            target=target,
        )

    def top(self, network: Network) -> int:
        """The highest layer that learns.

        Raises ConfigurationError when there is none.
        """
        layers = [edge.target for edge in network.edges if self._learns(network, edge)]
        if not layers:
            raise ConfigurationError(f"rule={self.label}: no layer of this network learns; are all of them frozen?")
        return max(layers)

    def opened(self, network: Network, settled: Settled, *, learning: bool = False) -> Iterator[Learnt]:
        """The layers that have a rule, or of them those that learn, opened, from the bottom up.

        Raises TypeError for a settling that did not keep the activity of every layer.
        """
        if not isinstance(settled, SettledFree | SettledDyad):
            raise TypeError(f"rule={self.label} needs the activity of every layer: {type(settled).__name__} has none")
        states = (settled.x, *settled.mean)
        for layer in range(1, len(states)):
            rule, edges = self.of(network, layer), network.into(layer)
            if rule is not None and (not learning or any(self._learns(network, edge) for edge in edges)):
                drive = _drive(network, settled, states, layer)
                open = population(edges, states, drive, settled.linear, network.layers[layer - 1].name)
                yield Learnt(edges[0], rule, open._replace(memory=self._recall(network, layer, rule)))

    def learnt(self, network: Network, settled: Settled) -> Iterator[Learnt]:
        """Those that learn, entered into the ledger."""
        for one in self.opened(network, settled, learning=True):
            spent = sum(edge.multiply_adds for edge in one.edges)
            for _ in range(1 if one.rule.norm == 2 else 2):  # any other norm measures the drives anew
                settled.ledger.apply("products", spent, len(settled.x))
            yield one

    def _learns(self, network: Network, edge: Edge) -> bool:
        learnt = any(parameter.requires_grad for parameter in edge.coupling.parameters())
        return learnt and self.of(network, edge.target) is not None

    @torch.no_grad()
    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        """Δw and Δb of every parameter; zero for the edges that do not learn."""
        shares = [one.shares(one.rule.change(one.open, settled)) for one in self.learnt(network, settled)]
        found = {edge.index: share for edge, share in itertools.chain(*shares) if self._learns(network, edge)}
        return [torch.zeros_like(p) if change is None else change for p, change in _paired(network, found)]

    @torch.no_grad()
    def apply(self, network: Network, settled: Settled) -> None:
        """Write minus the step into `.grad`; None for what does not learn."""
        shares = [one.shares(one.rule.step(one.open, settled)) for one in self.learnt(network, settled)]
        steps = {edge.index: share for edge, share in itertools.chain(*shares)}
        self.write(network, [step for _, step in _paired(network, steps)])


class Plasticity(Local):
    """One law for the weights of a population. A bare one is that of every hidden layer.

    rate is η; exponent is q, 0 for one rate for all neurons; scaled divides by the largest change, and by the batch
    size otherwise; norm is p and radius R, the norm ‖w_k‖_p that the decay leads to."""

    rate: float = 0.01
    exponent: float = 0.0
    scaled: bool = True
    norm: float = 2.0
    radius: float = 1.0

    decayed: ClassVar[bool] = True
    memory: ClassVar[Mapping[str, float]] = {}  # what a neuron remembers from batch to batch, and what it begins with

    def __post_init__(self) -> None:
        require(0 <= self.rate < math.inf, self, "rate", "at least 0 and finite")
        require(0 <= self.exponent < math.inf, self, "exponent", "at least 0 and finite")
        require(1 < self.norm < math.inf, self, "norm", "above 1 and finite")
        require(0 < self.radius < math.inf, self, "radius", "above 0 and finite")

    def of(self, network: Network, layer: int) -> Plasticity | None:
        return self if layer < len(network.layers) else None

    def energy(self, drive: Tensor) -> Tensor:
        """E*(u), (…, K) → (…), whose negative gradient is y: what this rule descends on {‖w_k‖_p = R}.

        Raises TypeError for a rule whose y is the gradient of nothing.
        """
        raise TypeError(f"rule={self.label} descends no energy of the drives")

    def plastic(self, drive: Tensor, target: Tensor | None) -> Tensor:
        """y of drives (…, K); the neurons compete on the last axis."""
        raise NotImplementedError(f"{type(self).__name__} must define plastic(drive, target)")

    def recalled(self, drive: Tensor, target: Tensor | None, memory: Mapping[str, Tensor]) -> Tensor:
        """`plastic`, of a law that remembers: `memory` by name, (groups, K/groups), which drives end with too."""
        return self.plastic(drive, target)

    def remember(self, drive: Tensor, memory: Mapping[str, Tensor]) -> None:
        """Take the drives (…, K) of a batch into `memory`, in place; `learn` asks for it once the step is written."""

    def offset(self, drive: Tensor, bias: Tensor) -> Tensor:
        """Δb of biases (K,) at drives (…, groups, K/groups); a rule without a law for them leaves them."""
        return torch.zeros_like(bias)

    @property
    def unit(self) -> float:
        """What a bias is measured in."""
        return 1.0

    def competing(self, u: Tensor, opened: Filtered) -> Tensor:
        """What the neurons compete with, (B, places…, groups, K/groups), of their drives u (B, K, places…)."""
        return u.movedim(1, -1).unflatten(-1, (groups(opened.filters), -1))

    def change(self, opened: Filtered, settled: Settled) -> tuple[Tensor, Tensor | None]:
        """Δw and Δb."""
        u, y, bias = self._activities(opened, settled)
        filters = opened.filters
        change = filters.product(opened.seen, y).to(filters.weight.dtype)
        if self.decayed:
            change = self.decay(filters.weight, change, y, None if opened.linear else u, filters.bias)
        return change, bias

    def decay(self, weight: Tensor, product: Tensor, y: Tensor, u: Tensor | None, bias: Tensor | None) -> Tensor:
        """R^p·yx − yu·w; yu from yx where u is linear in what is seen (`u` None), else from the activities."""
        if u is None:
            said = (self.dual(weight) * product).flatten(1).sum(1)
            said = said if bias is None else said + bias * over_places(y).to(bias.dtype)
        else:
            said = over_places(y.to(weight.dtype) * u.to(weight.dtype))
        return product * self.radius**self.norm - along(said, weight) * weight

    def dual(self, weight: Tensor) -> Tensor:
        """sign(w)|w|^(p−1), with which a drive is measured."""
        return weight if self.norm == 2 else weight.sign() * weight.abs().pow(self.norm - 1)

    def rates(self, weight: Tensor) -> Tensor:
        """η_k = η (|‖w_k‖_p/R − 1| + 1e-10)^q: (K,)."""
        norms = torch.linalg.vector_norm(weight.flatten(1), self.norm, dim=1)
        return self.rate * ((norms / self.radius - 1).abs() + 1e-10).pow(self.exponent)

    def step(self, opened: Filtered, settled: Settled) -> tuple[Tensor, Tensor | None]:
        """Minus the steps of weight and bias."""
        filters = opened.filters
        if self._fits(opened):
            _, y, _ = self._activities(opened, settled)
            product = filters.product(opened.seen, y)
            numbers = constants((self.rate, self.exponent, self.radius), filters.weight)
            return STEP((filters.weight.detach(), product, numbers)), None
        change, offset = self.change(opened, settled)
        rates, count = self.rates(filters.weight), len(settled.x)
        step = self._scaled(change, rates, count, opened)
        return step, None if offset is None else self._scaled(offset, rates * self.unit, count, opened)

    def _fits(self, opened: Filtered) -> bool:
        """Whether this is the plain case that the fused step is written for."""
        plain = self.scaled and self.norm == 2 and opened.linear and opened.filters.bias is None
        return plain and groups(opened.filters) == 1 and type(self).decay is Plasticity.decay and self.decayed

    def _scaled(self, change: Tensor, rates: Tensor, count: int, opened: Filtered) -> Tensor:
        if not self.scaled:
            return change * along(rates, change) / -count
        parts = change.reshape(groups(opened.filters), -1)
        peaks = parts.abs().amax(1, keepdim=True) + TINY
        return (parts / peaks).reshape(change.shape) * -along(rates, change)

    def _activities(self, opened: Filtered, settled: Settled) -> tuple[Tensor, Tensor, Tensor | None]:
        """u and y, neurons on axis 1, and Δb."""
        u, bias = self.drive(opened), opened.filters.bias
        last = self.competing(u, opened)
        held = {name: value.view(last.shape[-2:]) for name, value in opened.memory.items()}
        y = self.recalled(last, getattr(settled, "target", None), held).to(last.dtype).flatten(-2).movedim(-1, 1)
        return u, y, None if bias is None else self.offset(last, bias)

    def drive(self, opened: Filtered) -> Tensor:
        """u, neurons on axis 1, measured with this rule's norm.

        Raises ConfigurationError for another norm than 2 where neurons compete with more than their weights say.
        """
        if self.norm == 2:
            return opened.drive
        require(
            opened.linear,
            self,
            "norm",
            "2 where neurons compete with rectified drives, or hear a coupling without weights",
        )
        filters = opened.filters
        u = filters.filter(opened.seen, self.dual(filters.weight))
        return u if filters.bias is None else u + filters.bias.to(u.dtype).view(-1, *[1] * (u.ndim - 2))


class PerLayer(Local, name="per_layer"):
    """A rule for every layer, from the bottom up; layers beyond the last rule do not learn."""

    rules: list[Plasticity] = field(default_factory=list)

    def __post_init__(self) -> None:
        require(bool(self.rules), self, "rules", "at least one rule")

    def of(self, network: Network, layer: int) -> Plasticity | None:
        if len(self.rules) > len(network.layers):
            raise ConfigurationError(f"per_layer.rules: {len(self.rules)} rules for {len(network.layers)} layers")
        return self.rules[layer - 1] if layer <= len(self.rules) else None


def _paired(network: Network, found: dict[int, tuple[Tensor, Tensor | None]]) -> Iterator[tuple[Any, Tensor | None]]:
    """Every parameter with what was found for it; None for those of edges that do not learn."""
    for edge in network.edges:
        given = itertools.chain(found.get(edge.index, ()), itertools.repeat(None))
        yield from zip(edge.coupling.parameters(), given, strict=False)


def _drive(network: Network, settled: SettledFree | SettledDyad, states: tuple[Tensor, ...], layer: int) -> Tensor:
    if isinstance(settled, SettledFree):
        return settled.drives[layer - 1]
    said = [edge.coupling(states[edge.source]) for edge in network.into(layer)]
    return torch.stack(said).sum(0) if len(said) > 1 else said[0]
