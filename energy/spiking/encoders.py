"""Encodings of a real-valued input as a sequence in time.

An encoding is (T, B, …), or (1, B, …) for an input that is the same at every step, so that its drive is computed once.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from energy.component import Component, require
from energy.stream import batch_fingerprint, hashed


class Encoder(Component):
    """A map from x (B, …) to the sequence that the first couplings receive; a subclass defines `encode`.

    Attributes:
        filtered: whether the sequence goes through the synaptic trace first, x ← κx + (1 − κ)·input.
    """

    group: ClassVar[str] = "encoder"
    spikes: ClassVar[bool] = False  # whether the sequence are spikes, which cost synaptic operations
    filtered: bool = False

    def encode(self, x: Tensor, steps: int) -> Tensor:
        """Encode (B, …) as (T, B, …) or (1, B, …)."""
        raise NotImplementedError(f"{type(self).__name__} must define encode(x, steps)")

    def sequence(self, x: Tensor, steps: int, decay: float) -> Tensor:
        """Encode, and filter by the trace if `filtered`.

        Args:
            x: (B, …).
            steps: T.
            decay: κ of the trace.

        Returns:
            (T, B, …), or (1, B, …) if constant in time.
        """
        given = self.encode(x, steps)
        if not self.filtered:
            return given
        trace, out = torch.zeros_like(given[0]), []
        for t in range(steps):
            trace = trace * decay + (1 - decay) * given[t if len(given) > 1 else 0]
            out.append(trace)
        return torch.stack(out)


class DirectCurrent(Encoder, name="direct"):
    """The input as a constant current."""

    def encode(self, x: Tensor, steps: int) -> Tensor:
        return x.unsqueeze(0)


class Rate(Encoder, name="rate"):
    """A spike at each step with probability gain·x, clipped to [0, 1], independently: a Poisson train on a grid.

    The noise is a function of `seed` and of the batch's own numbers, so that a resumed run and repeated scoring see the
    same spikes on any device, and another batch sees others.
    """

    spikes: ClassVar[bool] = True
    gain: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 < self.gain < math.inf, self, "gain", "above 0")

    def encode(self, x: Tensor, steps: int) -> Tensor:
        key = batch_fingerprint(x) + self.seed * 0x2545F4914F6CDD1D % 2**63
        return (hashed(key, (steps, *x.shape)) < x * self.gain).to(x.dtype)


class Latency(Encoder, name="latency"):
    """One spike per unit, the earlier the stronger: at step round((T − 1)(1 − x)), x clipped to [0, 1].

    Attributes:
        filtered: whether the sequence goes through the synaptic trace first.
        silent: an input at or below it gives no spike.
    """

    spikes: ClassVar[bool] = True
    silent: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.silent < 1, self, "silent", "in [0, 1)")

    def encode(self, x: Tensor, steps: int) -> Tensor:
        at = ((steps - 1) * (1 - x.clamp(0, 1))).round()
        times = torch.arange(steps, dtype=x.dtype, device=x.device).view(-1, *[1] * x.ndim)
        return ((times == at) & (x > self.silent)).to(x.dtype)
