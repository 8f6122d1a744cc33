"""A layer as a population of neurons, as rules without feedback read it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from torch import Tensor


class Filters(Protocol):
    """Weights of neurons, one row per neuron: an `Affine` coupling, or those of several edges side by side."""

    @property
    def weight(self) -> Tensor: ...

    @property
    def bias(self) -> Tensor | None: ...

    def filter(self, seen: Tensor, weight: Tensor) -> Tensor: ...

    def product(self, seen: Tensor, post: Tensor) -> Tensor: ...


class UnitInputs(NamedTuple):
    """A layer as a population of neurons: u = W·presynaptic + b, one row of the `filters`' weight per neuron.

    Attributes:
        filters: the weights.
        presynaptic: their input, (B, …).
        drive: the pre-activations that the neurons compete with, (B, K, …).
        linear: true if `drive` is u, up to a term that is common to all neurons of a place.
        memory: the buffers that a rule keeps of the layer, by name.
    """

    filters: Filters
    presynaptic: Tensor
    drive: Tensor
    linear: bool = True
    memory: Mapping[str, Tensor] = MappingProxyType({})
