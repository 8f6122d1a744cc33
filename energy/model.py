"""What a named network is: a component that builds a `Network` for a data set."""

from __future__ import annotations

from typing import ClassVar

from energy.component import Component
from energy.network import Network


class Model(Component):
    """A recipe for a network; its fields are the architecture and the initialisation."""

    group: ClassVar[str] = "model"

    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        """A network that reads inputs of `shape` and has `classes` outputs. Each parameter draws from a stream of its
        own, keyed by (seed, its name), so that a further layer leaves the others as they were.

        Raises ValueError where the architecture does not fit the shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must define build(shape, classes, seed=...)")
