"""Distances between the output's spike trains and their targets, each with its exact gradient.

Outputs are (T, B, C), or (T, B, C, …) with the classes along that axis: spikes s, and traces x[t] = κ x[t−1] + (1 − κ)
s[t]. The gradient is with respect to the traces, also of an error that is written in spikes: they are a linear function
of the traces, s[t] = (x[t] − κ x[t−1])/(1 − κ), so that

    ∂C/∂x[t] = (g[t] − κ g[t+1])/(1 − κ),     g = ∂C/∂s.

Targets are one-hot, (B, C) or (B, C, …). Errors are summed over the batch.
"""

from __future__ import annotations

import functools
from dataclasses import field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.component import Component, require
from energy.potentials import per_sample


class SpikeTrain(NamedTuple):
    """The output over time: spikes and traces (T, B, C), and κ, the decay that relates them."""

    spikes: Tensor
    traces: Tensor
    decay: float


class SpikeError(Component):
    """The distance C of the output's spike train from its target; a subclass defines `value` and `gradient`."""

    group: ClassVar[str] = "spike_error"

    def value(self, train: SpikeTrain, target: Tensor) -> Tensor:
        """Return C of each sample, (B,)."""
        raise NotImplementedError(f"{type(self).__name__} must define value(train, target)")

    def gradient(self, train: SpikeTrain, target: Tensor) -> Tensor:
        """Return ∂C/∂x, (T, B, C)."""
        raise NotImplementedError(f"{type(self).__name__} must define gradient(train, target)")


class LocalError(SpikeError):
    """C = Σ_t C_t(x[t]), an error known while the simulation runs, as causal credit needs it.

    A subclass defines `cost` and `at`.
    """

    def cost(self, trace: Tensor, target: Tensor, t: int, steps: int, decay: float) -> Tensor:
        """Return C_t(x[t]) of each sample, (B,).

        Args:
            trace: x[t], (B, C).
            target: one-hot, (B, C).
            t, steps: the step, from 0, and T.
            decay: κ.
        """
        raise NotImplementedError(f"{type(self).__name__} must define cost(trace, target, t, steps, decay)")

    def at(self, trace: Tensor, target: Tensor, t: int, steps: int, decay: float) -> Tensor:
        """Return ∂C_t/∂x[t], (B, C).

        Args:
            trace: x[t], (B, C).
            target: one-hot, (B, C).
            t, steps: the step, from 0, and T.
            decay: κ.
        """
        raise NotImplementedError(f"{type(self).__name__} must define at(trace, target, t, steps, decay)")

    def value(self, train: SpikeTrain, target: Tensor) -> Tensor:
        steps = len(train.traces)
        return torch.stack([self.cost(train.traces[t], target, t, steps, train.decay) for t in range(steps)]).sum(0)

    def gradient(self, train: SpikeTrain, target: Tensor) -> Tensor:
        steps = len(train.traces)
        return torch.stack([self.at(train.traces[t], target, t, steps, train.decay) for t in range(steps)])


class VanRossum(LocalError, name="van_rossum"):
    """C = ½ Σ_t ‖x[t] − x*[t]‖² with x* the trace of the desired train.

    Attributes:
        pattern: the desired spikes of the unit of the class, as 0 and 1, repeated over the trial; the other units
            should be silent. Empty for 0 1 1 1 1, and 0 1 from ten steps on, as in the code TSSL-BP.

    Reference:
        van Rossum, "A novel spike distance", Neural Computation 13 (2001) 751.
    """

    pattern: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        require(set(self.pattern) <= {0, 1}, self, "pattern", "zeros and ones")

    def wanted(self, steps: int, decay: float) -> tuple[float, ...]:
        """Return x* of the unit of the class, one value per step."""
        return traced(tuple(self.pattern) or ((0, 1) if steps >= 10 else (0, 1, 1, 1, 1)), steps, decay)

    def value(self, train: SpikeTrain, target: Tensor) -> Tensor:
        if type(self).cost is not VanRossum.cost:
            return super().value(train, target)
        return (self.gradient(train, target).square().flatten(2).sum(2) / 2).sum(0)

    def cost(self, trace: Tensor, target: Tensor, t: int, steps: int, decay: float) -> Tensor:
        return per_sample(self.at(trace, target, t, steps, decay).square()) / 2

    def at(self, trace: Tensor, target: Tensor, t: int, steps: int, decay: float) -> Tensor:
        return torch.sub(trace, target, alpha=self.wanted(steps, decay)[t])


class Counted(SpikeError):
    """An error C(r(s)) of one number per output unit, a function r of its spikes."""

    def gradient(self, train: SpikeTrain, target: Tensor) -> Tensor:
        return onto_traces(self.on_spikes(train.spikes, target), train.decay)

    def on_spikes(self, spikes: Tensor, target: Tensor) -> Tensor:
        """Return ∂C/∂s, (T, B, C)."""
        raise NotImplementedError(f"{type(self).__name__} must define on_spikes(spikes, target)")


class SpikeCount(Counted, name="spike_count"):
    """C = ½ Σ_i e_i² with e_i the amount by which a spike count misses its goal.

    Too few spikes of the unit of the class count, and too many of another; on the right side of its goal a unit has no
    error.

    Attributes:
        desired: the least count of the unit of the class.
        undesired: the greatest count of the others.
    """

    desired: float = 4.0
    undesired: float = 1.0

    def __post_init__(self) -> None:
        require(self.undesired >= 0, self, "undesired", "at least 0")
        require(self.undesired < self.desired < float("inf"), self, "desired", "above undesired, and finite")

    def missed(self, spikes: Tensor, target: Tensor) -> Tensor:
        """Return e, (B, C)."""
        count = spikes.sum(0)
        return torch.where(target > 0, (count - self.desired).clamp(max=0), (count - self.undesired).clamp(min=0))

    def value(self, train: SpikeTrain, target: Tensor) -> Tensor:
        return per_sample(self.missed(train.spikes, target).square()) / 2

    def on_spikes(self, spikes: Tensor, target: Tensor) -> Tensor:
        return self.missed(spikes, target).expand_as(spikes)


class RateCrossEntropy(Counted, name="rate_cross_entropy"):
    """C = −⟨y, ln softmax(scale · n)⟩ of the spike counts n."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        require(0 < self.scale < float("inf"), self, "scale", "above 0")

    def value(self, train: SpikeTrain, target: Tensor) -> Tensor:
        return -per_sample(target * F.log_softmax(self.scale * train.spikes.sum(0), dim=1))

    def on_spikes(self, spikes: Tensor, target: Tensor) -> Tensor:
        share = (self.scale * spikes.sum(0)).softmax(1) * target.sum(1, keepdim=True)
        return (self.scale * (share - target)).expand_as(spikes)


class FirstSpike(Counted, name="first_spike"):
    """C = −⟨y, ln softmax(−scale · τ)⟩ of the first-spike times τ, in steps; T for a unit that stays silent.

    τ = Σ_t Π_{t′ ≤ t} (1 − s[t′]), the number of steps before the first spike, is a polynomial in the spikes, whose
    derivative is exact: ∂τ/∂s[i] = −Σ_{t ≥ i} Π_{t′ ≤ t, t′ ≠ i} (1 − s[t′]).
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        require(0 < self.scale < float("inf"), self, "scale", "above 0")

    def times(self, spikes: Tensor) -> Tensor:
        """Return τ, (B, C)."""
        return (1 - spikes).cumprod(0).sum(0)

    def value(self, train: SpikeTrain, target: Tensor) -> Tensor:
        return -per_sample(target * F.log_softmax(-self.scale * self.times(train.spikes), dim=1))

    def on_spikes(self, spikes: Tensor, target: Tensor) -> Tensor:
        share = (-self.scale * self.times(spikes)).softmax(1) * target.sum(1, keepdim=True)
        slopes = []
        for i in range(len(spikes)):
            others = spikes.clone()
            others[i] = 0  # the factor of i is left out
            slopes.append(-(1 - others).cumprod(0)[i:].sum(0))
        return self.scale * (target - share) * torch.stack(slopes)


@functools.lru_cache(maxsize=64)
def traced(pattern: tuple[int, ...], steps: int, decay: float) -> tuple[float, ...]:
    """Return the trace of a train that repeats `pattern` over `steps`."""
    trace, found = 0.0, []
    for t in range(steps):
        trace = decay * trace + (1 - decay) * pattern[t % len(pattern)]
        found.append(trace)
    return tuple(found)


def onto_traces(gradient: Tensor, decay: float) -> Tensor:
    """Return ∂C/∂x from ∂C/∂s, (T, …): the transposed inverse of the trace."""
    ahead = torch.cat([gradient[1:], torch.zeros_like(gradient[:1])])
    return torch.sub(gradient, ahead, alpha=decay) / (1 - decay)
