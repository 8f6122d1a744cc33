"""The interface of a named network: a component that builds a `Network` for a data set."""

from __future__ import annotations

from typing import ClassVar

from energy.component import Component
from energy.network import Network


class Model(Component):
    """A recipe for a network; its fields are the architecture and the initialization."""

    group: ClassVar[str] = "model"

    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        """Build a network.

        Each parameter draws from a stream of its own, keyed by (seed, its name), so that a further layer leaves the
        others as they were.

        Args:
            shape: of an input, without the batch axis.
            classes: the number of outputs.
            seed: of the initial weights.

        Raises:
            ValueError: if the architecture does not fit the shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must define build(shape, classes, seed=...)")
