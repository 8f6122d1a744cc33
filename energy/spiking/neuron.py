"""The base of spiking neurons: discrete-time dynamics of a unit, its synaptic trace, and the backward pass of errors.

    state[t] = step(state[t−1], s[t−1], I[t])          defined by the class
    s[t]     = 1 if v[t] > 0 else 0,   v = excess(state)
    x[t]     = κ x[t−1] + (1 − κ) s[t]                 trace, the input of the next layer, κ = 1 − 1/τ_s

and back, with the surrogate's dyad D(v, h) ≈ Φ′(v) h at the spike, for an apical current c[t] = −∂C/∂x[t]:

    p[t] = c[t] + κ p[t+1],     h[t] = (1 − κ) p[t] + (the error of step t+1 with respect to s[t])
    −∂C/∂state[t] = (that of step t+1) + (∂v/∂state)ᵀ D(v[t], h[t]),     δ[t] = −∂C/∂I[t]

A class defines `initial`, `step` and `excess`: simulation, online learning and the reference by autograd all use them.
The backward pass of one step is autograd through `step`, unless the class has a closed form.

Reference:
    Neftci, Mostafa & Zenke, "Surrogate gradient learning in spiking neural networks", IEEE Signal Processing Magazine
    36 (2019) 51.
"""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar, Final, NamedTuple

import torch
from torch import Tensor

from energy.component import Component, require
from energy.kernels import Kernel
from energy.spiking.lateral import Lateral
from energy.spiking.surrogates import Surrogate
from energy.tape import leaf, taped

NeuronState = Any  # a NamedTuple of tensors of the population's shape; its own for each class of neurons
CLOSED: Final = ("backward", "instantaneous_error", "errors")  # derived from the dynamics, each from those before


class Transition(NamedTuple):
    """One step of a population.

    Attributes:
        before: the state that it started from.
        spikes: s of the step before, 0 and 1.
        current: I; may be None for a class with a closed-form backward pass.
        after: the state that it ended in.
    """

    before: NeuronState
    spikes: Tensor
    current: Tensor | None
    after: NeuronState


class Errors(NamedTuple):
    """−∂C with respect to the start of a step; `current` is δ, and `spikes` None if the step holds them constant."""

    before: NeuronState
    spikes: Tensor | None
    current: Tensor


class History(NamedTuple):
    """All steps of a population.

    Attributes:
        states: the fields of the state, (T, M) each.
        traces: x, (T, M).
        currents: I, (T, M) or (1, M); None if the backward pass needs none.
    """

    states: NeuronState
    traces: Tensor
    currents: Tensor | None

    def transition(self, neuron: Neuron, t: int) -> Transition:
        """Return step t, counted from 0."""
        after = at(self.states, t)
        before = at(self.states, t - 1) if t else neuron.initial(self.traces.shape[1:], self.traces)
        spikes = neuron.spikes(before).to(self.traces.dtype) if t else torch.zeros_like(self.traces[0])
        current = None if self.currents is None else self.currents[t if len(self.currents) > 1 else 0]
        return Transition(before, spikes, current, after)


class Trial(NamedTuple):
    """A run from rest: all its steps, and the number of spikes of each unit, (M,), in float32 or wider."""

    history: History
    counts: Tensor


class Neuron(Component):
    """A spiking unit; a subclass defines `initial`, `step` and `excess`.

    A subclass that changes the dynamics of a class with a closed-form backward pass goes back to autograd by itself,
    unless it has a closed form of its own.

    Attributes:
        tau_s: synaptic time constant in steps; 1 for a trace that is the spike.
        threshold: θ; a unit fires above it, not at it.
    """

    group: ClassVar[str] = "neuron"
    tau_s: float = 3.0
    threshold: float = 1.0

    def __init_subclass__(cls, *, name: str = "") -> None:
        super().__init_subclass__(name=name)
        stale = any(_overrides(cls, method) for method in vars(cls))
        for method in CLOSED:
            if method in vars(cls):
                stale = True
            elif stale:
                setattr(cls, method, vars(Neuron)[method])

    def __post_init__(self) -> None:
        require(1 <= self.tau_s < math.inf, self, "tau_s", "at least 1 step, and finite")
        require(0 < self.threshold < math.inf, self, "threshold", "above 0")

    @property
    def decay(self) -> float:
        """κ, the share of the trace that is left after a step."""
        return 1 - 1 / self.tau_s

    @property
    def leak(self) -> float:
        """λ, the share of a current's effect that is left after a step, by which eligibility traces decay.

        0, no memory of the past in causal credit, unless the class overrides it.
        """
        return 0.0

    @property
    def closed(self) -> bool:
        """True if the backward pass is a closed form, which needs no currents."""
        return type(self).backward is not Neuron.backward

    def initial(self, shape: torch.Size | tuple[int, ...], like: Tensor) -> NeuronState:
        """Return the state at rest: a NamedTuple of tensors of `shape`, with the dtype and device of `like`."""
        raise NotImplementedError(f"{type(self).__name__} must define initial(shape, like)")

    def step(self, state: NeuronState, spikes: Tensor, current: Tensor) -> NeuronState:
        """Return the next state.

        Args:
            state: that of the step before.
            spikes: s of the step before, 0 and 1 in the dtype of the state; `spikes.detach()` cuts a backward path.
            current: I of this step.

        Returns:
            The state, from which `excess` finds the units that fire; differentiable, and new tensors.
        """
        raise NotImplementedError(f"{type(self).__name__} must define step(state, spikes, current)")

    def excess(self, state: NeuronState) -> Tensor:
        """Return v, the distance of each unit above its threshold."""
        raise NotImplementedError(f"{type(self).__name__} must define excess(state)")

    def membrane(self, state: NeuronState) -> Tensor:
        """Return u, the first tensor of the state, which figures show and which breaks ties between spike counts."""
        return state[0]

    def spikes(self, state: NeuronState) -> Tensor:
        """Return s as booleans."""
        return self.excess(state) > 0

    def trace(self, trace: Tensor, spikes: Tensor) -> Tensor:
        """Return x[t] from x[t−1] and s[t]."""
        return torch.add(trace * self.decay, spikes, alpha=1 - self.decay)

    def run(self, current: Tensor, steps: int, lateral: Lateral | None = None) -> History:
        """Run from rest.

        Args:
            current: (T, M) or, constant in time, (1, M).
            steps: T.
            lateral: the recurrent synapses, whose current is added.
        """
        return self.trial(current, steps, lateral).history

    def trial(self, current: Tensor, steps: int, lateral: Lateral | None = None) -> Trial:
        """Run from rest, and count spikes.

        Args:
            current, steps, lateral: as for `run`.
        """
        start = self.initial(current.shape[1:], current)
        given = (current.expand(steps, -1), *(tensor.unsqueeze(0) for tensor in start))
        found = _compilable(type(self))(given, self, steps) if lateral is None else _run(*given, self, steps, lateral)
        *states, traces, counts = found
        heard = None if self.closed else current if lateral is None else current + _heard(lateral, traces)
        return Trial(History(start._make(states), traces, heard), counts)

    def backward(
        self, step: Transition, ahead: NeuronState | None, heard: Tensor, surrogate: Surrogate, beta: float
    ) -> Errors:
        """Propagate errors back through one step, by autograd through `step` and `excess`.

        Args:
            step: the step.
            ahead: −∂C/∂state of its end, through the steps that follow; None for zero.
            heard: h = −∂C/∂s.
            surrogate, beta: the dyad at the spike.
        """
        with taped():
            before = step.before._make(map(leaf, step.before))
            spikes, current = leaf(step.spikes), leaf(step.current)  # type: ignore[arg-type]
            after = self.step(before, spikes, current)
            excess = self.excess(after)
            own = surrogate.secant(excess.detach(), heard, beta)
            pairs = [(excess, own), *zip(after, () if ahead is None else ahead, strict=ahead is not None)]
            ends, errors = zip(*(pair for pair in pairs if pair[0].requires_grad), strict=True)
            starts = [*before, spikes, current]
            found = torch.autograd.grad(ends, starts, errors, allow_unused=True, materialize_grads=True)
        return Errors(before._make(found[:-2]), found[-2], found[-1])

    def instantaneous_error(self, step: Transition, heard: Tensor, surrogate: Surrogate, beta: float) -> Tensor:
        """Return δ of a step without the contribution of later steps.

        Args:
            step: the step.
            heard: h = −∂C/∂s of the same step.
            surrogate, beta: the dyad at the spike.
        """
        return self.backward(step, None, heard, surrogate, beta).current

    def errors(
        self,
        history: History,
        apical: Tensor,
        surrogate: Surrogate,
        beta: float,
        lateral: Lateral | None = None,
    ) -> Tensor:
        """Return δ = −∂C/∂I of all steps, (T, M): back through time, step by step.

        Args:
            history: the steps.
            apical: c = −∂C/∂x, (T, M).
            surrogate, beta: the dyad at the spike.
            lateral: the recurrent synapses, whose errors are added.
        """
        pulled, found = torch.zeros_like(apical[0]), []
        back = Errors(None, None, pulled)
        for t in reversed(range(len(apical))):
            said = apical[t] + lateral.adjoint(found[-1]) if lateral is not None and found else apical[t]
            pulled = torch.add(said, pulled, alpha=self.decay)
            heard = pulled * (1 - self.decay)
            heard = heard if back.spikes is None else heard + back.spikes
            back = self.backward(history.transition(self, t), back.before, heard, surrogate, beta)
            found.append(back.current)
        return torch.stack(found[::-1])


def at(states: NeuronState, t: int) -> NeuronState:
    """Return the state of step t."""
    return states._make(field[t] for field in states)


def _overrides(cls: type[Neuron], name: str) -> bool:
    """True if a class overrides a method or a property of its bases, other than closed forms."""
    given, bases = vars(cls)[name], cls.__mro__[1:]
    acts = callable(given) or isinstance(given, property)
    return acts and not name.startswith("__") and name not in CLOSED and any(name in vars(base) for base in bases)


def _heard(lateral: Lateral, traces: Tensor) -> Tensor:
    """V x[t−1] of all steps, (T, M)."""
    return torch.stack([torch.zeros_like(traces[0]), *(lateral.drive(trace) for trace in traces[:-1])])


def _run(current: Tensor, *given: Any) -> tuple[Tensor, ...]:
    """Every field of the state, then the traces, (T, M), then the counts, (M,).

    `given` is the state at rest, (1, M) each, the neuron and the number of steps."""
    neuron, steps, *laterals = given[_fields(given) :]
    fields = given[: _fields(given)]
    state = type(neuron.initial((0,), current))._make(field[0] for field in fields)
    trace = spikes = torch.zeros_like(current[0])
    rows, counts = [], spikes.to(torch.promote_types(spikes.dtype, torch.float32))
    for t in range(steps):
        now = current[t]
        now = now + laterals[0].drive(trace) if laterals and t else now
        state = neuron.step(state, spikes, now)
        spikes = neuron.spikes(state).to(now.dtype)
        trace = neuron.trace(trace, spikes)
        counts = counts + spikes
        rows.append((*state, trace))
    return (*map(torch.stack, zip(*rows, strict=True)), counts)


def _fields(given: tuple[Any, ...]) -> int:
    """The number of tensors at the front of `given`."""
    return sum(isinstance(one, Tensor) for one in given)


@functools.cache
def _compilable(cls: type[Neuron]) -> Kernel:
    """The run of a class as one compiled pass; a kernel per class, since a class may not be compiled."""
    return Kernel(_run, scan=True)
