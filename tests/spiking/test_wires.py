"""What wires of their own do to the update, by the arithmetic of Gaussian weights: angles at the start of training."""

from __future__ import annotations

import math

import pytest
import torch

from energy.component import from_dict
from energy.couplings import Dense
from energy.feedback import Feedback
from energy.settle.spiking import Spiking, TemporalCredit
from tests.spiking.oracle import batch, chain, convolutional, gap, gradients

KINDS = ("sign", "sign_unit", "sign_batch", "random", "direct", "kolen_pollack")
SEEDS = 40


def cosines(kind: dict[str, object]) -> list[float]:
    """Of the update with wires and the exact one, a layer each, the mean over draws; 64-200-100-10."""
    total = torch.zeros(3)
    for seed in range(SEEDS):
        network = chain(Dense(64, 200), Dense(200, 100), Dense(100, 10), shape=(64,), seed=seed, gain=2**0.5, bias=0.0)
        x, target = batch(network, 64, seed)
        exact = gradients(Spiking(), network, x / 2, target)[::2]
        feedback = from_dict(Feedback, kind)
        feedback.attach(network, seed=seed)
        found = gradients(Spiking(feedback=feedback), network, x / 2, target)[::2]
        total += torch.stack([(a * b).sum() / a.norm() / b.norm() for a, b in zip(found, exact, strict=True)])
    return (total / SEEDS).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_layer_does_not_hear_the_wires(kind: str) -> None:
    network = convolutional(None)
    x, target = batch(network)
    exact = gradients(Spiking(), network, x, target)[-2:]
    feedback = from_dict(Feedback, kind)
    feedback.attach(network, seed=1)
    assert gap(gradients(Spiking(feedback=feedback), network, x, target)[-2:], exact) == 0


@pytest.mark.parametrize(("kind", "hop"), [("sign", 2 / math.pi), ("sign_unit", math.sqrt(2 / math.pi))])
def test_each_hop_multiplies_the_cosine(kind: str, hop: float) -> None:
    """⟨W, B⟩/|W||B| of Gaussian weights is 2/π with |R| and √(2/π) with equal magnitudes: 50 and 37 degrees a hop."""
    below, middle, output = cosines({"name": kind})
    assert middle == pytest.approx(hop, abs=0.06)
    assert below == pytest.approx(hop**2, abs=0.1)
    assert output == pytest.approx(1, abs=1e-6)


def test_random_wires_are_at_a_right_angle() -> None:
    below, middle, _ = cosines({"name": "random"})
    assert abs(middle) < 0.15 and abs(below) < 0.15


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("share", [0.0, 0.25, 0.75])
def test_signs_that_disagree_shorten_the_hop_and_turn_it_round(share: float) -> None:
    """One hop below the output by 2p − 1; two hops down twice that, so that wires all wrong are right again."""
    factor = 2 * share - 1
    below, middle, _ = cosines({"name": "sign", "sign_agreement": share})
    assert middle == pytest.approx(factor * 2 / math.pi, abs=0.08)
    assert below == pytest.approx((factor * 2 / math.pi) ** 2, abs=0.12)


@pytest.mark.parametrize("credit", [TemporalCredit.CAUSAL, TemporalCredit.INSTANT, TemporalCredit.ONLINE])
def test_convolutions_with_running_traces_point_downhill(credit: TemporalCredit) -> None:
    """T = 8, weights as they start."""
    least = math.cos(math.radians(80 if credit is TemporalCredit.ONLINE else 60))
    for seed in range(3):
        network = convolutional(None, seed)
        x, target = batch(network, 32, seed)
        exact = gradients(Spiking(steps=8), network, x / 2, target)
        found = gradients(Spiking(steps=8, credit=credit), network, x / 2, target)
        for a, b in zip(found[::2], exact[::2], strict=True):
            assert float((a * b).sum() / a.norm() / b.norm()) > least
