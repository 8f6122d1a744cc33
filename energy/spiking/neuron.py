"""The base of spiking neurons: the dynamics of a unit in discrete time, its synaptic trace, and the way back of errors.

    state[t] = step(state[t−1], s[t−1], I[t])          what the class says
    s[t]     = 1 if v[t] > 0 else 0,   v = excess(state)
    x[t]     = κ x[t−1] + (1 − κ) s[t]                 trace, which the next layer hears, κ = 1 − 1/τ_s

and back, with the surrogate's dyad D(v, h) ≈ Φ′(v) h at the spike, for an apical current c[t] = −∂C/∂x[t]:

    p[t] = c[t] + κ p[t+1],     h[t] = (1 − κ) p[t] + what step t+1 says of s[t]
    −∂C/∂state[t] = what step t+1 says of it + (∂v/∂state)ᵀ D(v[t], h[t]),     δ[t] = −∂C/∂I[t]

A class gives `initial`, `step` and `excess`: simulation, learning while it runs, and the reference by autograd all go
through them. The way back of one step is by autograd through `step`, unless the class has a closed form.

Source: surrogate gradients of Neftci, Mostafa & Zenke (2019)."""

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
CLOSED: Final = (
    "backward",
    "instantaneous_error",
    "errors",
)  # derived from the dynamics, each from those before


class Transition(NamedTuple):
    """One step of a population: the state and the spikes (0 and 1) that it started from, the current that flowed, and
    the state that it ended in. `current` may be None for a class whose way back is a closed form.
    """

    before: NeuronState
    spikes: Tensor
    current: Tensor | None
    after: NeuronState


class Errors(NamedTuple):
    """−∂C of what a step started from; `current` is δ. `spikes` is None where the step holds them constant."""

    before: NeuronState
    spikes: Tensor | None
    current: Tensor


class History(NamedTuple):
    """All steps of a population: the fields of the state and the traces, (T, M); currents (T, M) or (1, M), None where
    the way back needs none.
    """

    states: NeuronState
    traces: Tensor
    currents: Tensor | None

    def transition(self, neuron: Neuron, t: int) -> Transition:
        """Step t, from 0."""
        after = at(self.states, t)
        before = at(self.states, t - 1) if t else neuron.initial(self.traces.shape[1:], self.traces)
        spikes = neuron.spikes(before).to(self.traces.dtype) if t else torch.zeros_like(self.traces[0])
        current = None if self.currents is None else self.currents[t if len(self.currents) > 1 else 0]
        return Transition(before, spikes, current, after)


class Neuron(Component):
    """A spiking unit; a subclass gives `initial`, `step` and `excess`.

    A subclass of a class with a closed form that changes the dynamics goes back to autograd by itself, unless it brings
    a closed form of its own.

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
        """κ, what is left of the trace after a step."""
        return 1 - 1 / self.tau_s

    @property
    def leak(self) -> float:
        """λ, what is left after a step of what a current did to the unit: by it eligibility traces fade. 0, no memory
        of the past in causal credit, unless the class says otherwise.
        """
        return 0.0

    @property
    def closed(self) -> bool:
        """Whether the way back is a closed form, which needs no currents."""
        return type(self).backward is not Neuron.backward

    def initial(self, shape: torch.Size | tuple[int, ...], like: Tensor) -> NeuronState:
        """The state at rest: a NamedTuple of tensors of `shape`, of the dtype and on the device of `like`."""
        raise NotImplementedError(f"{type(self).__name__} must define initial(shape, like)")

    def step(self, state: NeuronState, spikes: Tensor, current: Tensor) -> NeuronState:
        """The next state.

        Args:
            state: that of the step before.
            spikes: s of the step before, 0 and 1 in the dtype of the state. `spikes.detach()` cuts a path back.
            current: I of this step.

        Returns:
            The state, whose `excess` says which units fire; differentiable, and new tensors.
        """
        raise NotImplementedError(f"{type(self).__name__} must define step(state, spikes, current)")

    def excess(self, state: NeuronState) -> Tensor:
        """v, by how much each unit is above its threshold."""
        raise NotImplementedError(f"{type(self).__name__} must define excess(state)")

    def membrane(self, state: NeuronState) -> Tensor:
        """u, which figures show and by which equal spike counts are told apart: the first tensor of the state."""
        return state[0]

    def spikes(self, state: NeuronState) -> Tensor:
        """s as booleans."""
        return self.excess(state) > 0

    def trace(self, trace: Tensor, spikes: Tensor) -> Tensor:
        """x[t] from x[t−1] and s[t]."""
        return torch.add(trace * self.decay, spikes, alpha=1 - self.decay)

    def run(self, current: Tensor, steps: int, lateral: Lateral | None = None) -> History:
        """`steps` steps from rest.

        Args:
            current: (T, M) or, constant in time, (1, M).
            lateral: the recurrent synapses, whose current is added.
        """
        start = self.initial(current.shape[1:], current)
        given = (current, *(tensor.unsqueeze(0) for tensor in start))
        found = _compilable(type(self))(given, self, steps) if lateral is None else _run(*given, self, steps, lateral)
        *states, traces = found
        if self.closed:
            return History(start._make(states), traces, None)
        return History(start._make(states), traces, current if lateral is None else current + _heard(lateral, traces))

    def backward(
        self, step: Transition, ahead: NeuronState | None, heard: Tensor, surrogate: Surrogate, beta: float
    ) -> Errors:
        """Errors back through one step, by autograd through `step` and `excess`.

        Args:
            step: the step.
            ahead: −∂C/∂state of its end, by way of the steps that follow; None for nothing.
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
        """δ of a step for h = −∂C/∂s of the same step, without what lies ahead."""
        return self.backward(step, None, heard, surrogate, beta).current

    def errors(
        self,
        history: History,
        apical: Tensor,
        surrogate: Surrogate,
        beta: float,
        lateral: Lateral | None = None,
    ) -> Tensor:
        """δ = −∂C/∂I of all steps from c = −∂C/∂x, both (T, M): back through time, step by step."""
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
    """The state of step t."""
    return states._make(field[t] for field in states)


def _overrides(cls: type[Neuron], name: str) -> bool:
    """Whether a class gives a method or a property of its bases anew, other than closed forms."""
    given, bases = vars(cls)[name], cls.__mro__[1:]
    acts = callable(given) or isinstance(given, property)
    return acts and not name.startswith("__") and name not in CLOSED and any(name in vars(base) for base in bases)


def _heard(lateral: Lateral, traces: Tensor) -> Tensor:
    """V x[t−1] of all steps, (T, M)."""
    return torch.stack([torch.zeros_like(traces[0]), *(lateral.drive(trace) for trace in traces[:-1])])


def _run(current: Tensor, *given: Any) -> tuple[Tensor, ...]:
    """Every field of the state, then the traces, (T, M); `given` is the state at rest (1, M), neuron and steps."""
    (neuron, steps, *laterals), fields = given[_fields(given) :], given[: _fields(given)]
    state = type(neuron.initial((0,), current))._make(field[0] for field in fields)
    spikes, rows = torch.zeros_like(current[0]), []
    trace = spikes
    for t in range(steps):
        now = current[t if len(current) > 1 else 0]
        now = now + laterals[0].drive(trace) if laterals and t else now
        state = neuron.step(state, spikes, now)
        spikes = neuron.spikes(state).to(now.dtype)
        trace = neuron.trace(trace, spikes)
        rows.append((*state, trace))
    return tuple(map(torch.stack, zip(*rows, strict=True)))


def _fields(given: tuple[Any, ...]) -> int:
    """How many of `given` are tensors."""
    return sum(isinstance(one, Tensor) for one in given)


@functools.cache
def _compilable(cls: type[Neuron]) -> Kernel:
    """The run of a class as one compiled pass over memory inside `energy.kernels.fused`; a kernel for each class, so
    that one that cannot be compiled leaves the others."""
    return Kernel(_run, scan=True)
