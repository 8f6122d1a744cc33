"""Layers as populations of neurons, by all the couplings that enter them.

With several couplings into a layer, a neuron's weights are those of all of them side by side, w_k = (w_k¹, w_k², …),
and its input is x = (x¹, x², …): the layer learns as by one coupling from all of x. Its biases are one bias b = Σ bᵉ,
whose change the first of them takes. A coupling without weights of neurons (`Skip`) adds a current to u, as a bias
does, and no weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.couplings import Affine, Block, Coupling, Linearization, UnitInputs
from energy.network import Edge


class Joined:
    """The filters of several edges as those of one.

    Args:
        edges: into one layer.
        parts: the filters of each, whose weights have K rows.

    Attributes:
        weight: the weights side by side, (K, inputs of a neuron).
        bias: the sum of the biases, (K,), or None.
    """

    def __init__(self, edges: Sequence[Edge], parts: Sequence[Affine]) -> None:
        self.edges, self.parts = edges, parts
        self.groups = groups(parts[0])
        self.weight = torch.cat([part.weight.detach().flatten(1) for part in parts], 1)
        biases = [part.bias.detach() for part in parts if part.bias is not None]
        self.bias = sum(biases[1:], biases[0]) if biases else None

    def filter(self, seen: Sequence[Tensor], weight: Tensor) -> Tensor:
        """Return weight·seen."""
        drives = [part.filter(*given) for part, *given in zip(self.parts, seen, self.split(weight), strict=True)]
        return sum(drives[1:], drives[0])

    def product(self, seen: Sequence[Tensor], post: Tensor) -> Tensor:
        """Return Σ post·seenᵀ, (K, inputs of a neuron)."""
        return torch.cat([part.product(one, post).flatten(1) for part, one in zip(self.parts, seen, strict=True)], 1)

    def split(self, rows: Tensor) -> list[Tensor]:
        """Return rows (K, inputs of a neuron) as tensors of the weights' shapes."""
        sizes = [part.weight[0].numel() for part in self.parts]
        pieces = zip(rows.split(sizes, 1), self.parts, strict=True)
        return [piece.reshape(part.weight.shape) for piece, part in pieces]

    def shares(self, rows: Tensor, bias: Tensor | None) -> Iterator[tuple[Edge, tuple[Tensor, Tensor | None]]]:
        """Yield each edge with its part of a change of weights (K, inputs of a neuron) and bias (K,)."""
        for edge, part, piece in zip(self.edges, self.parts, self.split(rows), strict=True):
            if part.bias is None or bias is None:
                yield edge, (piece, None)
            else:
                yield edge, (piece, bias)
                bias = torch.zeros_like(bias)


def population(
    edges: Sequence[Edge], states: Sequence[Tensor], drive: Tensor, linear: Sequence[Linearization | None], title: str
) -> UnitInputs:
    """Return the neurons of a layer with their inputs and weights.

    Args:
        edges: into the layer.
        states: the input and the activity of every layer, each (B, *shape).
        drive: the sum of the drives along the edges, (B, K, …).
        linear: the linearization of every edge of the network.
        title: the name of the layer, for error messages.

    Raises:
        ConfigurationError: if the layer is no population of neurons: no coupling into it has weights of neurons, or
            one of several rectifies its drive, or they sort the neurons into different groups.
    """
    weighed = [edge for edge in edges if type(edge.coupling).unit_inputs is not Coupling.unit_inputs]
    found = [edge.coupling.unit_inputs(states[edge.source], drive, linear[edge.index]) for edge in weighed or edges]
    if len(edges) == 1:
        return found[0]
    if not all(one.linear for one in found):
        raise ConfigurationError(
            f"{title}: receives from a rectified Block beside other couplings, and drives cannot be added"
        )
    if len({groups(one.filters) for one in found}) > 1:
        raise ConfigurationError(f"{title}: the couplings into it sort its neurons into different groups")
    for edge, one in zip(weighed, found, strict=True):
        if isinstance(edge.coupling, Block) and edge.coupling.centered:  # neurons compete before centering
            drive = drive + one.drive.mean(1, keepdim=True)
    joined = Joined(weighed, [cast(Affine, one.filters) for one in found])
    seen = tuple(one.presynaptic for one in found)
    return UnitInputs(cast(Any, joined), cast(Any, seen), drive, linear=len(weighed) == len(edges))


def groups(filters: Any) -> int:
    """Return the number of groups of neurons with different inputs; each group competes by itself."""
    return getattr(filters, "groups", 1)
