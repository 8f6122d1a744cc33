"""The learning of the output layer when the layers below learn without labels.

A readout is fitted to features that were computed once: with no augmentation, the layers below settled freely and
dropout on the features themselves this equals training it on top of the frozen network, at a small fraction of the
cost.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from energy.component import Component, ConfigurationError, require
from energy.readout.features import Features

Report = Callable[[dict[str, Any]], None]


class Readout(Component):
    """The way that the output layer learns.

    Attributes:
        every: epochs between two fits of a fresh readout, scored on the validation split, while the layers learn; 0 for
            none.
    """

    group: ClassVar[str] = "readout"
    fitted: ClassVar[bool] = True  # whether it is fitted to features after the layers below have learned
    every: int = 0  # epochs between two fits of a fresh one, scored on the validation split, while the layers learn

    def __post_init__(self) -> None:
        require(self.every >= 0, self, "every", "at least 0")

    @abstractmethod
    def fit(self, train: Features, validation: Features | None, classes: int, seed: int, report: Report) -> Any:
        """Fit a decoder to features.

        Args:
            train, validation: features of both splits; validation may be None.
            classes: number of classes.
            seed: of all that is random.
            report: is given one line of facts per epoch.

        Returns:
            A decoder: features (N, D) → scores (N, classes).
        """


class Joint(Readout, name="joint"):
    """The output layer learns with the others, by the rule of the run."""

    fitted: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.every == 0, self, "every", "0: there is nothing to fit")

    def fit(self, train: Features, validation: Features | None, classes: int, seed: int, report: Report) -> Any:
        raise ConfigurationError("readout=joint: is not fitted to features; choose linear, power, ridge or nearest")


def kept(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the line of the epoch whose weights a fit returned."""
    return next(line for line in reversed(lines) if line.get("kept", True))
