"""Learning rates as a function of (epoch, step) alone, so that a continued run needs no scheduler state."""

import math
from abc import abstractmethod
from typing import ClassVar

from energy.component import Component, require


class Schedule(Component):
    """A linear warm-up from `start` to the peak, then a decay.

    Let p be the peak and e the progress in epochs, `epoch + step / steps per epoch`. During the first `warmup` epochs
    `rate = start + (p - start) e / warmup`; afterwards `rate = decay(p, e - warmup, epochs - warmup)`.

    Attributes:
        warmup: length of the warm-up in epochs; 0 for none.
        start: absolute learning rate at the very first step, used when there is a warm-up.
    """

    group: ClassVar[str] = "schedule"
    warmup: float = 0.0
    start: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.warmup < math.inf, self, "warmup", "a number of epochs of at least 0")
        require(0 <= self.start < math.inf, self, "start", "a learning rate of at least 0")

    def rate(self, peak: float, progress: float, epochs: int) -> float:
        """Return the learning rate at `progress` (in epochs) of a run of `epochs` epochs."""
        if progress < self.warmup:
            return self.start + (peak - self.start) * progress / self.warmup
        return self.decay(peak, progress - self.warmup, epochs - self.warmup)

    @abstractmethod
    def decay(self, peak: float, progress: float, length: float) -> float:
        """Return the rate `progress` epochs after the warm-up, of `length` epochs in all."""


class Constant(Schedule, name="constant"):
    """A constant rate: `rate = p`."""

    def decay(self, peak: float, progress: float, length: float) -> float:
        return peak


class Floored(Schedule):
    """A decay that reaches `floor` at the end and stays there.

    Attributes:
        floor: absolute learning rate at the end.
        until: epoch, counted from the start of the run, at which the floor is reached; 0 for the last one.
    """

    floor: float = 0.0
    until: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.floor < math.inf, self, "floor", "a learning rate of at least 0")
        require(self.until == 0 or self.until > self.warmup, self, "until", f"0 or beyond warmup={self.warmup:g}")

    def decay(self, peak: float, progress: float, length: float) -> float:
        span = self.until - self.warmup if self.until else length
        share = min(progress / span, 1.0) if span > 0 else 0.0
        return self.floor + (peak - self.floor) * self.left(share)

    @abstractmethod
    def left(self, share: float) -> float:
        """Return the remaining share of the distance to the floor, from 1 to 0, after `share` of the decay."""


class Cosine(Floored, name="cosine"):
    """Cosine decay: `rate = floor + (p - floor) (1 + cos(pi t)) / 2` with t the share of the decay.

    Reference:
        Loshchilov and Hutter 2017 (arXiv:1608.03983), equation 5.
    """

    def left(self, share: float) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * share))


class LinearDecay(Floored, name="linear"):
    """Linear decay: `rate = floor + (p - floor) (1 - t)` with t the share of the decay."""

    def left(self, share: float) -> float:
        return 1.0 - share


class Exponential(Schedule, name="exponential"):
    """Exponential decay: `rate = p factor^e`, with e the progress after the warm-up in epochs.

    Attributes:
        factor: share of the rate that is left after one epoch.
        staircase: whether the rate stands still within an epoch (e rounded down).
    """

    factor: float = 0.99
    staircase: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.factor <= 1, self, "factor", "above 0 and at most 1")

    def decay(self, peak: float, progress: float, length: float) -> float:
        return peak * self.factor ** (math.floor(progress) if self.staircase else progress)
