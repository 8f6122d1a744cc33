"""Scores of outputs against targets, one class for each kind of target; sums on the device that can be joined.

    classes   accuracy, percent of samples whose class is right
    reals     R² and mean squared error, in the units in which the targets are learned
    labels    accuracy over all labels, percent; and percent of samples all labels of which are right

The deviations of real targets are summed about their own running mean, so that R² stays right however large the mean
is. R² is the mean over the outputs of 1 − Σ(s − y)²/Σ(y − ȳ)², over outputs whose targets vary.

Reference:
    Chan, Golub and LeVeque 1983, The American Statistician 37(3), for joining sums of squares about means.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from energy.io.scores import ACCURACY, LABEL_ACCURACY, R2, Score
from energy.targets import TargetKind


class Scores(ABC):
    """Sums over the samples so far.

    Args:
        device: of the sums.
        outputs: numbers of a sample, such as the width of the output layer.
    """

    def __init__(self, device: torch.device, outputs: int) -> None:
        self.sums = self.zeros(device, outputs)

    @abstractmethod
    def zeros(self, device: torch.device, outputs: int) -> dict[str, Tensor]:
        """The sums of no sample, by name."""

    @abstractmethod
    def add(self, answer: Tensor, labels: Tensor) -> None:
        """Add a batch of answers, as `Objective.answer` gives them, and its labels."""

    def join(self, other: Mapping[str, Tensor]) -> None:
        """Add the sums of other samples."""
        for name, total in self.sums.items():
            total += other[name].to(total.device)

    @abstractmethod
    def read(self, count: int) -> dict[str, float | None]:
        """The scores of the `count` samples, by name, those that are not finite as None; reads the device."""


class ClassScores(Scores):
    """The number of samples whose class is right."""

    def zeros(self, device: torch.device, outputs: int) -> dict[str, Tensor]:
        return {"correct": torch.zeros((), dtype=torch.int64, device=device)}

    def add(self, answer: Tensor, labels: Tensor) -> None:
        self.sums["correct"] += (answer == labels).sum()

    def read(self, count: int) -> dict[str, float | None]:
        return {"accuracy": 100.0 * self.sums["correct"].item() / count}


class LabelScores(Scores):
    """The numbers of labels that are right, and of samples all labels of which are."""

    def zeros(self, device: torch.device, outputs: int) -> dict[str, Tensor]:
        zeros = {name: torch.zeros((), dtype=torch.int64, device=device) for name in ("right", "matched")}
        return zeros | {"labels": torch.zeros((), dtype=torch.int64, device=device)}

    def add(self, answer: Tensor, labels: Tensor) -> None:
        right = answer == (labels != 0)
        self.sums["right"] += right.sum()
        self.sums["matched"] += right.all(1).sum()
        self.sums["labels"] += right.numel()

    def read(self, count: int) -> dict[str, float | None]:
        sums = {name: int(total) for name, total in self.sums.items()}
        return {
            "label_accuracy": 100.0 * sums["right"] / sums["labels"],
            "exact_match": 100.0 * sums["matched"] / count,
        }


class RealScores(Scores):
    """Squared errors, and the squared deviations of the targets from their mean, by output."""

    def zeros(self, device: torch.device, outputs: int) -> dict[str, Tensor]:
        names = ("squared_errors", "target_mean", "target_squares")
        zeros = {name: torch.zeros(outputs, dtype=torch.float64, device=device) for name in names}
        return zeros | {"targets": torch.zeros((), dtype=torch.float64, device=device)}

    def add(self, answer: Tensor, labels: Tensor) -> None:
        y, mean = labels.double(), labels.double().mean(0)
        count = torch.full_like(self.sums["targets"], len(y))
        errors = (answer.double() - y).square().sum(0)
        squares = (y - mean).square().sum(0)
        self.join({"squared_errors": errors, "target_mean": mean, "target_squares": squares, "targets": count})

    def join(self, other: Mapping[str, Tensor]) -> None:
        sums = self.sums
        more = {name: total.to(sums["targets"].device) for name, total in other.items()}
        before, added = sums["targets"].clone(), more["targets"]
        both = (before + added).clamp(min=1)
        apart = more["target_mean"] - sums["target_mean"]
        sums["squared_errors"] += more["squared_errors"]
        sums["target_squares"] += more["target_squares"] + apart.square() * before * added / both
        sums["target_mean"] += apart * added / both
        sums["targets"] += added

    def read(self, count: int) -> dict[str, float | None]:
        sums = {name: total.cpu() for name, total in self.sums.items()}
        errors, squares = sums["squared_errors"], sums["target_squares"]
        varied = squares > 0
        r2 = (1 - errors[varied] / squares[varied]).mean().item() if bool(varied.any()) else math.nan
        found = {"r2": r2, "mean_squared_error": errors.mean().item() / count}
        return {name: value if math.isfinite(value) else None for name, value in found.items()}


def main_score_of(kind: TargetKind) -> Score:
    """Return the score that runs with targets of this kind are compared by."""
    return {TargetKind.CLASSES: ACCURACY, TargetKind.REAL: R2, TargetKind.LABELS: LABEL_ACCURACY}[kind]


KINDS: Final[dict[TargetKind, type[Scores]]] = {
    TargetKind.CLASSES: ClassScores,
    TargetKind.REAL: RealScores,
    TargetKind.LABELS: LabelScores,
}
