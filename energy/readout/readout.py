"""How the output layer comes by its weights when the layers below learn without labels.

A read-out is fitted to features that were computed once: with no augmentation, the layers below at rest and dropout on
the features themselves this equals training it on top of the frozen network, at a small fraction of the price."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from energy.component import Component, ConfigurationError, require
from energy.readout.features import Features

Report = Callable[[dict[str, Any]], None]


class Readout(Component):
    """How the output layer learns."""

    group: ClassVar[str] = "readout"
    fitted: ClassVar[bool] = True  # whether it is fitted to features after the layers below have learnt
    every: int = 0  # epochs between two fits of a fresh one, scored on the validation split, while the layers learn

    def __post_init__(self) -> None:
        require(self.every >= 0, self, "every", "at least 0")

    @abstractmethod
    def fit(self, train: Features, validation: Features | None, classes: int, seed: int, report: Report) -> Any:
        """A decoder: features (N, D) → scores (N, classes). `report` takes one line of facts an epoch."""


class Joint(Readout, name="joint"):
    """The output layer learns with the others, by the rule of the run."""

    fitted: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.every == 0, self, "every", "0: there is nothing to fit")

    def fit(self, train: Features, validation: Features | None, classes: int, seed: int, report: Report) -> Any:
        raise ConfigurationError("readout=joint: is not fitted to features; choose linear, power, ridge or nearest")


def kept(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The line of the epoch whose weights a fit gave back."""
    return next(line for line in reversed(lines) if line.get("kept", True))
