"""Layers as populations of neurons: what a rule without feedback sees of the couplings that enter them.

Where several couplings enter a layer, a neuron's weights are those of all of them side by side, w_k = (w_k¹, w_k², …),
and what it sees is x = (x¹, x², …): the layer learns as one coupling from all of it would. Its biases are one bias b =
Σ bᵉ, whose change the first of them takes. A coupling without weights of neurons (`Skip`) adds a current to u, as a
bias does, and no weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.couplings import Affine, Block, Coupling, Linearization, UnitInputs
from energy.network import Edge


class Joined:
    """Filters of several edges as those of one: weight (K, all that a neuron sees) and bias (K,)."""

    def __init__(self, edges: Sequence[Edge], parts: Sequence[Affine]) -> None:
        self.edges, self.parts = edges, parts
        self.groups = groups(parts[0])
        self.weight = torch.cat([part.weight.detach().flatten(1) for part in parts], 1)
        biases = [part.bias.detach() for part in parts if part.bias is not None]
        self.bias = sum(biases[1:], biases[0]) if biases else None

    def filter(self, seen: Sequence[Tensor], weight: Tensor) -> Tensor:
        """weight·seen."""
        said = [part.filter(*given) for part, *given in zip(self.parts, seen, self.split(weight), strict=True)]
        return sum(said[1:], said[0])

    def product(self, seen: Sequence[Tensor], post: Tensor) -> Tensor:
        """Σ post·seenᵀ, (K, all that a neuron sees)."""
        return torch.cat([part.product(one, post).flatten(1) for part, one in zip(self.parts, seen, strict=True)], 1)

    def split(self, rows: Tensor) -> list[Tensor]:
        """(K, all that a neuron sees) as tensors of the weights' shapes."""
        sizes = [part.weight[0].numel() for part in self.parts]
        pieces = zip(rows.split(sizes, 1), self.parts, strict=True)
        return [piece.reshape(part.weight.shape) for piece, part in pieces]

    def shares(self, rows: Tensor, bias: Tensor | None) -> Iterator[tuple[Edge, tuple[Tensor, Tensor | None]]]:
        """What is each edge's own of a change of weights and bias."""
        for edge, part, piece in zip(self.edges, self.parts, self.split(rows), strict=True):
            if part.bias is None or bias is None:
                yield edge, (piece, None)
            else:
                yield edge, (piece, bias)
                bias = torch.zeros_like(bias)


def population(
    edges: Sequence[Edge], states: Sequence[Tensor], drive: Tensor, linear: Sequence[Linearization | None], title: str
) -> UnitInputs:
    """What the neurons see, weigh and compete with that `edges` lead to; `drive` is what all of them say together.

    Raises ConfigurationError where that is no population of neurons: couplings without weights of neurons only, or
    several of which one rectifies by itself or sorts the neurons into groups of its own.
    """
    weighed = [edge for edge in edges if type(edge.coupling).unit_inputs is not Coupling.unit_inputs]
    found = [edge.coupling.unit_inputs(states[edge.source], drive, linear[edge.index]) for edge in weighed or edges]
    if len(edges) == 1:
        return found[0]
    if not all(one.linear for one in found):
        raise ConfigurationError(f"{title}: hears a rectified Block beside other couplings, and drives cannot be added")
    if len({groups(one.filters) for one in found}) > 1:
        raise ConfigurationError(f"{title}: the couplings into it sort its neurons into different groups")
    for edge, one in zip(weighed, found, strict=True):
        if isinstance(edge.coupling, Block) and edge.coupling.centered:  # neurons compete before they are centred
            drive = drive + one.drive.mean(1, keepdim=True)
    joined = Joined(weighed, [cast(Affine, one.filters) for one in found])
    seen = tuple(one.presynaptic for one in found)
    return UnitInputs(cast(Any, joined), cast(Any, seen), drive, linear=len(weighed) == len(edges))


def groups(filters: Any) -> int:
    """Into how many sets of neurons that see different inputs a population falls; each competes by itself."""
    return getattr(filters, "groups", 1)
