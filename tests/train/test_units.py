"""What is said of populations, on populations made by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from energy.analysis.unit_diagnostics import unit_diagnostics
from energy.couplings import Convolution, Dense
from energy.network import Network
from energy.potentials import Identity, ReLU
from energy.rules import KrotovHopfield, PerLayer, SoftHebb, Variant
from energy.rules.linearized import linearized_layers
from energy.settle.feedforward import Feedforward, settle_free


def layer(weight: Tensor, *, bias: Tensor | None = None) -> Network:
    """One layer of ReLU neurons with these weights, below an output that nobody asks."""
    network = Network((weight.shape[1],))
    network.add(Dense(weight.shape[1], len(weight), bias=bias is not None), ReLU(), name="hidden")
    network.add(Dense(len(weight), 2), Identity(), name="output")
    network.double()
    with torch.no_grad():
        network.get_parameter("couplings.0.weight").copy_(weight)
        if bias is not None:
            network.get_parameter("couplings.0.bias").copy_(bias)
    return network


ROWS = torch.tensor(
    [
        [1.004, 0.0, 0.0],  # converged from above
        [0.0, 0.996, 0.0],  # and from below
        [0.0, 0.0, 0.5],  # not yet
        [0.0, 0.0, 0.0],  # dead
        [-1.5, -1.5, -1.5],  # hears nothing but what it does not like
    ],
    dtype=torch.float64,
)
X = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0.8, 0.1]], dtype=torch.float64)
LABELS = torch.tensor([1, 1, 0, 1])


def test_norms_winners_the_dead_and_the_silent() -> None:
    """Neuron 0 wins two samples, neuron 1 two; 2, 3 and 4 never win; 3 and 4 send nothing; 2 sends a little."""
    (found,) = unit_diagnostics(layer(ROWS), KrotovHopfield(), Feedforward(), X, LABELS).values()
    lengths = [1.004, 0.996, 0.5, 0.0, 1.5 * 3**0.5]
    assert found["norm"] == pytest.approx(sum(lengths) / 5)
    assert found["distance"] == pytest.approx(sum(abs(one - 1) for one in lengths) / 5)
    assert (found["converged"], found["zero_weight"], found["never_win"], found["inactive"]) == (40, 20, 60, 40)
    assert found["entropy"] == pytest.approx(math.log(2))
    assert found["entropy_limit"] == pytest.approx(math.log(5))
    assert found["winner"] is None
    # neuron 0 stands for class 1, neuron 1 for 0 or 1 (one each: the lower); three of four samples are voted right
    assert found["label"] == 75


def test_a_radius_and_a_norm_of_ones_own() -> None:
    """‖w‖₃ = 2 within a hundredth, by either side; a dead neuron is far from it."""
    rows = torch.zeros(4, 3, dtype=torch.float64)
    for k, length in enumerate((1.985, 2.019, 2.021)):
        rows[k] = length / 3 ** (1 / 3)
    (found,) = unit_diagnostics(layer(rows), KrotovHopfield(p=3.0, target_norm=2.0), Feedforward(), X, LABELS).values()
    assert found["converged"] == 50 and found["zero_weight"] == 25
    assert found["norm"] == pytest.approx((1.985 + 2.019 + 2.021) / 4)


def test_another_norm_finds_other_winners() -> None:
    """u = ⟨sign(w) w², x⟩ at p = 3: the neuron with one large weight beats the one with two of two thirds."""
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.7, 0.7, 0.0]], dtype=torch.float64)
    x = torch.tensor([[1.0, 0.9, 0.0]], dtype=torch.float64).expand(3, -1)
    labels = torch.tensor([0, 0, 0])
    for norm, wins in ((2.0, 1), (3.0, 0)):
        bias = torch.tensor([0.0, 0.0], dtype=torch.float64)
        network = layer(rows, bias=bias)
        law = KrotovHopfield(p=norm)
        ((_, _, inputs),) = linearized_layers(law, network, settle_free(Feedforward(), network, x, x[:, :2]))
        assert set(inputs.drive.argmax(1).tolist()) == {wins}
        assert unit_diagnostics(network, law, Feedforward(), x, labels)["hidden"]["entropy"] == 0


def test_the_share_of_the_winner() -> None:
    rule = SoftHebb(variant=Variant.SOFT, temperature=0.3)
    (found,) = unit_diagnostics(layer(ROWS), rule, Feedforward(), X, LABELS).values()
    assert found["winner"] == pytest.approx(float((X @ ROWS.T / 0.3).softmax(1).amax(1).mean()), rel=1e-12)


def test_places_and_groups_of_a_convolution() -> None:
    """Two groups of two 1 × 1 kernels on two channels; each place has a winner in each group."""
    network = Network((2, 2, 2))
    network.add(Convolution(2, 4, 1, groups=2, bias=False), Identity(), name="conv1")
    network.add(Dense(16, 2), Identity(), name="output")
    network.double()
    with torch.no_grad():
        network.get_parameter("couplings.0.weight").copy_(torch.tensor([1.0, -1.0, 1.0, 0.5]).view(4, 1, 1, 1))
    x = torch.tensor([[[[1.0, 2.0], [3.0, -4.0]], [[1.0, 1.0], [1.0, 1.0]]]], dtype=torch.float64)
    found = unit_diagnostics(network, SoftHebb(), Feedforward(), x, torch.tensor([0]))["conv1"]
    # group 1: neuron 0 at three places, neuron 1 at one; group 2: neuron 2 at all four; of eight wins 3, 1, 4, 0
    shares = [3 / 8, 1 / 8, 4 / 8]
    assert found["entropy"] == pytest.approx(-sum(p * math.log(p) for p in shares))
    assert found["never_win"] == 25 and found["inactive"] == 0 and found["converged"] == 75


def test_only_layers_that_learn_are_spoken_of() -> None:
    network = layer(ROWS)
    assert set(unit_diagnostics(network, SoftHebb(), Feedforward(), X, LABELS)) == {"hidden"}
    listed = PerLayer(rules=[SoftHebb(), SoftHebb(variant=Variant.SUPERVISED)])
    assert set(unit_diagnostics(network, listed, Feedforward(), X, LABELS)) == {"hidden", "output"}
