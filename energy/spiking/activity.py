"""The activity of a network of spiking units over T steps: the forward half of every spiking method.

Time is folded into the batch, (T·B, …), step by step, so that every coupling is applied once per layer; only the
recursion of the units runs through time (`energy.spiking.neuron`). A coupling that reads an input constant in time is
applied to it once.

The potentials of the network's layers, which define its rate-based reading, take no part. A bias is a current that
flows at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network, to_channels_last
from energy.spiking.cost import synaptic
from energy.spiking.errors import SpikeTrain
from energy.spiking.lateral import Lateral, lateral
from energy.spiking.neuron import History, Neuron, NeuronState
from energy.spiking.surrogates import Surrogate
from energy.spiking.time_major import TimeMajor, total_rows

TIE: Final = 1e-3  # the weight of the membrane beside the spike count: it decides between equal counts


@dataclass
class Activity:
    """The activity of every layer, folded, (T·B, …), one entry per layer.

    Args:
        neuron: the unit of every layer.
        steps, samples: T and B.
        inputs: (B, …) if the input is constant in time, otherwise (T·B, …).
        linear: the linearized couplings, one per edge.
        states: states of the neuron, each a NamedTuple of tensors.
        traces: x.
        currents: I, None unless the neuron's backward pass needs them.
        counts: the number of spikes of each unit, (B, …), in float32 or wider.
    """

    neuron: Neuron
    steps: int
    samples: int
    inputs: Tensor
    linear: list[Any]
    states: list[NeuronState] = field(default_factory=list)
    traces: list[Tensor] = field(default_factory=list)
    currents: list[Tensor | None] = field(default_factory=list)
    counts: list[Tensor] = field(default_factory=list)

    def source(self, layer: int) -> Tensor:
        """Return the presynaptic activity of the edges out of a layer; layer 0 is the input."""
        return self.traces[layer - 1] if layer else self.inputs

    def folded(self, tensor: Tensor) -> TimeMajor:
        """Wrap (T·B, …), or (B, …) for values that are the same at every step."""
        return TimeMajor(tensor, len(tensor) // self.samples)

    def unfold(self, tensor: Tensor) -> Tensor:
        """Reshape (T·B, …) to (T, B, …)."""
        return tensor.unflatten(0, (self.steps, self.samples))

    def spikes(self, layer: int) -> Tensor:
        """Return s of a layer, (T·B, …), booleans."""
        return self.neuron.spikes(self.states[layer - 1])

    def membrane(self, layer: int) -> Tensor:
        """Return u of a layer, (T·B, …)."""
        return self.neuron.membrane(self.states[layer - 1])

    @property
    def train(self) -> SpikeTrain:
        """The output layer over time."""
        spikes = self.spikes(len(self.states)).to(self.traces[-1].dtype)
        return SpikeTrain(self.unfold(spikes), self.unfold(self.traces[-1]), self.neuron.decay)

    @property
    def logits(self) -> Tensor:
        """The logits (B, …): spike counts of the output units, and 1e-3 of their summed membranes to break ties."""
        membrane = self.unfold(self.membrane(len(self.states))).sum(0)
        return self.counts[-1].to(membrane.dtype).add(membrane, alpha=TIE)

    def run(self, currents: Sequence[Tensor], recurrent: Lateral | None) -> None:
        """Run the next layer on the sum of its currents.

        Args:
            currents: each (T·B, …) or (B, …).
            recurrent: the layer's recurrent synapses, None if it has none.
        """
        parts = [self.folded(current) for current in currents]
        rows = total_rows(parts, parts[0])
        history, counts = self.neuron.trial(rows, self.steps, recurrent)
        self.states.append(history.states._make(map(parts[0].like, history.states)))
        self.traces.append(parts[0].like(history.traces))
        self.currents.append(None if history.currents is None else parts[0].like(history.currents))
        self.counts.append(parts[0].like(counts.unsqueeze(0)))

    def errors(
        self, layer: int, apical: Sequence[Tensor], surrogate: Surrogate, beta: float, recurrent: Lateral | None
    ) -> Tensor:
        """Return δ of a layer, (T·B, …).

        Args:
            layer: its index, from 1.
            apical: the currents c = −∂C/∂x, each (T·B, …); none for zero.
            surrogate, beta: the dyad at the spike.
            recurrent: the layer's recurrent synapses, None if it has none.
        """
        layout, current = self.folded(self.membrane(layer)), self.currents[layer - 1]
        states = self.states[layer - 1]
        history = History(
            states._make(self.folded(one).rows(layout) for one in states),
            self.folded(self.traces[layer - 1]).rows(layout),
            None if current is None else self.folded(current).rows(layout),
        )
        apical = apical or [torch.zeros_like(layout.tensor)]
        heard = total_rows([self.folded(one) for one in apical], layout)
        return layout.like(self.neuron.errors(history, heard, surrogate, beta, recurrent))


def simulate(
    network: Network, sequence: Tensor, steps: int, neuron: Neuron, ledger: Ledger, *, keep: bool = True
) -> Activity:
    """Run `network` from rest.

    Args:
        network: the layers and couplings; the potentials are not used.
        sequence: (T, B, *input shape), or (1, B, *input shape) for a constant input.
        steps: T.
        neuron: the unit of every layer.
        ledger: counts the applications of couplings (phase `free`) and the spikes.
        keep: keep all layers; otherwise each is dropped once the layers above have read it.

    Returns:
        The activity, which holds all layers only if `keep`.
    """
    linear: list[Any] = [None] * len(network.edges)
    activity = Activity(neuron, steps, sequence.shape[1], to_channels_last(sequence.flatten(0, 1)), linear)
    for layer in range(1, len(network.layers) + 1):
        currents = []
        for edge in network.into(layer):
            pre = activity.source(edge.source)
            said, linear[edge.index] = edge.coupling.linearize(pre)
            ledger.apply("free", edge.multiply_adds, len(pre))
            currents.append(said)
        recurrent = lateral(network, layer)
        if recurrent is not None:
            ledger.apply("free", recurrent.multiply_adds, activity.samples * (steps - 1))
        activity.run(currents, recurrent)
        ledger.count_spikes(network.layers[layer - 1].name, *synaptic(network, layer, activity.counts[-1]))
        if not keep:
            _let_go(network, activity, layer)
    return activity


def _let_go(network: Network, activity: Activity, layer: int) -> None:
    """Drop the layers that no layer above `layer` reads, and every linearization."""
    nothing = activity.inputs.new_empty(0)
    for below in range(1, layer + 1):
        if below < len(network.layers) and all(edge.target <= layer for edge in network.out_of(below)):
            activity.states[below - 1] = ()
            activity.traces[below - 1] = nothing
            activity.currents[below - 1] = None
    activity.linear[:] = [None] * len(network.edges)
