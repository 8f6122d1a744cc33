"""Nearest neighbors among features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.component import ConfigurationError, require
from energy.readout.decoder import numbered
from energy.readout.features import Features
from energy.readout.readout import Readout, Report


class Nearest(Readout, name="nearest"):
    """A vote of the `neighbors` training features at the smallest angle, each weighted by its cosine.

    It keeps features and no weights, so a run cannot end with it: `energy evaluate RUN readout=nearest`.
    """

    neighbors: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.neighbors >= 1, self, "neighbors", "at least 1")

    def fit(self, train: Features, validation: Features | None, classes: int, seed: int, report: Report) -> Any:
        """Store the directions of the training features.

        Args:
            train: the features among which neighbors are found.
            validation: not used.
            classes: number of classes.
            seed: not used.
            report: not used.

        Returns:
            A decoder: features (N, D) → summed votes (N, classes).

        Raises:
            ConfigurationError: for fewer features than neighbors.
        """
        if self.neighbors > len(train):
            raise ConfigurationError(f"nearest.neighbors={self.neighbors}: there are {len(train)} features")
        train = numbered(train, classes)
        directions = F.normalize(train.values.float(), dim=1).to(train.values.dtype)

        @torch.no_grad()
        def decode(values: Tensor) -> Tensor:
            near = F.normalize(values.float(), dim=1).to(directions.dtype) @ directions.T
            cosines, rows = near.float().topk(self.neighbors, 1)
            votes = torch.zeros(len(values), classes, dtype=cosines.dtype, device=values.device)
            return votes.scatter_add_(1, train.labels[rows], cosines)

        return decode
