"""The parts of a network: its layers, and the edges between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from energy.couplings import Coupling, Shape
from energy.potentials import Potential

Gain = float | Tensor  # a factor of messages; a tensor () where the host would wait for its value


@dataclass(frozen=True)
class Layer:
    """A free layer.

    Attributes:
        shape: of its activity, without the batch axis.
        potential: gives its response.
        name: for errors and records.
        depth: the longest path to it from the input.
    """

    shape: Shape
    potential: Potential
    name: str
    depth: int


@dataclass(frozen=True)
class Edge:
    """A coupling from layer `source` up to layer `target` (0 is the input, k the k-th free layer).

    Attributes:
        index: its position among the edges.
        source, target: the layers.
        coupling: the map between them.
        feedback: false for a read-out, down which errors pass but no activity.
        multiply_adds: of one application per sample.
        span: the difference of the layers' depths.
        size: the number of parameters.
    """

    index: int
    source: int
    target: int
    coupling: Coupling
    feedback: bool
    multiply_adds: int
    span: int
    size: int

    def gain(self, gamma: float) -> float:
        """Return γ^span, the weight of the message down the edge; 0 for a read-out and for edges from the input."""
        return gamma**self.span if self.feedback and self.source else 0.0

    def gain_on_device(self, gamma: Gain) -> Gain | None:
        """Return `gain` of a γ whose value the host may not know; None where nothing is sent down."""
        if isinstance(gamma, Tensor):
            return gamma**self.span if self.feedback and self.source else None
        return self.gain(gamma) or None


class HasEdges(Protocol):
    """A graph of layers, its edges in the order of their targets."""

    @property
    def edges(self) -> Sequence[Edge]: ...


def learns(coupling: Coupling) -> bool:
    """Return True if a parameter of the coupling learns."""
    return any(parameter.requires_grad for parameter in coupling.parameters())


def layers_that_learn(network: HasEdges) -> set[int]:
    """Return the layers whose state depends on a parameter that learns: of a coupling into them, or further below."""
    reached = set[int]()
    for edge in network.edges:
        if edge.source in reached or learns(edge.coupling):
            reached.add(edge.target)
    return reached


def scaled(tensor: Tensor, gain: Gain) -> Tensor:
    """Return gain times a message: the message itself where the gain is known to be 1."""
    return tensor if not isinstance(gain, Tensor) and gain == 1 else tensor * gain


def total(tensors: Sequence[Tensor]) -> Tensor:
    """Return the sum, added from left to right."""
    found = tensors[0]
    for tensor in tensors[1:]:
        found = found + tensor
    return found


def to_channels_last(x: Tensor) -> Tensor:
    """Return images with the channel as the fastest axis, as convolution kernels prefer; shape and numbers stay."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
