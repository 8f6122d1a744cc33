"""δ and its products against autograd through the same network, written out in time by itself."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch

from energy.component import ConfigurationError, from_dict
from energy.feedback import DirectFeedback, Feedback, feedback_weights
from energy.network import Network
from energy.objectives import CrossEntropy
from energy.settle.reference import exact_settler
from energy.settle.spiking import SettledSpikes, Spiking
from energy.settle.surrogate import SurrogateBackprop
from energy.spiking.errors import VanRossum
from energy.spiking.neurons import LIF, Reset
from energy.spiking.surrogates import Logistic, Surrogate, borrowed
from tests.spiking.oracle import NETWORKS, SLOPES, STEPS, Unrolled, angle, autograd, batch, dense, gap, gradients, wired

KINDS = ("tied", "sign", "sign_unit", "sign_batch", "random", "kolen_pollack")


def shown(network: Network, x: torch.Tensor, back: Any = None, **given: Any) -> Unrolled:
    return Unrolled(network, [x] * STEPS, back=back, **given)


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_tied_wires_give_backpropagation_through_time(name: str, slope: str) -> None:
    network = NETWORKS[name]()
    x, target = batch(network)
    unrolled = shown(network, x, slope=slope)
    assert all(0 < float(torch.stack(s).detach().mean()) < 1 for s in unrolled.spikes[:2])  # something happens
    wanted = autograd(unrolled.van_rossum(target), network)
    settler = Spiking(surrogate=from_dict(Surrogate, slope))
    assert gap(gradients(settler, network, x, target), wanted) < 1e-12
    assert gap(gradients(exact_settler(settler), network, x, target), wanted) < 1e-12


def test_a_weight_read_wrongly_is_noticed() -> None:
    """The negative control: with B = 1.01 W on one layer the gradient below it is off by a hundredth."""
    network = dense()
    x, target = batch(network)
    back = {1: 1.01 * network.edges[1].coupling.get_parameter("weight").detach()}
    wrong = autograd(shown(network, x, back).van_rossum(target), network)
    found = gradients(Spiking(), network, x, target)
    assert 3e-3 < gap(found[:2], wrong[:2]) < 3e-2
    assert gap(found[2:], wrong[2:]) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_pathway_is_autograd_with_the_backward_pass_swapped(name: str, kind: str) -> None:
    network, feedback = NETWORKS[name](), from_dict(Feedback, kind)
    back = wired(network, feedback)
    x, target = batch(network)
    wanted = autograd(shown(network, x, back).van_rossum(target), network)
    found = gradients(Spiking(feedback=feedback), network, x, target)
    assert gap(found, wanted) < 1e-12
    if kind != "tied":
        assert gap(found[:1], gradients(Spiking(), network, x, target)[:1]) > 1e-2


def test_direct_wires_carry_the_error_of_the_output_to_every_layer() -> None:
    """Each layer against autograd of ⟨c, x⟩ with c = Dᵀδ_L held, layers cut from one another."""
    network = dense()
    x, target = batch(network)
    feedback = DirectFeedback()
    feedback.attach(network, seed=3)
    laid = feedback_weights(network)
    assert laid is not None
    whole = shown(network, x)
    top = [-g for g in torch.autograd.grad(whole.van_rossum(target), whole.currents[-1], allow_unused=True)]
    cut = shown(network, x, cut=True)
    merit = -cut.van_rossum(target)
    for k in (0, 1):
        feedback_weight = laid.for_edge(network.out_of(k + 1)[0])
        assert feedback_weight is not None
        merit = merit + sum(((d @ feedback_weight) * trace).sum() for d, trace in zip(top, cut.traces[k], strict=True))
    assert gap(gradients(Spiking(feedback=feedback), network, x, target), autograd(-merit, network)) < 1e-12


@pytest.mark.parametrize("reset", Reset)
@pytest.mark.parametrize("detach", [True, False])
def test_resets(reset: Reset, detach: bool) -> None:
    network = dense()
    x, target = batch(network)
    unrolled = shown(network, x, reset=reset.name.lower(), detach=detach)
    settler = Spiking(neuron=LIF(reset=reset, detach_reset=detach))
    assert gap(gradients(settler, network, x, target), autograd(unrolled.van_rossum(target), network)) < 1e-12


@pytest.mark.parametrize("reset", [Reset.ZERO, Reset.SUBTRACT])
def test_a_reset_that_is_not_detached_gives_another_gradient(reset: Reset) -> None:
    network = dense()
    x, target = batch(network)
    both = [gradients(Spiking(neuron=LIF(reset=reset, detach_reset=d)), network, x, target) for d in (True, False)]
    assert angle(torch.cat([g.flatten() for g in both[0]]), torch.cat([g.flatten() for g in both[1]])) > 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slope", SLOPES)
def test_the_error_of_a_dyad_is_of_second_order(kind: str, slope: str) -> None:
    """Halving β quarters it where Φ is smooth; the fast sigmoid has a kink in its slope."""
    network, feedback = dense(), from_dict(Feedback, kind)
    wired(network, feedback)
    x, target = batch(network)
    limit = Spiking(surrogate=from_dict(Surrogate, slope), feedback=feedback)
    wanted = gradients(limit, network, x, target)[:2]
    errors = [
        gap(gradients(dataclasses.replace(limit, beta=beta), network, x, target)[:2], wanted)
        for beta in (0.1, 0.05, 0.025)
    ]
    assert errors[0] < 0.1
    if slope != "fast_sigmoid":
        assert all(3.5 < a / b < 4.5 for a, b in itertools.pairwise(errors)), errors


def test_a_borrowed_slope_has_the_limit_and_nothing_else() -> None:
    network = dense()
    x, target = batch(network)
    surrogate = borrowed(SLOPES["logistic"])
    found = gradients(Spiking(surrogate=surrogate), network, x, target)
    assert gap(found, gradients(Spiking(surrogate=Logistic()), network, x, target)) < 1e-12
    with pytest.raises(ConfigurationError, match=r"spiking\.beta=0\.1: must be 0: this surrogate"):
        Spiking(surrogate=surrogate, beta=0.1)


def test_a_silent_layer_stops_what_is_learned_above_it_and_not_below() -> None:
    network = dense(bias=False)
    x, target = batch(network)
    with torch.no_grad():
        network.edges[1].coupling.get_parameter("weight").mul_(0.05)  # the second layer stays below its threshold
    settled = Spiking().settle(network, x, target, CrossEntropy())
    assert isinstance(settled, SettledSpikes)
    assert settled.ledger.read()["spikes"]["layer2"] == 0
    first, second, third = gradients(Spiking(), network, x, target)
    assert first.any() and second.any() and not third.any()


def test_an_output_that_is_right_teaches_nothing() -> None:
    """Zero error, zero update, whatever the wires."""
    network = dense(bias=False, gain=0.0)
    feedback = from_dict(Feedback, "random")
    with torch.no_grad():
        for p in network.parameters():
            p.fill_(0.5)
    feedback.attach(network, seed=0)
    x, target = batch(network)
    for p in gradients(Spiking(feedback=feedback), network, 0 * x, 0 * target):
        assert not p.any()


@pytest.mark.parametrize("steps", [1, 2, 11])
def test_any_number_of_steps(steps: int) -> None:
    network = dense()
    x, target = batch(network)
    wanted = autograd(Unrolled(network, [x] * steps).van_rossum(target, (1, 0)), network)
    settler = Spiking(steps=steps, error=VanRossum(pattern=[1, 0]))
    assert gap(gradients(settler, network, x, target), wanted) < 1e-12


def test_a_graph_with_skips() -> None:
    from energy.models import ResNet

    network = ResNet(channels=[3, 4]).build((2, 6, 6), 4, seed=0).double()
    x, target = batch(network)
    wanted = gradients(SurrogateBackprop(), network, 3 * x, target)
    assert gap(gradients(Spiking(), network, 3 * x, target), wanted) < 1e-12


def test_the_penalty_on_rates() -> None:
    """½λ Σ (r − r*)² of the hidden units, r in spikes a step, by autograd; the output pays none."""
    network = dense()
    x, target = batch(network)
    unrolled = shown(network, x)
    total = unrolled.van_rossum(target)
    for spikes in unrolled.spikes[:-1]:
        total = total + 0.7 / 2 * (torch.stack(spikes).mean(0) - 0.2).square().sum()
    settler = Spiking(rate_strength=0.7, rate=0.2)
    wanted = autograd(total, network)
    assert gap(gradients(settler, network, x, target), wanted) < 1e-12
    assert gap(gradients(exact_settler(settler), network, x, target), wanted) < 1e-12


def test_the_exact_reference_keeps_the_neuron_and_drops_the_wires() -> None:
    settler = Spiking(steps=7, neuron=LIF(tau_m=8.0), feedback=from_dict(Feedback, "sign"), beta=0.1)
    reference = exact_settler(settler)
    assert isinstance(reference, SurrogateBackprop)
    assert (reference.steps, reference.neuron) == (7, LIF(tau_m=8.0))
    assert exact_settler(reference) is reference


@pytest.mark.parametrize("kind", ["tied", "sign"])
def test_bfloat16_and_float32_point_the_same_way(kind: str) -> None:
    network, feedback = dense(), from_dict(Feedback, kind)
    wired(network, feedback)
    x, target = batch(network, 64)
    settler = Spiking(feedback=feedback)
    wanted = torch.cat([g.flatten() for g in gradients(settler, network, x, target)])
    for dtype, most in ((torch.float32, 2.0), (torch.bfloat16, 25.0)):
        found = gradients(settler, network.float(), x.to(dtype), target.to(dtype))
        assert all(g.dtype == torch.float32 for g in found)
        assert angle(torch.cat([g.flatten() for g in found]).double(), wanted) < most
