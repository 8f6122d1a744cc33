"""First-layer weights as pictures: which, of what shape, at what scale, and where in the grid."""

import pytest
import torch

from energy.analysis.filters import filters
from energy.couplings import Convolution, Dense
from energy.network import Network
from energy.potentials import Identity


def _dense(shape: tuple[int, ...], weight: torch.Tensor) -> Network:
    network = Network(shape)
    coupling = Dense(weight.shape[1], len(weight))
    coupling.weight.data.copy_(weight)
    network.add(coupling, Identity())
    return network


def test_a_dense_neuron_is_shown_as_the_image_that_it_reads() -> None:
    """Row-major like the image; divided by the greatest |w| of each neuron, so that 0 and the sign stay."""
    weight = torch.stack([torch.arange(-4.0, 8.0), torch.zeros(12)])
    shown = filters(_dense((1, 3, 4), weight))
    assert shown is not None and shown.shape == (2, 1, 3, 4)
    assert shown[0, 0, 0].tolist() == pytest.approx([-4 / 7, -3 / 7, -2 / 7, -1 / 7])
    assert shown[0, 0, 2, 3] == 1.0 and shown[0, 0, 1, 0] == 0.0
    assert not shown[1].any()  # a dead neuron is grey, not NaN


def test_a_filter_keeps_its_channels_and_the_first_ones_are_shown() -> None:
    network = Network((3, 6, 6))
    coupling = Convolution(3, 7, 2)
    torch.nn.init.normal_(coupling.weight, generator=torch.Generator().manual_seed(0))
    network.add(coupling, Identity())
    shown = filters(network, most=5)
    assert shown is not None and shown.shape == (5, 3, 2, 2)
    for one, weight in zip(shown, coupling.weight, strict=False):
        assert one.abs().max() == 1.0
        torch.testing.assert_close(one * weight.abs().max(), weight)


def test_weights_that_are_no_pixels_are_not_shown() -> None:
    assert filters(_dense((6,), torch.ones(2, 6))) is None
