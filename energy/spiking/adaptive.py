"""Spike-frequency adaptation: a leaky unit with a threshold that rises with each of its spikes and decays again.

    u[t] = λ u[t−1] (1 − s[t−1]) + I[t]        membrane, as of `energy.spiking.neurons.LIF`
    a[t] = ρ a[t−1] + s[t−1]                   adaptation, ρ = 1 − 1/τ_a
    v[t] = u[t] − (θ + b a[t])

The backward pass goes through both by autograd: an error reaches the past as long as the adaptation lasts, even if the
reset is detached.

Reference:
    Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking neurons", NeurIPS 2018, arXiv
    1803.09574, and "A solution to the learning dilemma for recurrent networks of spiking neurons" (e-prop), Nature
    Communications 2020: the unit ALIF.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from energy.component import require
from energy.spiking.neurons import Leaky


class Adapting(NamedTuple):
    """The state of an adaptive unit: u, and the adaptation a."""

    membrane: Tensor
    adaptation: Tensor


class AdaptiveLIF(Leaky, name="alif"):
    """A leaky integrate-and-fire unit with an adaptive threshold.

    Under credit that keeps running traces the eligibility is that of the membrane; the path through the adaptation,
    which e-prop follows with one number per synapse, is left out.

    Attributes:
        tau_a: time constant of the adaptation in steps, at least 1.
        strength: b, the rise of the threshold per spike; 0 for a plain unit.
    """

    tau_a: float = 20.0
    strength: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.tau_a >= 1, self, "tau_a", "at least 1 step")
        require(0 <= self.strength < math.inf, self, "strength", "at least 0, and finite")

    def initial(self, shape: torch.Size | tuple[int, ...], like: Tensor) -> Adapting:
        return Adapting(like.new_zeros(shape), like.new_zeros(shape))

    def step(self, state: Adapting, spikes: Tensor, current: Tensor) -> Adapting:
        membrane = self.leak_and_reset(state.membrane, spikes) + current
        return Adapting(membrane, state.adaptation * (1 - 1 / self.tau_a) + spikes)

    def excess(self, state: Adapting) -> Tensor:
        return state.membrane - self.threshold - self.strength * state.adaptation
