"""Feedback weights with the signs of the weights."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from energy.component import require
from energy.feedback.feedback import Feedback, FeedbackSlot
from energy.stream import stream


class Sign(Feedback, name="sign"):
    """B = sign(W)∘|R|, R fixed: the signs of the weights, magnitudes of their own; sign(0) = 0.

    Attributes:
        sign_agreement: the share of the entries that have the sign of their weight; the rest, drawn once, has the
            other one.

    Reference:
        Liao, Leibo & Poggio, AAAI 2016 (arXiv 1510.05067), fixed random magnitudes.
    """

    sign_agreement: float = 1.0

    def __post_init__(self) -> None:
        require(0 <= self.sign_agreement <= 1, self, "sign_agreement", "in [0, 1]")

    def draw(self, slot: FeedbackSlot, seed: int, step: int, like: Tensor) -> Tensor:
        magnitude, size = self.magnitude(slot, seed, step, like), math.prod(slot.shape)
        if self.sign_agreement == 1:
            return magnitude
        generator = stream(seed, f"feedback/{slot.name}/agreement", device=like.device)
        flipped = torch.randperm(size, generator=generator, device=like.device)[round(self.sign_agreement * size) :]
        signs = torch.ones(size, dtype=like.dtype, device=like.device).index_fill_(0, flipped, -1.0)
        return magnitude * signs.view(slot.shape)

    def magnitude(self, slot: FeedbackSlot, seed: int, step: int, like: Tensor) -> Tensor:
        """Draw the magnitudes of B.

        Args:
            slot, seed, step, like: as for `draw`.

        Returns:
            A tensor of `slot.shape` without negative entries.
        """
        return slot.noise(seed, step, like).abs()

    def matrix(self, weight: Tensor, feedback_weight: Tensor) -> Tensor:
        return weight.sign() * feedback_weight


class SignUnit(Sign, name="sign_unit"):
    """B = sign(W)·σ√(2/π): the signs alone, at the mean magnitude that |R| has (uniform magnitudes in the paper)."""

    def magnitude(self, slot: FeedbackSlot, seed: int, step: int, like: Tensor) -> Tensor:
        return torch.full(slot.shape, slot.scale * math.sqrt(2 / math.pi), dtype=like.dtype, device=like.device)


class SignBatch(Sign, name="sign_batch"):
    """`sign` with R drawn again for every optimizer step (`resample`) and used throughout it (batch-wise in the paper).

    The entries that disagree stay. A step's R is drawn on the network's device: a run on a GPU has other magnitudes of
    the same law than one on the CPU, which would take longer to draw them than the step takes.
    """

    resampled_each_step: ClassVar[bool] = True
