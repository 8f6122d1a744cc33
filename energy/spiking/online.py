"""Online learning: a simulation with running traces, whose steps each go up, down and add a product.

    state, s, x of every layer at step t;   e ← λ e + x, the eligibility of a presynaptic trace;
    δ[t] = D(v[t], c[t]), c from the δ above of the same step, or of the step before if errors take time;
    ΔW ← ΔW + δ[t] e[t]ᵀ

The V of a recurrent layer reads x[t−1], with the eligibility that the layer had then. No error goes back in time: along
the membrane it does so only through the eligibility, and through V to the layer's own past not at all.

An input that is constant in time has the eligibility x · Σ_{i ≤ t} λ^i, so its product is computed once, at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.couplings import Affine, Gradients
from energy.feedback import Transport
from energy.ledger import Ledger
from energy.network import Edge, Network, to_channels_last
from energy.spiking.activity import TIE
from energy.spiking.cost import synaptic
from energy.spiking.errors import LocalError
from energy.spiking.lateral import Lateral, lateral, lateral_product
from energy.spiking.neuron import Neuron, Transition
from energy.spiking.pull_back import pull_back
from energy.spiking.surrogates import Surrogate


class OnlineResult(NamedTuple):
    """The result of one batch.

    Attributes:
        products: sums over all steps, one tensor per parameter in the order of `network.parameters()`.
        logits: (B, …).
        error: of each sample, (B,).
    """

    products: list[Tensor]
    logits: Tensor
    error: Tensor


class Batch(NamedTuple):
    """One batch: `sequence` is (T, B, …), or (1, B, …) for a constant input; `feedback_weights` carries errors down."""

    network: Network
    sequence: Tensor
    target: Tensor
    feedback_weights: Transport
    ledger: Ledger

    def constant(self, edge: Edge) -> bool:
        """Return True if an edge has the same presynaptic activity at every step."""
        return edge.source == 0 and len(self.sequence) == 1


@dataclass
class LayerMemory:
    """Running traces of a layer; for the input only the first two are used."""

    trace: Tensor
    eligibility: Tensor
    spikes: Tensor  # 0 and 1
    echo: Tensor  # the eligibility of the step before, that of recurrent synapses
    step: Transition | None = None
    recurrent: Lateral | None = None


@dataclass
class WorkingMemory:
    """The working memory of one batch."""

    layers: list[LayerMemory]  # the input first
    delta: list[Tensor | None]
    linear: list[Any]  # couplings, linearized at the step
    products: list[list[Tensor]]
    logits: Tensor
    error: Tensor
    said: dict[int, Tensor] = field(default_factory=dict)  # drives by a constant input, by edge
    accumulated_error: dict[int, Tensor] = field(default_factory=dict)  # Σ_t of δ and the eligibility of a constant

    @classmethod
    def start(cls, batch: Batch) -> WorkingMemory:
        """Return a memory with everything at rest."""
        network, sequence = batch.network, batch.sequence
        samples = sequence.shape[1]
        nothing, depth = sequence.new_empty(0), len(network.layers)
        layers = [LayerMemory(nothing, nothing, nothing, nothing) for _ in range(depth + 1)]
        for k in range(1, depth + 1):
            layers[k].recurrent = lateral(network, k)
        return cls(
            layers=layers,
            delta=[None] * depth,
            linear=[None] * len(network.edges),
            products=[[torch.zeros_like(p) for p in edge.coupling.parameters()] for edge in network.edges],
            logits=sequence.new_zeros((samples, *network.output.shape)),
            error=sequence.new_zeros(samples),
        )


@dataclass(frozen=True, kw_only=True)
class OnlineSimulation:
    """A simulation through T steps that learns while it runs.

    Args:
        steps: T.
        neuron, surrogate, beta: the unit, and the dyad at its spike.
        error: the distance of the output's spike trains.
        eligible: whether products are with eligibility traces, or with the present traces.
        delayed: whether an error takes one step to go down one layer.
    """

    steps: int
    neuron: Neuron
    surrogate: Surrogate
    beta: float
    error: LocalError
    eligible: bool
    delayed: bool

    def run(self, batch: Batch) -> OnlineResult:
        """Simulate all steps of a batch and learn from them.

        Raises:
            ConfigurationError: for a coupling that is not affine, since its derivative at past activity is not kept.
        """
        _require_affine(batch.network)
        memory, input_eligibility = WorkingMemory.start(batch), 1.0
        for t in range(self.steps):
            self._up(batch, memory, t)
            self._down(batch, memory, t)
            self._learn(batch, memory, t, input_eligibility)
            input_eligibility = 1 + self.neuron.leak * input_eligibility if self.eligible else 1.0
        for index, error in memory.accumulated_error.items():
            edge = batch.network.edges[index]
            _add(edge, memory, _hebbian(edge, batch, memory, memory.layers[0].trace, error), 1.0)
        return OnlineResult([p for products in memory.products for p in products], memory.logits, memory.error)

    def _up(self, batch: Batch, memory: WorkingMemory, t: int) -> None:
        """States, traces and eligibilities of step t."""
        if t == 0 or len(batch.sequence) > 1:
            self._remember(batch, memory, 0, to_channels_last(batch.sequence[t]), t)
        for layer in range(1, len(memory.layers)):
            said = [_drive(edge, batch, memory) for edge in batch.network.into(layer)]
            self._advance(batch, memory, layer, sum(said[1:], said[0]), t)
        top = memory.layers[-1]
        assert top.step is not None
        memory.logits += top.spikes + TIE * self.neuron.membrane(top.step.after)

    def _advance(self, batch: Batch, memory: WorkingMemory, layer: int, current: Tensor, t: int) -> None:
        """One step of a layer's units."""
        held = memory.layers[layer]
        if held.step is None:
            before, held.spikes = self.neuron.initial(current.shape, current), torch.zeros_like(current)
            held.trace = held.spikes
        else:
            before = held.step.after
        if held.recurrent is not None and t:
            batch.ledger.apply("free", held.recurrent.multiply_adds, len(current))
            current = current + held.recurrent.drive(held.trace)
        after = self.neuron.step(before, held.spikes, current)
        held.step = Transition(before, held.spikes, current, after)
        fired = self.neuron.spikes(after)
        held.spikes = fired.to(current.dtype)
        self._remember(batch, memory, layer, self.neuron.trace(held.trace, held.spikes), t)
        batch.ledger.count_spikes(batch.network.layers[layer - 1].name, *synaptic(batch.network, layer, fired))

    def _remember(self, batch: Batch, memory: WorkingMemory, layer: int, trace: Tensor, t: int) -> None:
        """Store the new trace of a layer and the eligibility of its synapses."""
        held = memory.layers[layer]
        held.trace, held.echo = trace, held.eligibility
        if batch.network.out_of(layer) or held.recurrent is not None:
            held.eligibility = self.neuron.leak * held.eligibility + trace if self.eligible and t else trace

    def _down(self, batch: Batch, memory: WorkingMemory, t: int) -> None:
        """δ of step t, from the output down; of the step before if errors take time."""
        network, decay = batch.network, self.neuron.decay
        top = memory.layers[-1].trace
        above = list(memory.delta) if self.delayed else memory.delta
        memory.error += self.error.cost(top, batch.target, t, self.steps, decay)
        for layer in range(len(network.layers), 0, -1):
            last = layer == len(network.layers)
            apical = [-self.error.at(top, batch.target, t, self.steps, decay)] if last else []
            for edge in network.out_of(layer):
                said = pull_back(edge, batch.feedback_weights, above, memory.linear[edge.index], batch.ledger)
                apical += [] if said is None else [said]
            memory.delta[layer - 1] = self._error(memory.layers[layer], apical)

    def _error(self, layer: LayerMemory, apical: Sequence[Tensor]) -> Tensor | None:
        """δ of a layer; None before any error has reached it."""
        if not apical:
            return None
        assert layer.step is not None
        heard = sum(apical[1:], apical[0])
        return self.neuron.instantaneous_error(layer.step, heard, self.surrogate, self.beta)

    def _learn(self, batch: Batch, memory: WorkingMemory, t: int, input_eligibility: float) -> None:
        """The products of a step; `input_eligibility` is Σ λ^i so far, the eligibility of a constant input."""
        for edge in batch.network.edges:
            delta = memory.delta[edge.target - 1]
            if delta is None:
                continue
            if batch.constant(edge):
                held = memory.accumulated_error.get(edge.index)
                memory.accumulated_error[edge.index] = (
                    delta * input_eligibility if held is None else held.add(delta, alpha=input_eligibility)
                )
            else:
                pre = memory.layers[edge.source].eligibility
                _add(edge, memory, _hebbian(edge, batch, memory, pre, delta), input_eligibility)
            if t and (recurrent := lateral_product(edge, memory.layers[edge.target].echo, delta)) is not None:
                batch.ledger.apply("products", recurrent.numel(), len(delta))
                memory.products[edge.index][-1].add_(recurrent)


def _require_affine(network: Network) -> None:
    for edge in network.edges:
        if not isinstance(edge.coupling, Affine):
            raise ConfigurationError(
                f"couplings.{edge.index}: is a {type(edge.coupling).__name__}; credit that keeps running traces "
                "needs affine couplings; or take credit=adjoint"
            )


def _drive(edge: Edge, batch: Batch, memory: WorkingMemory) -> Tensor:
    """The drive of an edge; for a constant input, that of the first step."""
    if edge.index in memory.said:
        return memory.said[edge.index]
    pre = memory.layers[edge.source].trace
    batch.ledger.apply("free", edge.multiply_adds, len(pre))
    said, memory.linear[edge.index] = edge.coupling.linearize(pre)
    if batch.constant(edge):
        memory.said[edge.index] = said
    return said


def _hebbian(edge: Edge, batch: Batch, memory: WorkingMemory, pre: Tensor, delta: Tensor) -> Gradients:
    batch.ledger.apply("products", edge.multiply_adds, len(delta))
    return memory.linear[edge.index].weight_gradient(pre, delta)


def _add(edge: Edge, memory: WorkingMemory, products: Gradients, bias: float) -> None:
    """Accumulate products; that of a bias, whose presynaptic value is 1 at every step, with the eligibility of 1."""
    for (name, _), kept, product in zip(
        edge.coupling.named_parameters(), memory.products[edge.index], products, strict=True
    ):
        kept.add_(product, alpha=bias if name == "bias" else 1.0)
