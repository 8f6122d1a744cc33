"""The place of the feedback weights of one edge, before they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from energy.couplings import Shape
from energy.stream import stream


@dataclass(frozen=True)
class FeedbackSlot:
    """Feedback weights to be drawn.

    Attributes:
        name: the key of their random stream, the name of the weight that they replace or of the layer they lead to.
        shape: their shape.
        scale: σ, the standard deviation that they are drawn with.
    """

    name: str
    shape: Shape
    scale: float

    def noise(self, seed: int, step: int, like: Tensor) -> Tensor:
        """Draw N(0, σ²) from the stream (seed, feedback/<name>, step).

        Args:
            seed: of the run.
            step: of the optimizer, 0 before the first.
            like: a tensor whose dtype and device the result has. A GPU draws another sample than the CPU.
        """
        device = like.device if like.is_cuda else torch.device("cpu")
        generator = stream(seed, f"feedback/{self.name}", step=step, device=device)
        drawn = torch.randn(self.shape, generator=generator, device=device, dtype=like.dtype) * self.scale
        return drawn.to(like.device)
