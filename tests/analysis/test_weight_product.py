"""The norm of a chain's weights against their product written out, and against the Jacobian of the linear network."""

import pytest
import torch

from energy.analysis.weight_product import weight_product_norm
from energy.couplings import BatchNorm, Convolution, Coupling, Dense, Skip
from energy.network import Network
from energy.pooling import AveragePool, MaxPool, Pool
from energy.potentials import Identity, Potential, ReLU


def drawn(network: Network) -> Network:
    generator = torch.Generator().manual_seed(0)
    network.double()
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return network


def convolutional(pool: Pool | None, potential: Potential, wrap: type[Coupling] | None = None) -> Network:
    network = Network((2, 6, 6))
    filters = Convolution(2, 3, 3, padding=1, pool=pool)
    network.add(BatchNorm(filters, 3) if wrap else filters, potential)
    network.add(Convolution(3, 4, 3), potential)
    size = network.shape(2)
    network.add(Dense(size[0] * size[1] * size[2], 5), Identity())
    return drawn(network)


def test_it_is_the_norm_of_the_matrix_product() -> None:
    network = Network((7,))
    for fan_in, size in ((7, 6), (6, 8), (8, 3)):
        network.add(Dense(fan_in, size), ReLU())
    first, second, third = (next(edge.coupling.parameters()).detach() for edge in drawn(network).edges)
    assert weight_product_norm(network) == pytest.approx(float(torch.linalg.matrix_norm(third @ second @ first, 2)))


@pytest.mark.parametrize("pool", [None, AveragePool(2), AveragePool(3, 1, padding=1)], ids=repr)
def test_it_is_that_of_the_network_without_potentials(pool: Pool | None) -> None:
    network = convolutional(pool, ReLU())
    linear = convolutional(pool, Identity())
    x = torch.zeros(1, 2, 6, 6, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: linear.activity(x)[-1][0], x).flatten(1)
    assert weight_product_norm(network) == pytest.approx(float(torch.linalg.matrix_norm(jacobian, 2)), rel=1e-12)


def with_skip() -> Network:
    network = Network((4,))
    network.add(Dense(4, 4), ReLU())
    network.add({1: Dense(4, 4), 0: Skip()}, Identity())
    return drawn(network)


def fully_convolutional() -> Network:
    network = Network((1, 4, 4))
    network.add(Convolution(1, 2, 3), Identity())
    return drawn(network)


@pytest.mark.parametrize(
    "network",
    [convolutional(MaxPool(2), ReLU()), convolutional(None, ReLU(), BatchNorm), with_skip(), fully_convolutional()],
    ids=["maxima", "normalized", "skip", "places"],
)
def test_it_is_unknown_elsewhere(network: Network) -> None:
    assert weight_product_norm(network) is None


def test_large_weights_of_low_precision_do_not_overflow() -> None:
    network = Network((1,))
    for _ in range(3):
        network.add(Dense(1, 1, bias=False), ReLU())
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 2.0**60)
    assert weight_product_norm(network) == 2.0**180  # float32 ends at 2^128
    torch.nn.init.constant_(next(network.parameters()), torch.inf)
    assert weight_product_norm(network) is None
