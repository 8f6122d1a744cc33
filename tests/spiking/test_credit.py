"""Credit that keeps running traces: each from its definition, its angle to the exact gradient, and its memory."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError, from_dict
from energy.couplings import Dense, Module
from energy.feedback import DirectFeedback, Feedback, feedback_weights
from energy.network import Network
from energy.objectives import CrossEntropy
from energy.potentials import Identity, ReLU
from energy.rules.contrast import Contrast
from energy.settle.reference import exact_settler
from energy.settle.spiking import SettledOnline, SettledSpikes, Spiking, TemporalCredit
from energy.settle.surrogate import SurrogateBackprop
from energy.spiking.encoders import Latency
from energy.spiking.errors import RateCrossEntropy, VanRossum
from energy.spiking.neurons import LIF, Reset
from energy.study.memory import peak_bytes
from tests.spiking.oracle import (
    NETWORKS,
    SLOPES,
    STEPS,
    TAU_S,
    Unrolled,
    angle,
    autograd,
    batch,
    chain,
    dense,
    gap,
    gradients,
    wired,
)

RUNNING = [TemporalCredit.CAUSAL, TemporalCredit.INSTANT, TemporalCredit.ONLINE]


def by_hand(
    network: Network, inputs: Sequence[Tensor], target: Tensor, credit: TemporalCredit, feedback: Feedback
) -> list[Tensor]:
    """Minus the update of a chain of dense layers without biases, from the definition: whole histories, then sums."""
    back = wired(network, feedback)
    laid, depth = feedback_weights(network), len(network.layers)
    run = Unrolled(network, inputs)
    pre = [list(inputs), *run.traces[:-1]]
    wanted, zero = (
        torch.zeros_like(target),
        [torch.zeros(len(target), *layer.shape).double() for layer in network.layers],
    )
    history: list[list[Tensor]] = []
    total = [torch.zeros_like(p) for p in network.parameters()]
    for t in range(len(inputs)):
        wanted = (1 - 1 / TAU_S) * wanted + target * (0, 1, 1, 1, 1)[t % 5] / TAU_S
        before = history[-1] if history else zero
        delta = [torch.zeros(0)] * depth
        for k in reversed(range(depth)):
            apical = run.traces[-1][t] - wanted
            if k < depth - 1:
                above = before if credit is TemporalCredit.ONLINE else delta
                if isinstance(feedback, DirectFeedback):
                    assert laid is not None
                    feedback_weight = laid.for_edge(network.edges[k + 1])
                    assert feedback_weight is not None
                    apical = above[-1] @ feedback_weight
                else:
                    apical = above[k + 1] @ back.get(k + 1, network.edges[k + 1].coupling.get_parameter("weight"))
            delta[k] = SLOPES["logistic"](run.membranes[k][t] - 1) * apical
        history.append(delta)
        for k in range(depth):
            past = range(t, t + 1) if credit is TemporalCredit.INSTANT else range(t + 1)
            heard = sum(0.8 ** (t - i) * pre[k][i] for i in past)
            total[k] = total[k] + delta[k].T @ heard
    return total


@pytest.mark.parametrize("kind", ["tied", "sign", "random", "direct"])
@pytest.mark.parametrize("credit", RUNNING)
def test_each_credit_from_its_definition(credit: TemporalCredit, kind: str) -> None:
    network, feedback = dense(bias=False), from_dict(Feedback, kind)
    x, target = batch(network)
    with torch.no_grad():
        wanted = by_hand(network, [x] * STEPS, target, credit, feedback)
    found = gradients(Spiking(credit=credit, feedback=feedback), network, x, target)
    assert all(float(g.norm()) > 0 for g in found)
    assert gap(found, wanted) < 1e-12


def test_an_input_that_changes_in_time() -> None:
    network = dense(bias=False)
    x, target = batch(network)
    x = (x / 2).clamp(0, 1)
    inputs = list(3 * Latency().encode(x, STEPS))
    settler = Spiking(credit=TemporalCredit.CAUSAL, encoder=Latency())
    with torch.no_grad():
        for edge in network.edges[:1]:
            edge.coupling.get_parameter("weight").mul_(3)
        wanted = by_hand(network, [i / 3 for i in inputs], target, TemporalCredit.CAUSAL, from_dict(Feedback, "tied"))
    assert gap(gradients(settler, network, x, target), wanted) < 1e-12


def test_the_eligibility_identity() -> None:
    """One layer without a reset, its trace the spike: an error filtered back through the membrane is the present error
    with the eligibility, so causal credit is exact, biases included; with a reset it is not."""
    network = chain(Dense(8, 4), shape=(8,))
    x, target = batch(network)
    for reset, exact in ((Reset.NONE, True), (Reset.ZERO, False)):
        neuron = LIF(tau_s=1.0, reset=reset)
        causal = gradients(Spiking(credit=TemporalCredit.CAUSAL, neuron=neuron), network, x, target)
        wanted = autograd(
            Unrolled(network, [x] * STEPS, tau_s=1.0, reset=reset.name.lower()).van_rossum(target, tau_s=1.0), network
        )
        assert (gap(causal, wanted) < 1e-12) == exact


BANDS = {TemporalCredit.CAUSAL: (5, 40), TemporalCredit.INSTANT: (8, 45), TemporalCredit.ONLINE: (5, 65)}


@pytest.mark.parametrize("credit", RUNNING)
def test_the_angle_to_the_exact_gradient_at_the_start(credit: TemporalCredit) -> None:
    """64-40-30-10, T = 8, weights as they start: approximate, and far from a right angle."""
    low, high = BANDS[credit]
    for seed in range(3):
        network = chain(Dense(64, 40), Dense(40, 30), Dense(30, 10), shape=(64,), seed=seed, gain=2**0.5, bias=0.0)
        x, target = batch(network, 64, seed)
        settler = Spiking(steps=8, credit=credit)
        exact = gradients(exact_settler(settler), network, x / 2, target)
        for name, one, other in zip("123", gradients(settler, network, x / 2, target)[::2], exact[::2], strict=True):
            assert low / 5 < angle(one, other) < high, f"layer {name}, seed {seed}"


@pytest.mark.parametrize("credit", RUNNING)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns_from_running_traces(name: str, credit: TemporalCredit) -> None:
    """Where T is one step there is no past: causal and instant credit are then one."""
    network = NETWORKS[name]()
    x, target = batch(network)
    found = gradients(Spiking(credit=credit), network, x, target)
    assert all(bool(torch.isfinite(g).all()) for g in found) and any(bool(g.any()) for g in found)
    if credit is TemporalCredit.INSTANT:
        once = {"steps": 1, "error": VanRossum(pattern=[1])}
        causal = gradients(Spiking(credit=TemporalCredit.CAUSAL, **once), network, x, target)
        assert gap(gradients(Spiking(credit=credit, **once), network, x, target), causal) == 0


def memory(settler: SurrogateBackprop | Spiking, steps: int) -> int:
    """Bytes at the peak of one settling, 200 samples of 64-300-300-10."""
    network = chain(Dense(64, 300), Dense(300, 300), Dense(300, 10), shape=(64,))
    x, target = batch(network, 200)
    settler = type(settler)(**{**vars(settler), "steps": steps})
    step = lambda: settler.settle(network, x, target, CrossEntropy())  # noqa: E731
    step()
    return peak_bytes(step, torch.device("cpu"))


@pytest.mark.parametrize("credit", RUNNING)
def test_memory_does_not_grow_with_time(credit: TemporalCredit) -> None:
    settler = Spiking(credit=credit)
    assert memory(settler, 40) < 1.05 * memory(settler, 10)


@pytest.mark.parametrize("settler", [Spiking(), SurrogateBackprop()], ids=lambda s: s.name)
def test_memory_of_exact_credit_grows_with_time(settler: SurrogateBackprop | Spiking) -> None:
    assert memory(settler, 40) > 3 * memory(settler, 10)


def test_exact_credit_without_a_tape_takes_less_memory() -> None:
    assert memory(Spiking(), 20) < memory(SurrogateBackprop(), 20)


@pytest.mark.parametrize("credit", RUNNING)
def test_predictions_and_scores_are_those_of_exact_credit(credit: TemporalCredit) -> None:
    network = dense()
    x, target = batch(network)
    exact, running = (
        Spiking(credit=c).settle(network, x, target, CrossEntropy()) for c in (TemporalCredit.ADJOINT, credit)
    )
    Contrast().gradients(network, exact)  # whose products are made here, the others while the trial ran
    torch.testing.assert_close(running.output, exact.output)
    assert isinstance(exact, SettledSpikes) and isinstance(running, SettledOnline)
    torch.testing.assert_close(running.error, exact.error)
    assert running.ledger.read()["spikes"] == exact.ledger.read()["spikes"]
    if credit is not TemporalCredit.ONLINE:  # in which the first errors have not come down yet
        assert running.ledger.multiply_adds_by_phase == exact.ledger.multiply_adds_by_phase


def test_errors_need_time_to_descend() -> None:
    network = dense()
    x, target = batch(network)
    with pytest.raises(ConfigurationError, match=r"spiking\.steps=2: must be at least 3, the depth of the network"):
        Spiking(steps=2, credit=TemporalCredit.ONLINE).settle(network, x, target, CrossEntropy())
    early = VanRossum(pattern=[1])  # an error at the first step
    found = gradients(Spiking(steps=3, credit=TemporalCredit.ONLINE, error=early), network, x, target)
    assert all(bool(g.any()) for g in found[::2])
    late = gradients(
        Spiking(steps=3, credit=TemporalCredit.ONLINE), network, x, target
    )  # 0 1 1: the first two steps are right
    assert not late[0].any() and late[2].any()


def test_what_running_traces_cannot_do_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="credit=causal: must be adjoint: the error rate_cross_entropy is known"
    ):
        Spiking(credit=TemporalCredit.CAUSAL, error=RateCrossEntropy())
    with pytest.raises(ConfigurationError, match="credit=online: must be adjoint where rate_strength"):
        Spiking(credit=TemporalCredit.ONLINE, rate_strength=0.1)
    network = Network((8,))
    network.add(Module(torch.nn.Linear(8, 6)), ReLU())
    network.add(Dense(6, 4), Identity())
    x, target = batch(network.double())
    with pytest.raises(ConfigurationError, match=r"couplings\.0: is a Module; credit that keeps running traces"):
        Spiking(credit=TemporalCredit.CAUSAL).settle(network, x, target, CrossEntropy())
    assert gap(gradients(Spiking(), network, x, target), gradients(SurrogateBackprop(), network, x, target)) < 1e-12
