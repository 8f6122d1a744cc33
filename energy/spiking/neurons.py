"""The leaky integrate-and-fire unit in discrete time, with a synaptic trace; and how an error goes back through it.

    u[t] = λ u[t−1] (1 − s[t−1]) + I[t]        membrane (basal compartment), λ = 1 − 1/τ_m
    s[t] = 1 if u[t] > θ else 0                 spike (soma)
    x[t] = κ x[t−1] + (1 − κ) s[t]              trace, which drives the next layer, κ = 1 − 1/τ_s

The way back, for an apical current c[t] = −∂C/∂x[t], with the surrogate's dyad D(v, h) ≈ Φ′(v) h and v = u − θ:

    p[t] = c[t] + κ p[t+1],     δ[t] = D(v[t], (1 − κ) p[t] + r[t] δ[t+1]) + λ (1 − s[t]) δ[t+1]

so that δ = −∂C/∂I. r is the derivative of the reset by the spike, −λu[t] or −θ; 0 where the reset is detached, and then
it counts as a constant. All states are (T, M): time, then batch and units in one axis. Two loops over time, each of
them one compiled pass over memory inside `energy.kernels.fused`.

Source: the discrete unit is that of Zhang & Li (NeurIPS 2020, code TSSL-BP); surrogate gradients of Neftci, Mostafa &
Zenke (2019)."""

from __future__ import annotations

import enum
import math
from typing import ClassVar

import torch
from torch import Tensor

from energy.component import Component, require
from energy.kernels import Kernel
from energy.spiking.surrogates import Surrogate


class Reset(enum.Enum):
    """What a spike does to the membrane of the next step."""

    ZERO = "starts from zero: u ← u(1 − s)"
    SUBTRACT = "loses the threshold: u ← u − θs, after the leak"
    NONE = "goes on as it was"


class LIF(Component, name="lif"):
    """A leaky integrate-and-fire unit.

    Attributes:
        tau_m: membrane time constant in steps, at least 1; ``inf`` for no leak.
        tau_s: synaptic time constant in steps; 1 for a trace that is the spike.
        threshold: θ; a unit fires above it, not at it.
        reset: what a spike does to the membrane.
        detach_reset: whether the way back holds the reset constant, as is usual.
    """

    group: ClassVar[str] = "neuron"
    tau_m: float = 5.0
    tau_s: float = 3.0
    threshold: float = 1.0
    reset: Reset = Reset.ZERO
    detach_reset: bool = True

    def __post_init__(self) -> None:
        require(self.tau_m >= 1, self, "tau_m", "at least 1 step")
        require(1 <= self.tau_s < math.inf, self, "tau_s", "at least 1 step, and finite")
        require(0 < self.threshold < math.inf, self, "threshold", "above 0")

    @property
    def leak(self) -> float:
        """λ, what is left of the membrane after a step."""
        return 1 - 1 / self.tau_m

    @property
    def decay(self) -> float:
        """κ, what is left of the trace after a step."""
        return 1 - 1 / self.tau_s

    def fires(self, membrane: Tensor) -> Tensor:
        """s as booleans."""
        return membrane > self.threshold

    def carried(self, membrane: Tensor) -> Tensor:
        """What the step after `membrane` starts from: leak and reset."""
        if self.reset is Reset.ZERO:
            return membrane.masked_fill(self.fires(membrane), 0) * self.leak
        kept = membrane * self.leak
        return kept if self.reset is Reset.NONE else kept - self.threshold * self.fires(membrane)

    def filtered(self, trace: Tensor, spikes: Tensor) -> Tensor:
        """x[t] from x[t−1] and s[t]."""
        return torch.add(trace * self.decay, spikes.to(trace.dtype), alpha=1 - self.decay)

    def run(self, current: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """(u, x) of `steps` steps from rest: (T, M) or, constant in time, (1, M) → 2 × (T, M)."""
        membrane, trace = _RUN((current,), self, steps)
        return membrane, trace

    def back(self, membrane: Tensor, apical: Tensor, surrogate: Surrogate, beta: float) -> Tensor:
        """δ = −∂C/∂I from u and c = −∂C/∂x, all (T, M)."""
        return _BACK((membrane, apical), self, surrogate, beta)[0]

    def past(self, membrane: Tensor, apical: Tensor, surrogate: Surrogate, beta: float) -> Tensor:
        """δ without what lies ahead: D(v[t], c[t]), of one step or of all."""
        return surrogate.secant(membrane - self.threshold, apical, beta)


def _run(current: Tensor, neuron: LIF, steps: int) -> tuple[Tensor, Tensor]:
    membranes, traces = [current[0]], [neuron.fires(current[0]).to(current.dtype) * (1 - neuron.decay)]
    for t in range(1, steps):
        membranes.append(neuron.carried(membranes[-1]) + current[t if len(current) > 1 else 0])
        traces.append(neuron.filtered(traces[-1], neuron.fires(membranes[-1])))
    return torch.stack(membranes), torch.stack(traces)


def _back(membrane: Tensor, apical: Tensor, neuron: LIF, surrogate: Surrogate, beta: float) -> tuple[Tensor]:
    steps, scale = len(membrane), 1 - neuron.decay
    ahead = [apical[-1]]  # p, from the last step on
    for t in reversed(range(steps - 1)):
        ahead.append(torch.add(apical[t], ahead[-1], alpha=neuron.decay))
    heard, v = torch.stack(ahead[::-1]) * scale, membrane - neuron.threshold
    if neuron.detach_reset or neuron.reset is Reset.NONE:
        own = surrogate.secant(v, heard, beta)  # of all steps at once
        found = [own[-1]]
        for t in reversed(range(steps - 1)):
            found.append(own[t] + _through(neuron, membrane[t], found[-1]))
        return (torch.stack(found[::-1]),)
    found = [surrogate.secant(v[-1], heard[-1], beta)]
    for t in reversed(range(steps - 1)):
        bent = membrane[t] * -neuron.leak if neuron.reset is Reset.ZERO else -neuron.threshold
        own = surrogate.secant(v[t], heard[t] + bent * found[-1], beta)
        found.append(own + _through(neuron, membrane[t], found[-1]))
    return (torch.stack(found[::-1]),)


def _through(neuron: LIF, membrane: Tensor, ahead: Tensor) -> Tensor:
    """The part of δ[t+1] that comes back along the membrane."""
    kept = ahead.masked_fill(neuron.fires(membrane), 0) if neuron.reset is Reset.ZERO else ahead
    return kept * neuron.leak


_RUN, _BACK = Kernel(_run, scan=True), Kernel(_back, scan=True)
