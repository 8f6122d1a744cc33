"""A trial that is learnt from while it runs: up, down and a product at every step, and nothing kept but running traces.

    u, s, x of every layer at step t;   e ← λ e + x, the eligibility of what a synapse has heard;
    δ[t] = D(v[t], c[t]), c from the δ above of the same step, or of the step before where errors take time;
    ΔW ← ΔW + δ[t] e[t]ᵀ

An input that is constant in time has the eligibility x · Σ_{i ≤ t} λ^i, so its product is made once, at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.couplings import Affine, Gradients
from energy.feedback import Transport
from energy.ledger import Ledger
from energy.network import Edge, Network, laid_out
from energy.spiking.activity import TIE
from energy.spiking.cost import synaptic
from energy.spiking.errors import LocalError
from energy.spiking.neurons import LIF
from energy.spiking.surrogates import Surrogate


@dataclass(kw_only=True)
class Trial:
    """One batch through T steps. `sequence` is (T, B, …), or (1, B, …) for a constant input.

    After `run`: `products` of every edge, `score` (B, …) of every class and the `cost` of each sample (B,).
    Raises ConfigurationError where a coupling is not affine: its slope at what passed is not kept."""

    network: Network
    sequence: Tensor
    target: Tensor
    ledger: Ledger
    steps: int
    neuron: LIF
    surrogate: Surrogate
    beta: float
    error: LocalError
    wiring: Transport
    eligible: bool  # whether products are with eligibility traces, or with what is heard at present
    delayed: bool  # whether an error takes a step to go down one layer
    u: list[Tensor] = field(init=False)
    x: list[Tensor] = field(init=False)  # traces; the input first
    e: list[Tensor] = field(init=False)  # eligibilities; the input first
    delta: list[Tensor | None] = field(init=False)
    points: list[Any] = field(init=False)
    said: dict[int, Tensor] = field(init=False)  # what a constant input says
    products: list[Gradients] = field(init=False)
    charges: dict[int, Tensor] = field(init=False)  # Σ_t of δ and the growing eligibility of a constant input
    cost: Tensor = field(init=False)
    score: Tensor = field(init=False)

    def __post_init__(self) -> None:
        depth, edges = len(self.network.layers), self.network.edges
        for edge in edges:
            if not isinstance(edge.coupling, Affine):
                raise ConfigurationError(
                    f"couplings.{edge.index}: is a {type(edge.coupling).__name__}; credit that keeps running traces "
                    "needs affine couplings; or take credit=adjoint"
                )
        nothing = self.sequence.new_empty(0)
        self.u, self.x, self.e = [nothing] * depth, [nothing] * (depth + 1), [nothing] * (depth + 1)
        self.delta, self.points = [None] * depth, [None] * len(edges)
        self.said, self.charges = {}, {}
        self.products = [tuple(torch.zeros_like(p) for p in edge.coupling.parameters()) for edge in edges]
        self.cost = self.sequence.new_zeros(self.sequence.shape[1])
        self.score = self.sequence.new_zeros((self.sequence.shape[1], *self.network.output.shape))

    @property
    def update(self) -> list[Tensor]:
        """One tensor a parameter, in the order of `network.parameters()`."""
        return [product for products in self.products for product in products]

    def run(self) -> None:
        """All steps."""
        grown = 1.0
        for t in range(self.steps):
            self._up(t)
            self._down(t)
            self._learn(grown)
            grown = 1 + self.neuron.leak * grown if self.eligible else 1.0
        for index, charge in self.charges.items():
            edge = self.network.edges[index]
            self._add(edge, self._hebbian(edge, self.x[0], charge), 1.0)

    def _constant(self, edge: Edge) -> bool:
        """Whether an edge hears the same at every step."""
        return edge.source == 0 and len(self.sequence) == 1

    def _up(self, t: int) -> None:
        """Membranes, traces and eligibilities of step t."""
        if t == 0 or len(self.sequence) > 1:
            self._hear(0, laid_out(self.sequence[t]), t)
        for layer in range(1, len(self.network.layers) + 1):
            said = [self._says(edge) for edge in self.network.into(layer)]
            current = sum(said[1:], said[0])
            before, self.u[layer - 1] = self.u[layer - 1], current
            if t:
                self.u[layer - 1] = self.neuron.carried(before) + current
            fired = self.neuron.fires(self.u[layer - 1])
            trace = self.x[layer] if t else torch.zeros_like(self.u[layer - 1])
            self._hear(layer, self.neuron.filtered(trace, fired), t)
            self.ledger.fire(self.network.layers[layer - 1].name, *synaptic(self.network, layer, fired))
        self.score += self.neuron.fires(self.u[-1]) + TIE * self.u[-1]

    def _hear(self, layer: int, trace: Tensor, t: int) -> None:
        self.x[layer] = trace
        if self.network.out_of(layer):
            self.e[layer] = self.neuron.leak * self.e[layer] + trace if self.eligible and t else trace

    def _says(self, edge: Edge) -> Tensor:
        if edge.index not in self.said:
            pre = self.x[edge.source]
            self.ledger.apply("free", edge.multiply_adds, len(pre))
            said, self.points[edge.index] = edge.coupling.linearize(pre)
            if not self._constant(edge):
                return said
            self.said[edge.index] = said
        return self.said[edge.index]

    def _down(self, t: int) -> None:
        """δ of step t, from the output down; of the step before where errors take time."""
        depth, decay = len(self.network.layers), self.neuron.decay
        above = list(self.delta) if self.delayed else self.delta
        self.cost += self.error.cost(self.x[-1], self.target, t, self.steps, decay)
        for layer in range(depth, 0, -1):
            apical = [-self.error.at(self.x[-1], self.target, t, self.steps, decay)] if layer == depth else []
            apical += [said for edge in self.network.out_of(layer) if (said := self._pulled(edge, above)) is not None]
            heard = sum(apical[1:], apical[0]) if apical else None
            basal = self.u[layer - 1]
            self.delta[layer - 1] = None if heard is None else self.neuron.past(basal, heard, self.surrogate, self.beta)

    def _pulled(self, edge: Edge, above: list[Tensor | None]) -> Tensor | None:
        """What an edge says down; None before any error has come as far."""
        delta, top, point = above[edge.target - 1], above[-1], self.points[edge.index]
        if top is None or (delta is None and not self.wiring.reads_output):
            return None
        self.ledger.apply("nudged", self.wiring.multiply_adds(edge), len(top))
        return self.wiring.adjoint(edge, top if delta is None else delta, top, point)

    def _learn(self, grown: float) -> None:
        """The products of a step; `grown` is Σ λ^i so far, the eligibility of what never changes."""
        for edge in self.network.edges:
            delta = self.delta[edge.target - 1]
            if delta is None:
                continue
            if self._constant(edge):
                held = self.charges.get(edge.index)
                self.charges[edge.index] = delta * grown if held is None else held.add(delta, alpha=grown)
            else:
                self._add(edge, self._hebbian(edge, self.e[edge.source], delta), grown)

    def _hebbian(self, edge: Edge, pre: Tensor, delta: Tensor) -> Gradients:
        self.ledger.apply("products", edge.multiply_adds, len(delta))
        return self.points[edge.index].weight_gradient(pre, delta)

    def _add(self, edge: Edge, products: Gradients, bias: float) -> None:
        """Add up; the product of a bias, which hears 1 at every step, with the eligibility of 1."""
        for (name, _), kept, product in zip(
            edge.coupling.named_parameters(), self.products[edge.index], products, strict=True
        ):
            kept.add_(product, alpha=bias if name == "bias" else 1.0)
