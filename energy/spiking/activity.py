"""A network whose layers are spiking units, run for T steps: the forward half of everything here.

Time is folded into the batch for all couplings, (T·B, …), step by step, so that a coupling is applied once a layer;
only the units' own recursion goes through time (`energy.spiking.neurons`). An input that is constant in time is heard
once.

The potentials of the network's layers, which describe its rate-based reading, take no part. A bias is a current that
flows at every step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from energy.ledger import Ledger
from energy.network import Network, laid_out
from energy.spiking.cost import synaptic
from energy.spiking.errors import Train
from energy.spiking.neurons import LIF

TIE: Final = 1e-3  # the weight of the membrane beside the spike count: it decides between equal counts


@dataclass
class Activity:
    """What every layer did, folded: `membranes` and `traces` are (T·B, …), one a layer; `points` are the linearisation
    points of the couplings, edge by edge; `inputs` is (B, …) where the input is constant, otherwise (T·B, …).
    """

    neuron: LIF
    steps: int
    samples: int
    inputs: Tensor
    points: list[Any]
    membranes: list[Tensor] = field(default_factory=list)
    traces: list[Tensor] = field(default_factory=list)

    def source(self, layer: int) -> Tensor:
        """What the couplings out of a layer hear; layer 0 is the input."""
        return self.traces[layer - 1] if layer else self.inputs

    def unfold(self, tensor: Tensor) -> Tensor:
        """(T·B, …) → (T, B, …)."""
        return tensor.unflatten(0, (self.steps, self.samples))

    def spikes(self, layer: int) -> Tensor:
        """(T·B, …), booleans."""
        return self.neuron.fires(self.membranes[layer - 1])

    @property
    def train(self) -> Train:
        """The output layer over time."""
        spikes = self.spikes(len(self.membranes)).to(self.traces[-1].dtype)
        return Train(self.unfold(spikes), self.unfold(self.traces[-1]), self.neuron.decay)

    @property
    def score(self) -> Tensor:
        """Spike count of each output unit, and 1e-3 of its membrane's sum: (B, …)."""
        membrane = self.unfold(self.membranes[-1]).sum(0)
        return self.unfold(self.spikes(len(self.membranes))).sum(0).to(membrane.dtype).add(membrane, alpha=TIE)


def simulate(
    network: Network, sequence: Tensor, steps: int, neuron: LIF, ledger: Ledger, *, keep: bool = True
) -> Activity:
    """Run `network` from rest on a `sequence` of (T, B, *input shape), or (1, B, …) for a constant input.

    keep: whether all layers are kept; otherwise each is let go of when those above it have heard it."""
    points: list[Any] = [None] * len(network.edges)
    activity = Activity(neuron, steps, sequence.shape[1], laid_out(sequence.flatten(0, 1)), points)
    for layer in range(1, len(network.layers) + 1):
        currents = []
        for edge in network.into(layer):
            pre = activity.source(edge.source)
            said, points[edge.index] = edge.coupling.linearize(pre)
            ledger.apply("free", edge.multiply_adds, len(pre))
            currents.append(said)
        last = channels_last(currents[0])
        rows = [columns(said, len(said) // activity.samples, last) for said in currents]
        membrane, trace = neuron.run(sum(rows[1:], rows[0]), steps)
        shape = (steps * activity.samples, *network.shape(layer))
        activity.membranes.append(folded(membrane, shape, last))
        activity.traces.append(folded(trace, shape, last))
        ledger.fire(network.layers[layer - 1].name, *synaptic(network, layer, activity.spikes(layer)))
        if not keep:
            _let_go(network, activity, layer)
    return activity


def channels_last(tensor: Tensor) -> bool:
    """Whether images lie channel by channel in memory."""
    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)


def columns(tensor: Tensor, rows: int, last: bool) -> Tensor:
    """(rows·B, …) as (rows, M); of images with the channel as the fastest axis if `last`."""
    return (tensor.permute(0, 2, 3, 1) if last else tensor).reshape(rows, -1)


def folded(flat: Tensor, shape: tuple[int, ...], last: bool) -> Tensor:
    """The tensor of `shape` that `columns` made flat."""
    if not last:
        return flat.view(shape)
    count, channels, height, width = shape
    return flat.view(count, height, width, channels).permute(0, 3, 1, 2)


def _let_go(network: Network, activity: Activity, layer: int) -> None:
    """Drop the layers that nobody above `layer` hears, and every point."""
    nothing = activity.inputs.new_empty(0)
    for below in range(1, layer + 1):
        if below < len(network.layers) and all(edge.target <= layer for edge in network.out_of(below)):
            activity.membranes[below - 1] = activity.traces[below - 1] = nothing
    activity.points[:] = [None] * len(network.edges)
