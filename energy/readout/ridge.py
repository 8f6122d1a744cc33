"""Ridge regression on features."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from energy.component import require
from energy.readout.decoder import Decoder, accuracies, accuracy, numbered, widened
from energy.readout.features import Features
from energy.readout.readout import Readout, Report


class Ridge(Readout, name="ridge"):
    """Ridge regression in closed form, W = Yᵀ X (XᵀX + λ n σ² I)⁻¹, on centered features with targets ±1.

    σ² is the mean square of the centered features. Of the D × D and the n × n system the smaller is solved.

    Attributes:
        strength: λ.
    """

    strength: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.strength < math.inf, self, "strength", "above 0")

    @torch.no_grad()
    def fit(self, train: Features, validation: Features | None, classes: int, seed: int, report: Report) -> Decoder:
        train, validation = numbered(train, classes), validation and numbered(validation, classes)
        x = widened(train.values)
        mean = x.mean(0)
        x = x - mean
        y = 2 * F.one_hot(train.labels, classes).to(x.dtype) - 1
        offset = y.mean(0)
        small = x.shape[1] <= len(x)
        gram = x.T @ x if small else x @ x.T
        gram.diagonal().add_(self.strength * len(x) * x.square().mean())
        factor = torch.linalg.cholesky(gram)
        wanted = y - offset
        weight = (torch.cholesky_solve(x.T @ wanted, factor) if small else x.T @ torch.cholesky_solve(wanted, factor)).T
        decoder = Decoder(weight.contiguous(), offset - weight @ mean)
        found = accuracies(decoder, validation) if validation else {}
        line = {"epoch": 0, "train_accuracy": accuracy(decoder, train)}
        report(line | {f"validation_{name}": value for name, value in found.items()})
        return decoder
