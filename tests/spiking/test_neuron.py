"""The base of neurons: closed forms against autograd through `step`, and a neuron of one's own compared with itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError, choices, from_dict
from energy.feedback import Feedback
from energy.kernels import fused
from energy.network import Network
from energy.objectives import CrossEntropy
from energy.settle.reference import exact_settler
from energy.settle.spiking import Spiking, TemporalCredit
from energy.settle.surrogate import SurrogateBackprop
from energy.spiking.adaptive import AdaptiveLIF
from energy.spiking.neuron import Errors, History, Neuron, Transition
from energy.spiking.neurons import LIF, Leaky, Membrane, Reset
from energy.spiking.surrogates import Surrogate
from tests.spiking.oracle import NETWORKS, STEPS, Unrolled, autograd, batch, dense, gap, gradients, wired

RESETS = [(reset, detach) for reset in Reset for detach in (True, False)]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Decided(NamedTuple):
    """A membrane and a slower one that it charges."""

    membrane: Tensor
    slow: Tensor
    last: Tensor


class Resonant(LIF):
    """Other dynamics than its base: the current through a tanh, a second variable, a reset that is soft."""

    def initial(self, shape: torch.Size | tuple[int, ...], like: Tensor) -> Decided:  # type: ignore[override]
        return Decided(*(like.new_zeros(shape) for _ in range(3)))

    def step(self, state: Decided, spikes: Tensor, current: Tensor) -> Decided:  # type: ignore[override]
        slow = 0.7 * state.slow + 0.3 * state.membrane - 0.2 * spikes
        return Decided(0.6 * state.membrane * (1 - 0.5 * spikes) + 2 * current.tanh() - 0.4 * slow, slow, spikes)

    def excess(self, state: Decided) -> Tensor:  # type: ignore[override]
        return state.membrane - self.threshold - 0.1 * state.last


class Quicker(LIF):
    """The dynamics of its base, another default."""

    tau_m: float = 2.0


NEURONS: dict[str, Neuron] = {
    "alif": AdaptiveLIF(tau_a=3.0, strength=0.3),
    "alif, reset not detached": AdaptiveLIF(tau_a=3.0, strength=0.3, detach_reset=False),
    "alif, subtracting": AdaptiveLIF(reset=Reset.SUBTRACT),
    "of one's own": Resonant(),
}


@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("name", choices(Surrogate))
@pytest.mark.parametrize(("reset", "detach"), RESETS)
def test_the_closed_form_of_a_step_is_autograd_through_it(reset: Reset, detach: bool, name: str, beta: float) -> None:
    neuron, surrogate = LIF(tau_m=4.0, reset=reset, detach_reset=detach), from_dict(Surrogate, name)
    before, current = Membrane(1 + 0.5 * noise(200)), noise(200, seed=1)
    spikes = neuron.spikes(before).double()
    step = Transition(before, spikes, current, neuron.step(before, spikes, current))
    heard, ahead = noise(200, seed=2), Membrane(noise(200, seed=3))
    for later in (None, ahead):
        closed = neuron.backward(step, later, heard, surrogate, beta)
        default = Neuron.backward(neuron, step, later, heard, surrogate, beta)
        torch.testing.assert_close(closed.current, default.current, rtol=0, atol=1e-12)
        torch.testing.assert_close(closed.before.membrane, default.before.membrane, rtol=0, atol=1e-12)
        through = torch.zeros(200).double() if closed.spikes is None else closed.spikes
        torch.testing.assert_close(through, default.spikes, rtol=0, atol=1e-12)
        assert bool(through.any()) == (not detach and reset is not Reset.NONE)
    present = neuron.instantaneous_error(step, heard, surrogate, beta)
    torch.testing.assert_close(
        present, Neuron.instantaneous_error(neuron, step, heard, surrogate, beta), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("name", choices(Surrogate))
@pytest.mark.parametrize(("reset", "detach"), RESETS)
def test_the_closed_form_of_all_steps_is_the_default(reset: Reset, detach: bool, name: str, beta: float) -> None:
    """The scan in closed form, and step by step by autograd."""

    class ByAutograd(LIF):
        backward = Neuron.backward

    given = {"tau_m": 4.0, "tau_s": 2.5, "reset": reset, "detach_reset": detach}
    current, apical, surrogate = 1.5 * noise(7, 60), noise(7, 60, seed=1), from_dict(Surrogate, name)
    closed, default = LIF(**given), ByAutograd(**given)  # type: ignore[arg-type]
    assert default.run(current, 7).currents is current and closed.run(current, 7).currents is None
    found = closed.errors(closed.run(current, 7), apical, surrogate, beta)
    wanted = default.errors(default.run(current, 7), apical, surrogate, beta)
    assert float(wanted.abs().max()) > 0.1
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    stepwise = Neuron.errors(closed, closed.run(current, 7), apical, surrogate, beta)
    torch.testing.assert_close(stepwise, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", NEURONS)
def test_every_neuron_has_the_gradient_of_its_own_reference(name: str, network: str) -> None:
    found = NETWORKS[network]()
    x, target = batch(found)
    settler = Spiking(neuron=NEURONS[name])
    exact = gradients(settler, found, x, target)
    assert all(float(g.norm()) > 0 for g in exact)
    assert gap(exact, gradients(exact_settler(settler), found, x, target)) < 1e-12
    assert gap(exact, gradients(Spiking(), found, x, target)) > 1e-2


@pytest.mark.parametrize("reset", Reset)
@pytest.mark.parametrize("detach", [True, False])
def test_the_adaptive_unit_from_its_equations(reset: Reset, detach: bool) -> None:
    """Spikes, membranes and gradient of a network written out in time by itself."""
    network = dense(gain=2.5)
    x, target = batch(network)
    neuron = AdaptiveLIF(tau_a=4.0, strength=0.25, reset=reset, detach_reset=detach)
    unrolled = Unrolled(network, [x] * STEPS, reset=reset.name.lower(), detach=detach, tau_a=4.0, strength=0.25)
    settler = Spiking(neuron=neuron)
    settled: Any = settler.settle(network, x, target, CrossEntropy())
    for k in (1, 2, 3):
        torch.testing.assert_close(
            settled.activity.unfold(settled.activity.spikes(k)).double(), torch.stack(unrolled.spikes[k - 1]).detach()
        )
    assert gap(gradients(settler, network, x, target), autograd(unrolled.van_rossum(target), network)) < 1e-12


def test_an_adaptive_unit_fires_less_and_without_strength_as_a_plain_one() -> None:
    """ρ = ¾, b = ½: under 1.2 at every step θ + b a is 1, 1.5, 1.375, 1.28…, 1.21…, 1.16: it fires first and last."""
    current, steps = torch.tensor([[1.2]]).double(), 6
    neuron = AdaptiveLIF(tau_m=1.0, tau_a=4.0, strength=0.5)
    assert neuron.spikes(neuron.run(current, steps).states).flatten().int().tolist() == [1, 0, 0, 0, 0, 1]
    still = AdaptiveLIF(strength=0.0).run(noise(9, 50), 9)
    plain = LIF().run(noise(9, 50), 9)
    assert torch.equal(still.traces, plain.traces) and torch.equal(still.states.membrane, plain.states.membrane)


@pytest.mark.parametrize("credit", [TemporalCredit.CAUSAL, TemporalCredit.INSTANT, TemporalCredit.ONLINE])
@pytest.mark.parametrize("name", NEURONS)
def test_credit_that_runs_along_simulates_the_same_neuron(name: str, credit: TemporalCredit) -> None:
    network = dense()
    x, target = batch(network)
    exact, running = (
        Spiking(neuron=NEURONS[name], credit=one).settle(network, x, target, CrossEntropy())
        for one in (TemporalCredit.ADJOINT, credit)
    )
    torch.testing.assert_close(running.output, exact.output)
    assert running.ledger.read()["spikes"] == exact.ledger.read()["spikes"]
    plain = Spiking(credit=credit).settle(network, x, target, CrossEntropy())
    assert not torch.equal(running.output, plain.output)


@pytest.mark.parametrize("name", NEURONS)
def test_one_step_has_no_past(name: str) -> None:
    """T = 1, spikes without a trace: present and exact credit are then one, whatever the neuron."""
    network, neuron = dense(), type(NEURONS[name])(tau_s=1.0)
    x, target = batch(network)
    once = {"steps": 1, "neuron": neuron, "error": build_error()}
    exact = gradients(Spiking(**once), network, x, target)
    for credit in (TemporalCredit.CAUSAL, TemporalCredit.INSTANT):
        assert gap(gradients(Spiking(credit=credit, **once), network, x, target), exact) < 1e-12


def build_error() -> Any:
    from energy.spiking.errors import VanRossum

    return VanRossum(pattern=[1])


def test_a_closed_form_belongs_to_the_dynamics_it_was_derived_from() -> None:
    """Whoever changes the dynamics goes back to autograd; whoever changes a default does not."""
    assert LIF().closed and Quicker().closed and not Resonant().closed and not AdaptiveLIF().closed
    assert Resonant.errors is Neuron.errors and Quicker.errors is LIF.errors
    assert Leaky.backward is Neuron.backward

    class Leakier(LIF):
        def leak_and_reset(self, membrane: Tensor, spikes: Tensor) -> Tensor:
            return super().leak_and_reset(membrane, spikes) * 0.9

    class Solved(Resonant):
        def backward(self, step: Transition, ahead: Any, heard: Tensor, surrogate: Surrogate, beta: float) -> Errors:
            return Neuron.backward(self, step, ahead, heard, surrogate, beta)

    assert not Leakier().closed and Solved().closed and Solved.errors is Neuron.errors
    network = dense()
    x, target = batch(network)
    settler = Spiking(neuron=Leakier())
    assert gap(gradients(settler, network, x, target), gradients(exact_settler(settler), network, x, target)) < 1e-12


@pytest.mark.parametrize("kind", ["sign", "random", "direct"])
def test_feedback_weights_carry_the_errors_of_any_neuron(kind: str) -> None:
    network, feedback = dense(), from_dict(Feedback, kind)
    feedback.attach(network, seed=2)
    x, target = batch(network)
    found = gradients(Spiking(neuron=AdaptiveLIF(), feedback=feedback), network, x, target)
    if kind != "direct":
        back = wired(network, feedback, seed=2)
        unrolled = Unrolled(network, [x] * STEPS, back=back, tau_a=20.0, strength=0.2)
        assert gap(found, autograd(unrolled.van_rossum(target), network)) < 1e-12
    assert gap(found[:1], gradients(Spiking(feedback=feedback), network, x, target)[:1]) > 1e-3


def test_a_dyad_of_any_neuron_has_its_limit() -> None:
    network = dense()
    x, target = batch(network)
    wanted = gradients(Spiking(neuron=Resonant()), network, x, target)
    one, half = (gap(gradients(Spiking(neuron=Resonant(), beta=b), network, x, target), wanted) for b in (0.1, 0.05))
    assert 3.5 < one / half < 4.5


def test_a_neuron_of_ones_own_compiles() -> None:
    neuron, current = AdaptiveLIF(), noise(6, 130)
    plain = neuron.run(current, 6)
    with fused(smallest=1):
        compiled = neuron.run(current, 6)
    torch.testing.assert_close(compiled.traces, plain.traces, rtol=0, atol=1e-12)
    torch.testing.assert_close(compiled.states.adaptation, plain.states.adaptation, rtol=0, atol=1e-12)


def test_transitions_of_a_history() -> None:
    neuron, current = LIF(), noise(4, 30)
    history = neuron.run(current, 4)
    for t in range(4):
        step = History(history.states, history.traces, current).transition(neuron, t)
        assert step.current is not None
        assert torch.equal(neuron.step(step.before, step.spikes, step.current).membrane, step.after.membrane)


def test_what_a_neuron_must_say() -> None:
    class Nothing(Neuron):
        """Neither state nor dynamics."""

    network: Network = dense()
    x, target = batch(network)
    with pytest.raises(NotImplementedError, match="Nothing must define initial"):
        Spiking(neuron=Nothing()).settle(network, x, target, CrossEntropy())
    for field, words in (({"tau_a": 0.5}, "tau_a=0.5: must be at least 1"), ({"strength": -1.0}, "strength=-1.0")):
        with pytest.raises(ConfigurationError, match=words):
            from_dict(Neuron, {"name": "alif", **field})
    assert isinstance(exact_settler(Spiking(neuron=AdaptiveLIF())), SurrogateBackprop)
