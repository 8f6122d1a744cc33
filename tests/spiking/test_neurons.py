"""The unit: its recursion by hand, its exact spike time from the differential equation, other libraries' spikes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError, from_dict
from energy.kernels import fused
from energy.spiking.neuron import History
from energy.spiking.neurons import LIF, Membrane, Reset
from energy.spiking.surrogates import Arctangent, FastSigmoid, Logistic, Surrogate

TAU, CURRENT = 5.0, 1.7  # one leaky unit under a constant current, threshold 1
EXACT = TAU * math.log(CURRENT / (CURRENT - 1))  # u(t) = I (1 − e^{−t/τ}) = 1
SLOPE = TAU * (1 / CURRENT - 1 / (CURRENT - 1))  # its derivative with respect to the current


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shown(neuron: LIF, current: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """u and x of a run."""
    history = neuron.run(current, steps)
    return history.states.membrane, history.traces


def pulled(neuron: LIF, u: Tensor, apical: Tensor, surrogate: Surrogate, beta: float = 0.0) -> Tensor:
    """δ of given membranes."""
    return neuron.errors(History(Membrane(u), torch.zeros_like(u), None), apical, surrogate, beta)


def test_three_steps_by_hand() -> None:
    """λ = ¾, κ = ½, θ = 1. Zero: 0.8, 1.4 (fires), 0.8. Subtract: 0.8, 1.4, 0.85. None: 0.8, 1.4, 1.85."""
    wanted = {Reset.ZERO: 0.8, Reset.SUBTRACT: 0.75 * 1.4 - 1 + 0.8, Reset.NONE: 0.75 * 1.4 + 0.8}
    for reset, third in wanted.items():
        u, x = shown(LIF(tau_m=4.0, tau_s=2.0, reset=reset), torch.tensor([[0.8]]).double(), 3)
        torch.testing.assert_close(u.flatten(), torch.tensor([0.8, 1.4, third]).double())
        torch.testing.assert_close(x.flatten(), torch.tensor([0, 0.5, 0.25 + 0.5 * (third > 1)]).double())


def test_the_threshold_itself_does_not_fire() -> None:
    states, x, _ = LIF().run(torch.tensor([[1.0, 1.0 + 1e-12]], dtype=torch.float64), 1)
    assert x.tolist() == [[0.0, pytest.approx(1 / 3)]]
    assert LIF().spikes(states).tolist() == [[False, True]]


def test_a_constant_current_is_the_same_current_at_every_step() -> None:
    current = noise(1, 40)
    for one, other in zip(shown(LIF(), current, 6), shown(LIF(), current.expand(6, 40).contiguous(), 6), strict=True):
        assert torch.equal(one, other)


def test_the_spike_time_of_an_adaptive_integrator_is_the_analytic_one() -> None:
    """torchdiffeq's events: τ u̇ = I − u from 0 to 1, and dt/dI by its adjoint."""
    from torchdiffeq import odeint_event

    current = torch.tensor(CURRENT, dtype=torch.float64, requires_grad=True)
    begin, rest = torch.zeros((), dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    time, _ = odeint_event(
        lambda t, u: (current - u) / TAU, rest, begin, event_fn=lambda t, u: u[0] - 1.0, rtol=1e-10, atol=1e-12
    )
    (slope,) = torch.autograd.grad(time, current)
    assert math.isclose(EXACT, 4.43651598, abs_tol=1e-8) and math.isclose(SLOPE, -4.20168067, abs_tol=1e-8)
    assert float(time.detach()) == pytest.approx(EXACT, abs=1e-7)
    assert float(slope) == pytest.approx(SLOPE, abs=1e-6)


@pytest.mark.parametrize("h", [1.0, 0.5, 0.1, 0.01])
def test_the_grid_fires_late_by_less_than_a_step(h: float) -> None:
    """The unit with the exact leak over h, e^{−h/τ}, and the current that adds what flows in h: a spike can only wait
    for the next point of the grid."""
    leak = math.exp(-h / TAU)
    neuron = LIF(tau_m=1 / (1 - leak), tau_s=1.0)
    _, x = shown(neuron, torch.tensor([[CURRENT * (1 - leak)]], dtype=torch.float64), math.ceil(6 / h))
    late = h * (int(x.flatten().nonzero()[0]) + 1) - EXACT  # step t ends at (t + 1) h
    assert 0 <= late < h


def test_the_spikes_of_snntorch() -> None:
    """Leaky with a reset to zero, and by subtraction: the same spikes, membranes to its float32 leak."""
    snntorch = pytest.importorskip("snntorch")
    current = 0.6 * noise(40, 300)
    for mechanism, reset in (("zero", Reset.ZERO), ("subtract", Reset.SUBTRACT), ("none", Reset.NONE)):
        theirs = snntorch.Leaky(beta=0.8, threshold=1.0, reset_mechanism=mechanism)
        membrane, spikes, membranes = torch.zeros(300, dtype=torch.float64), [], []
        for now in current:
            fired, membrane = theirs(now, membrane)
            spikes.append(fired)
            membranes.append(membrane)
        neuron = LIF(tau_m=5.0, reset=reset)
        u, _ = shown(neuron, current, 40)
        fired = neuron.spikes(Membrane(u))
        assert int(fired.sum()) > 300
        assert torch.equal(fired, torch.stack(spikes).bool())
        torch.testing.assert_close(u, torch.stack(membranes).double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("reset", Reset)
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_the_way_back_is_the_transposed_recursion(reset: Reset, detach: bool, beta: float) -> None:
    """p and δ from their definition, one unit and one number at a time."""
    neuron, surrogate = LIF(tau_m=4.0, tau_s=2.5, reset=reset, detach_reset=detach), Logistic()
    u, apical = 1 + 0.5 * noise(7, 3), noise(7, 3, seed=1)
    p, delta, wanted = torch.zeros(3).double(), torch.zeros(3).double(), []
    for t in reversed(range(7)):
        fired = (u[t] > 1).double()
        p = apical[t] + neuron.decay * p
        heard = (1 - neuron.decay) * p
        if not detach:
            heard = heard + {Reset.ZERO: -neuron.leak * u[t], Reset.SUBTRACT: -1.0, Reset.NONE: 0.0}[reset] * delta
        own = surrogate.slope(u[t] - 1) * heard
        if beta:
            ends = [torch.sigmoid((u[t] - 1 + sign * beta / 2 * heard) / 0.2) for sign in (1, -1)]
            own = (ends[0] - ends[1]) / beta
        delta = own + neuron.leak * (1 - fired if reset is Reset.ZERO else 1) * delta
        wanted.append(delta)
    torch.testing.assert_close(
        pulled(neuron, u, apical, surrogate, beta), torch.stack(wanted[::-1]), rtol=0, atol=1e-13
    )


def test_filtering_an_error_backwards_is_a_trace_forwards() -> None:
    """Σ_t (k*ᵀ d)[t] x[t] = Σ_t d[t] (k* x)[t]: what goes back through a membrane without a reset, and eligibility."""
    leak, d, x = 0.8, noise(9, 5), noise(9, 4, seed=1)
    back, trace = torch.zeros(5).double(), torch.zeros(4).double()
    one = other = torch.zeros(5, 4).double()
    for t in range(9):
        trace = leak * trace + x[t]
        other = other + torch.outer(d[t], trace)
    for t in reversed(range(9)):
        back = leak * back + d[t]
        one = one + torch.outer(back, x[t])
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    neuron = LIF(tau_m=5.0, tau_s=1.0, reset=Reset.NONE)
    found = pulled(neuron, torch.zeros(9, 5).double(), d, Flat())  # its way back is that filter
    torch.testing.assert_close(torch.einsum("ti,tj->ij", found, x), one, rtol=0, atol=1e-12)


class Flat(Surrogate):
    """Φ′ = 1."""

    def slope(self, v: Tensor) -> Tensor:
        return torch.ones_like(v)


COMPILED = [
    (Logistic(), LIF(), torch.float32),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in (
            (Logistic(), LIF(), torch.float64),
            (Logistic(), LIF(), torch.bfloat16),
            (Arctangent(), LIF(tau_m=3.0, reset=Reset.SUBTRACT, detach_reset=False), torch.float64),
            (FastSigmoid(), LIF(reset=Reset.NONE), torch.float64),
        )
    ),
]


@pytest.mark.parametrize(("surrogate", "neuron", "dtype"), COMPILED)
def test_compiled_scans_are_the_plain_ones(surrogate: Surrogate, neuron: LIF, dtype: torch.dtype) -> None:
    rounding = {torch.float64: 1e-13, torch.float32: 1e-5}.get(dtype)
    current, apical = noise(6, 130).to(dtype), noise(6, 130, seed=1).to(dtype)
    u, x = shown(neuron, current, 6)
    with fused(smallest=1):
        found = (*shown(neuron, current, 6), pulled(neuron, u, apical, surrogate))
    if rounding is None:  # compiled it rounds once, plain after every operation: near the threshold the two part
        assert float((found[0] - u).abs().median()) < 0.02
        return
    for one, other in zip(found, (u, x, pulled(neuron, u, apical, surrogate)), strict=True):
        torch.testing.assert_close(one, other, rtol=rounding, atol=rounding)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"tau_m": 0.5}, r"neuron\.tau_m=0\.5: must be at least 1 step"),
        ({"tau_m": float("nan")}, "neuron.tau_m"),
        ({"tau_s": float("inf")}, "neuron.tau_s=inf: must be at least 1 step, and finite"),
        ({"threshold": 0.0}, "neuron.threshold=0.0: must be above 0"),
        ({"reset": "soft"}, "neuron.reset=soft: unknown value; did you mean .*known: none, subtract, zero"),
    ],
)
def test_what_is_refused(field: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        from_dict(LIF, {"name": "lif", **field})


def test_a_unit_without_a_leak_adds_up() -> None:
    u, _ = shown(LIF(tau_m=float("inf")), torch.tensor([[0.3]]).double(), 4)
    torch.testing.assert_close(u.flatten(), torch.tensor([0.3, 0.6, 0.9, 1.2]).double())
