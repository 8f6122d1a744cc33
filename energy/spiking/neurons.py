"""The leaky integrate-and-fire unit in discrete time.

    u[t] = λ u[t−1] (1 − s[t−1]) + I[t]        membrane (basal compartment), λ = 1 − 1/τ_m
    v[t] = u[t] − θ                            a unit fires above its threshold (soma)

The closed-form backward pass, with the surrogate's dyad D (`energy.spiking.neuron`):

    δ[t] = D(v[t], h[t]) + λ (1 − s[t]) δ[t+1],     h[t] = (1 − κ) p[t] + r[t] δ[t+1]

r is the derivative of the reset by the spike, −λu[t] or −θ; 0 if the reset is detached, and then counts as a constant.
The backward pass of all steps is one loop over time, a compiled pass over memory inside `energy.kernels.fused`.

Reference:
    Zhang & Li, "Temporal spike sequence learning via backpropagation for deep spiking neural networks", NeurIPS 2020,
    and its code TSSL-BP: the discrete unit.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import torch
from torch import Tensor

from energy.component import require
from energy.kernels import Kernel
from energy.spiking.lateral import Lateral
from energy.spiking.neuron import Errors, History, Neuron, NeuronState, Transition
from energy.spiking.surrogates import Surrogate


class Reset(enum.Enum):
    """The effect of a spike on the membrane of the next step."""

    ZERO = "starts from zero: u ← u(1 − s)"
    SUBTRACT = "loses the threshold: u ← u − θs, after the leak"
    NONE = "goes on as it was"


class Membrane(NamedTuple):
    """The state of a unit that is its membrane u alone."""

    membrane: Tensor


class Leaky(Neuron):
    """The base of units with a leaky membrane.

    Attributes:
        tau_m: membrane time constant in steps, at least 1; `inf` for no leak.
        reset: effect of a spike on the membrane.
        detach_reset: whether the backward pass holds the reset constant, as is usual.
    """

    tau_m: float = 5.0
    reset: Reset = Reset.ZERO
    detach_reset: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.tau_m >= 1, self, "tau_m", "at least 1 step")

    @property
    def leak(self) -> float:
        """λ, the share of the membrane that is left after a step."""
        return 1 - 1 / self.tau_m

    def leak_and_reset(self, membrane: Tensor, spikes: Tensor) -> Tensor:
        """Return the membrane after leak and reset, before the current of the next step."""
        held = spikes.detach() if self.detach_reset else spikes
        kept = membrane * self.leak
        if self.reset is Reset.ZERO:
            return kept * (1 - held)
        return kept if self.reset is Reset.NONE else kept - self.threshold * held


class LIF(Leaky, name="lif"):
    """A leaky integrate-and-fire unit."""

    def initial(self, shape: torch.Size | tuple[int, ...], like: Tensor) -> Membrane:
        return Membrane(like.new_zeros(shape))

    def step(self, state: Membrane, spikes: Tensor, current: Tensor) -> Membrane:
        return Membrane(self.leak_and_reset(state.membrane, spikes) + current)

    def excess(self, state: Membrane) -> Tensor:
        return state.membrane - self.threshold

    def backward(
        self, step: Transition, ahead: NeuronState | None, heard: Tensor, surrogate: Surrogate, beta: float
    ) -> Errors:
        own = self.instantaneous_error(step, heard, surrogate, beta)
        delta = own if ahead is None else own + ahead.membrane
        through = delta * self.leak
        if self.reset is Reset.ZERO:
            through = through * (1 - step.spikes)
        if self.detach_reset or self.reset is Reset.NONE:
            return Errors(Membrane(through), None, delta)
        return Errors(Membrane(through), _bent(self, step.before.membrane) * delta, delta)

    def instantaneous_error(self, step: Transition, heard: Tensor, surrogate: Surrogate, beta: float) -> Tensor:
        """Return D(v, h).

        Args:
            step: the step.
            heard: h = −∂C/∂s of the same step.
            surrogate, beta: the dyad D at the spike.
        """
        return surrogate.secant(self.excess(step.after), heard, beta)

    def errors(
        self,
        history: History,
        apical: Tensor,
        surrogate: Surrogate,
        beta: float,
        lateral: Lateral | None = None,
    ) -> Tensor:
        if lateral is not None:  # δ of a step enters the one before by a matrix product, which stays in the loop
            return super().errors(history, apical, surrogate, beta, lateral)
        given = history.states.membrane, apical
        if _SCAN.ready(apical):
            return _SCAN(given, self, surrogate, beta)[0]
        return _errors(*given, self, surrogate, beta)


def _scanned_errors(membrane: Tensor, apical: Tensor, neuron: LIF, surrogate: Surrogate, beta: float) -> tuple[Tensor]:
    """δ, step by step from the last one on: one pass over memory once it is compiled."""
    scale, counted = 1 - neuron.decay, not (neuron.detach_reset or neuron.reset is Reset.NONE)
    pulled, found = apical[-1], []  # p and δ
    for t in reversed(range(len(membrane))):
        pulled = torch.add(apical[t], pulled, alpha=neuron.decay) if found else pulled
        heard = pulled * scale
        heard = heard + _bent(neuron, membrane[t]) * found[-1] if counted and found else heard
        own = surrogate.secant(membrane[t] - neuron.threshold, heard, beta)
        found.append(own + _through(neuron, membrane[t], found[-1]) if found else own)
    return (torch.stack(found[::-1]),)


def _errors(membrane: Tensor, apical: Tensor, neuron: LIF, surrogate: Surrogate, beta: float) -> Tensor:
    """The same δ with the dyads of all steps at once, where none waits for the step after it: fewer calls."""
    if not (neuron.detach_reset or neuron.reset is Reset.NONE):
        return _scanned_errors(membrane, apical, neuron, surrogate, beta)[0]
    ahead = [apical[-1]]  # p, from the last step on
    for t in reversed(range(len(membrane) - 1)):
        ahead.append(torch.add(apical[t], ahead[-1], alpha=neuron.decay))
    heard = torch.stack(ahead[::-1]) * (1 - neuron.decay)
    own = surrogate.secant(membrane - neuron.threshold, heard, beta)
    found = [own[-1]]
    for t in reversed(range(len(membrane) - 1)):
        found.append(own[t] + _through(neuron, membrane[t], found[-1]))
    return torch.stack(found[::-1])


def _bent(neuron: LIF, membrane: Tensor) -> Tensor | float:
    """r, the derivative of the reset by the spike."""
    return membrane * -neuron.leak if neuron.reset is Reset.ZERO else -neuron.threshold


def _through(neuron: LIF, membrane: Tensor, ahead: Tensor) -> Tensor:
    """The part of δ[t+1] that comes back along the membrane."""
    kept = ahead.masked_fill(membrane > neuron.threshold, 0) if neuron.reset is Reset.ZERO else ahead
    return kept * neuron.leak


_SCAN = Kernel(_scanned_errors, scan=True)
