"""Data sets whose targets are real numbers."""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from energy.component import require
from energy.data.dataset import DataSet
from energy.targets import TargetKind


class Regression(DataSet):
    """Images, or rows of numbers as images of 1 x 1 pixel, with real targets (N, classes).

    A set of one's own declares what `DataSet` does; `classes` is the number of targets of an image. What is learned is
    y = (target - target_mean) / target_std, and errors are in units of y.

    Attributes:
        target_mean: of each target, or one for all.
        target_std: like `target_mean`.
    """

    targets: ClassVar[TargetKind] = TargetKind.REAL

    target_mean: list[float] = dataclasses.field(default_factory=lambda: [0.0])
    target_std: list[float] = dataclasses.field(default_factory=lambda: [1.0])

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = {1, self.classes}
        mean, std = self.target_mean, self.target_std
        finite = all(math.isfinite(value) for value in mean)
        require(len(mean) in counts and finite, self, "target_mean", "finite, one per target")
        positive = all(0 < value < math.inf for value in std)
        require(len(std) in counts and positive, self, "target_std", "positive, one per target")

    def learned(self, labels: Tensor) -> Tensor:
        mean, std = (torch.tensor(value, dtype=torch.float64) for value in (self.target_mean, self.target_std))
        return (labels.double() - mean) / std
