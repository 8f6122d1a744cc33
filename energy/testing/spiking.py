"""The contracts of neurons, surrogates and spike-train errors: derivatives that are those of their functions."""

from __future__ import annotations

import torch
from torch import Tensor

from energy.settle.surrogate import Spike
from energy.spiking.errors import SpikeError, SpikeTrain
from energy.spiking.neuron import Neuron
from energy.spiking.surrogates import Logistic, Surrogate
from energy.testing.claim import agree, claim, noise, promise, public_check, tensor


@public_check(Surrogate, "derive it from energy.spiking.surrogates.Surrogate")
@promise("slope(v), value(v) and secant(v, h, beta) must give one number per unit")
def check_surrogate(surrogate: Surrogate, *, device: str = "cpu") -> list[str]:
    """Check a surrogate; it must define `slope`.

    The slope is finite, not negative and of the shape and dtype of v; if there is a value, the slope is its derivative,
    it lies in [0, 1] and rises, and a dyad is the difference of two values over β.
    """
    v = torch.linspace(-2, 2, 401, dtype=torch.float64, device=device)
    slope = tensor(surrogate, "slope", surrogate.slope(v))
    claim(slope.shape == v.shape and torch.isfinite(slope).all(), surrogate, "slope is not one finite number per unit")
    claim((slope >= 0).all(), surrogate, "slope is negative somewhere")
    claim(surrogate.slope(v.float()).dtype == torch.float32, surrogate, "dtype must follow the input")
    if not surrogate.paired:
        return [f"{surrogate.name or type(surrogate).__name__}: value is not defined, so beta > 0 was not checked"]
    with torch.enable_grad():
        leaf = v.clone().requires_grad_()
        (wanted,) = torch.autograd.grad(surrogate.value(leaf).sum(), leaf)
    agree(surrogate, "slope against autograd of value", slope, wanted, 1e-9)
    value = surrogate.value(v)
    claim((value >= 0).all() and (value <= 1).all() and (value.diff() >= 0).all(), surrogate, "value is no probability")
    h, beta = noise("h", len(v), device=device), 0.3
    ends = (surrogate.value(v + beta / 2 * h) - surrogate.value(v - beta / 2 * h)) / beta
    agree(surrogate, "secant against two values", surrogate.secant(v, h, beta), ends, 1e-8)
    return []


@public_check(Neuron, "derive it from energy.spiking.neuron.Neuron")
@promise("step(state, spikes, current) must give a state like initial(shape, like), excess(state) one number per unit")
def check_neuron(neuron: Neuron, *, device: str = "cpu") -> list[str]:
    """Check a spiking neuron; it must define `initial`, `step` and `excess`.

    Its state keeps shape and dtype, a step leaves its arguments alone, units are independent, some fire, and the errors
    of the backward pass, by autograd or in closed form, are those of a tape over the same steps.
    """
    current, apical = 2 * noise("current", 6, 40, device=device), noise("apical", 6, 40, device=device)
    for dtype in (torch.float64, torch.float32):
        _states(neuron, current[0].to(dtype))
    history, surrogate = neuron.run(current, 6), Logistic()
    fired = neuron.spikes(history.states)
    claim(fired.any() and not fired.all(), neuron, "fires never, or always, under currents of about 2")
    alone = neuron.run(current[:, 3:5], 6)
    for one, other in zip((*alone.states, alone.traces), (*history.states, history.traces), strict=True):
        agree(neuron, "a run of two units alone", one, other[:, 3:5], 1e-12)
    wanted = _taped(neuron, current, apical)
    agree(neuron, "errors against autograd", neuron.errors(history, apical, surrogate, 0.0), wanted, 1e-9)
    return []


def _states(neuron: Neuron, current: Tensor) -> None:
    """Claim that a step gives a new state of the kind and shape of the one at rest."""
    rest, still = neuron.initial(current.shape, current), torch.ones_like(current)
    held = [one.clone() for one in (*rest, still)]
    after = neuron.step(rest, still, current)
    claim(hasattr(rest, "_make") and type(after) is type(rest), neuron, "state is not one and the same NamedTuple")
    for name, one in zip((*rest._fields, "excess"), (*after, neuron.excess(after)), strict=True):
        found = tensor(neuron, name, one)
        claim(
            found.shape == current.shape and found.dtype == current.dtype, neuron, f"{name} has another shape or dtype"
        )
    same = all(torch.equal(one, other) for one, other in zip((*rest, still), held, strict=True))
    claim(same, neuron, "step writes to what it is given")


def _taped(neuron: Neuron, current: Tensor, apical: Tensor) -> Tensor:
    """∂Σ⟨c, x⟩/∂I with the slope of a surrogate at each spike, by autograd over all steps."""
    with torch.enable_grad():
        given = current.clone().requires_grad_()
        spikes = trace = torch.zeros_like(current[0])
        state, total = neuron.initial(current.shape[1:], current), torch.zeros_like(current[0]).sum()
        for now, heard in zip(given, apical, strict=True):
            state = neuron.step(state, spikes, now)
            spikes = Spike.apply(neuron.excess(state), Logistic())
            trace = neuron.decay * trace + (1 - neuron.decay) * spikes
            total = total + (heard * trace).sum()
        claim(total.requires_grad, neuron, "step is cut from autograd: no detach, no_grad or NumPy in it")
        return torch.autograd.grad(total, given)[0]


@public_check(SpikeError, "derive it from energy.spiking.errors.SpikeError")
@promise("value(train, target) must give one number per sample, gradient(train, target) its derivative")
def check_spike_error(error: SpikeError, *, device: str = "cpu") -> list[str]:
    """Check a spike-train error; it must define `value` and `gradient`, a local one `cost` and `at`.

    On random trains, with spikes as a function of their traces: one finite value per sample, from that sample alone;
    the gradient with respect to the trace is autograd's.
    """
    decay, steps = 0.6, 6
    samples, classes = 5, 4
    spikes = (noise("spikes", steps, samples, classes, device=device) > 0.3).double()
    target = torch.eye(classes, dtype=torch.float64, device=device)[torch.arange(samples) % classes]
    trace, rows = torch.zeros_like(spikes[0]), []
    for now in spikes:
        trace = decay * trace + (1 - decay) * now
        rows.append(trace)
    with torch.enable_grad():
        traces = torch.stack(rows).requires_grad_()
        before = torch.cat([torch.zeros_like(traces[:1]), traces[:-1]])
        train = SpikeTrain((traces - decay * before) / (1 - decay), traces, decay)
        value = tensor(error, "value", error.value(train, target))
        claim(value.requires_grad, error, "value is cut from autograd: no detach, no_grad or NumPy in it")
        (wanted,) = torch.autograd.grad(value.sum(), traces)
    claim(value.shape == (samples,) and torch.isfinite(value).all(), error, "value is not one finite number per sample")
    train = SpikeTrain(spikes, traces.detach(), decay)
    found = error.gradient(train, target)
    agree(error, "gradient against autograd of value", found, wanted, 1e-9)
    alone = SpikeTrain(spikes[:, 1:2], traces.detach()[:, 1:2], decay)
    agree(error, "value of one sample alone", error.value(alone, target[1:2]), value.detach()[1:2], 1e-12)
    return []
