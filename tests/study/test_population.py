"""Histograms, wins and features of a network whose numbers can be counted by hand; and points laid on a plane."""

import math

import pytest
import torch

from energy.analysis.embedding import neighborhoods, principal
from energy.analysis.population import histogram, survey
from energy.couplings import Convolution, Dense
from energy.couplings.block import Block
from energy.data.augment import Augment
from energy.data.images import Images
from energy.network import Network
from energy.pooling import MaxPool
from energy.potentials import Identity, ReLU
from energy.rules import Contrast
from energy.rules.softhebb import SoftHebb
from energy.settle import Feedforward


def _images(pixels: torch.Tensor) -> Images:
    one = torch.ones(pixels.shape[1], 1, 1)
    return Images(pixels, torch.arange(len(pixels)) % 3, one, 0 * one, 3, Augment())


def test_a_histogram_counts_every_value_once() -> None:
    counts, edges = histogram(torch.tensor([[0.0, 0.1, 0.9], [1.0, 0.5, 0.95]]), 4)
    assert counts.tolist() == [2, 0, 1, 3]  # the last interval is closed
    assert edges.tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize(("value", "low", "high"), [(0.02, 0.01, 0.03), (-4.0, -6.0, -2.0), (0.0, -0.5, 0.5)])
def test_equal_values_get_an_interval_of_their_own_size(value: float, low: float, high: float) -> None:
    counts, edges = histogram(torch.full((7,), value), 30)
    assert int(counts.sum()) == 7 and float(edges[0]) == pytest.approx(low) and float(edges[-1]) == pytest.approx(high)


def _identity(feedback_free: bool = True) -> Network:
    """Four neurons, each of which reads one of four pixels with a weight of 1."""
    network = Network((1, 2, 2))
    below = Dense(4, 4, bias=False)
    below.weight.data.copy_(torch.eye(4))
    network.add(Block(below, torch.nn.Flatten()) if feedback_free else below, ReLU(), name="hidden")
    network.add(Dense(4, 3), Identity(), name="output")
    return network


@pytest.mark.parametrize("rule", [SoftHebb(rate=0.5), Contrast()], ids=["local", "contrast"])
def test_wins_norms_weights_and_features(rule: SoftHebb | Contrast) -> None:
    """The winner is the brightest pixel; features are the pixels themselves; all over batches that do not divide."""
    pixels = torch.randint(0, 200, (25, 1, 2, 2), generator=torch.Generator().manual_seed(3)).to(torch.uint8)
    bright = torch.arange(25) % 4
    pixels.flatten(1)[torch.arange(25), bright] = 255
    found = survey(_identity(isinstance(rule, SoftHebb)), Feedforward(), rule, _images(pixels), batch=10)
    assert list(found.layers) == ["hidden"]
    hidden = found.layers["hidden"]
    assert hidden.wins is not None and hidden.wins.tolist() == torch.bincount(bright, minlength=4).tolist()
    assert hidden.norm is not None and hidden.weight is not None and hidden.activity is not None
    assert int(hidden.norm[0].sum()) == 4 and float(hidden.norm[1].mean()) == pytest.approx(1)
    assert hidden.weight[0][0] == 12 and hidden.weight[0][-1] == 4 and int(hidden.weight[0].sum()) == 16
    assert int(hidden.activity[0].sum()) == 40  # the first batch
    torch.testing.assert_close(torch.cat(found.features), pixels.flatten(1).float())
    assert torch.cat(found.labels).tolist() == [k % 3 for k in range(25)]
    assert (hidden.rate is None) == isinstance(rule, Contrast)
    if hidden.rate is not None:  # η |‖w‖ − 1 + 1e-10|^½ at norm 1
        counts, edges = hidden.rate
        assert int(counts.sum()) == 4 and float(edges.mean()) == pytest.approx(0.5 * 1e-5, rel=1e-6)


def test_every_place_of_a_map_has_a_winner_in_every_group() -> None:
    """Two groups of two neurons with weights 1 and −1 on one channel each: the sign of a pixel decides."""
    network = Network((2, 2, 2))
    filters = Convolution(2, 4, 1, groups=2, bias=False)
    filters.weight.data.copy_(torch.tensor([1.0, -1.0, 1.0, -1.0]).view(4, 1, 1, 1))
    network.add(Block(filters), ReLU(), name="maps")
    network.add(Block(Dense(16, 3), torch.nn.Flatten()), Identity(), name="output")
    pixels = torch.tensor([[[[1, 1], [1, 1]], [[0, 0], [0, 1]]]], dtype=torch.uint8)
    images = _images(pixels)
    shifted = Images(pixels, images.labels, images.scale, 0.5 * images.scale, 3, Augment())
    wins = survey(network, Feedforward(), SoftHebb(), shifted).layers["maps"].wins
    assert wins is not None and wins.tolist() == [4, 0, 1, 3]


@pytest.mark.parametrize("dimensions", [3, 40], ids=["more points", "more dimensions"])
def test_principal_axes_of_a_turned_ellipse(dimensions: int) -> None:
    """Points with s.d. 3 and 1 on two axes turned into D dimensions come back, with the signs of the rule."""
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn((30, 2), generator=generator, dtype=torch.float64)
    flat = torch.linalg.qr(flat - flat.mean(0)).Q * torch.tensor([3.0, 1.0]) * 30**0.5
    turn = torch.linalg.qr(torch.randn((dimensions, dimensions), generator=generator, dtype=torch.float64)).Q[:2]
    found, share = principal(flat @ turn + 7.0)
    flat = flat * torch.where(flat.gather(0, flat.abs().argmax(0)[None]) < 0, -1.0, 1.0)
    torch.testing.assert_close(found, flat, rtol=0, atol=1e-9)
    assert share.tolist() == pytest.approx([0.9, 0.1])


def test_points_on_a_line_have_one_axis() -> None:
    found, share = principal(torch.tensor([[0.0], [1.0], [5.0]]))
    assert found.shape == (3, 2) and not found[:, 1].any() and share.tolist() == [1, 0]
    same, none = principal(torch.ones(5, 3))
    assert not same.any() and none.tolist() == [0, 0] and math.isfinite(float(same.sum()))


def test_neighbors_stay_neighbors() -> None:
    generator = torch.Generator().manual_seed(0)
    group = torch.arange(40) % 2
    points = torch.randn((40, 6), generator=generator) + 30.0 * group[:, None]
    placed = neighborhoods(points)
    assert placed.shape == (40, 2)
    apart = torch.cdist(placed, placed) + torch.diag(torch.full((40,), math.inf))
    assert (group[apart.argmin(1)] == group).all()
    assert torch.equal(placed, neighborhoods(points))
    for count in (3, 1001):
        with pytest.raises(ValueError, match=f"t-SNE of {count} points: must be 4 to 1000"):
            neighborhoods(torch.zeros(count, 2))


def test_features_above_a_coupling_without_filters_are_what_it_reads() -> None:
    """The convolution pools what it says, so that its neurons are no population; what it sees is the layer below."""
    network = Network((1, 2, 2))
    network.add(Convolution(1, 2, 1), ReLU(), name="maps")
    network.add(Convolution(2, 3, 1, pool=MaxPool(2)), Identity(), name="output")
    pixels = torch.arange(5 * 4, dtype=torch.uint8).view(5, 1, 2, 2)
    found = survey(network, Feedforward(), Contrast(), _images(pixels))
    expected = network.edges[0].coupling(pixels.float()).relu().flatten(1)
    torch.testing.assert_close(torch.cat(found.features), expected)
