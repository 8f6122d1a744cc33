"""The feedback-free networks: sizes and prices by hand, first weights by statistics, the pass by plain torch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from energy.component import ConfigurationError
from energy.models import SoftHebbNet
from energy.models.softhebb import Padding, bound, pooling, scale
from energy.network import Network
from energy.objectives import CrossEntropy, one_hot
from energy.potentials import Softmax
from energy.rules import Contrast
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation

RGB = (3, 32, 32)


def filters(network: Network) -> list[Tensor]:
    return [edge.coupling.get_parameter("filters.weight").detach() for edge in network.edges]


def test_the_network_for_cifar10_has_the_published_size_and_price() -> None:
    """96 × 3·25 on 32², 384 × 96·9 on 16², 1536 × 384·9 on 8², 24,576 features: 864 million operations."""
    with torch.device("meta"):
        network = SoftHebbNet().build(RGB, 10, seed=0)
    weights = [96 * 75, 384 * 96 * 9, 1536 * 384 * 9, 24_576 * 10]
    assert [edge.size - (10 if edge.target == 4 else 0) for edge in network.edges] == weights
    prices = [weights[0] * 32**2, weights[1] * 16**2, weights[2] * 8**2]
    assert [edge.multiply_adds for edge in network.edges][:3] == prices
    assert [round(2e-6 * price, 1) for price in prices] == [14.7, 169.9, 679.5]
    assert [layer.name for layer in network.layers] == ["conv1", "conv2", "conv3", "output"]
    assert [layer.shape for layer in network.layers[:3]] == [(96, 32, 32), (384, 16, 16), (1536, 8, 8)]


@pytest.mark.parametrize("norm", [2.0, 3.0, 5.0])
def test_first_weights_have_the_radius(norm: float) -> None:
    """‖w‖_p about R: normal, and uniform on [0, bound] in dense layers with `positive`."""
    model = SoftHebbNet(
        channels=[64, 96],
        kernels=[5, 5],
        powers=[1, 1],
        pools=["none", "avg_4_4_0"],
        dense=[128],
        radius=7.0,
        norm=norm,
        normalized=False,
        positive=True,
    )
    network = model.build((8, 16, 16), 10, seed=0)
    for weight in filters(network)[:3]:
        lengths = torch.linalg.vector_norm(weight.double().flatten(1), norm, dim=1)
        assert float(lengths.mean()) == pytest.approx(7, rel=0.03)
    assert float(filters(network)[0].mean().abs()) < 0.05 * float(filters(network)[0].std())
    dense = filters(network)[2]
    assert float(dense.min()) >= 0 and float(dense.max()) <= bound(7.0, norm, 1536)


@pytest.mark.parametrize("norm", [2.0, 3.0, 4.0, 2.5])
def test_scales_by_quadrature(norm: float) -> None:
    """E|z|^p of a normal number, and E u^p = 1/(p + 1) of a uniform one, integrated."""
    z = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    moment = float(torch.trapezoid(z.abs() ** norm * torch.exp(-(z**2) / 2), z)) / math.sqrt(2 * math.pi)
    assert 50 * moment * scale(25.0, norm, 50) ** norm == pytest.approx(25**norm, rel=1e-9)
    assert 50 * bound(25.0, norm, 50) ** norm / (norm + 1) == pytest.approx(25**norm, rel=1e-12)


def test_biases_start_at_an_even_prior_and_the_output_within_its_fan_in() -> None:
    model = SoftHebbNet(channels=[12], kernels=[3], powers=[1], pools=["none"], bias=True, temperature=0.5)
    network = model.build((2, 6, 6), 10, seed=0)
    torch.testing.assert_close(
        network.get_parameter("couplings.0.filters.bias"), torch.full((12,), -0.5 * math.log(12))
    )
    for name in ("weight", "bias"):
        drawn = network.get_parameter(f"couplings.1.filters.{name}").detach()
        assert float(drawn.abs().max()) <= (12 * 36) ** -0.5 and len(drawn.unique()) > 5


def test_a_layer_more_does_not_reshuffle_those_below() -> None:
    two = SoftHebbNet(channels=[8, 12], kernels=[3, 3], powers=[1, 1], pools=["none"] * 2).build(RGB, 10, seed=3)
    one = SoftHebbNet(channels=[8], kernels=[3], powers=[1], pools=["none"]).build(RGB, 10, seed=3)
    assert torch.equal(filters(one)[0], filters(two)[0])


def triangle(u: Tensor, power: float, centered: bool = True) -> Tensor:
    return (u - u.mean(1, keepdim=True) if centered else u).clamp_min(0) ** power


@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize("centered", [False, True])
def test_one_pass_by_plain_torch(learning: bool, centered: bool) -> None:
    """Normalise, mirror, convolve, Triangle^p, pool; by the batch while the network learns; a dense layer on top."""
    model = SoftHebbNet(
        channels=[6, 8],
        kernels=[5, 3],
        powers=[0.7, 1.4],
        pools=["max_4_2_1", "avg_2_2_0"],
        dense=[7],
        radius=2.0,
        centered=centered,
    )
    network = model.build((3, 12, 10), 4, seed=0).double()
    x = torch.rand(5, 3, 12, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights, rest = filters(network), (torch.zeros, torch.ones)

    def normal(t: Tensor) -> Tensor:
        mean, var = (make(t.shape[1], dtype=torch.float64) for make in rest)
        return F.batch_norm(t, mean, var, training=learning)

    first = triangle(F.conv2d(F.pad(normal(x), [2] * 4, mode="reflect"), weights[0]), 0.7, centered)
    second = F.pad(normal(F.max_pool2d(first, 4, 2, 1)), [1] * 4, mode="reflect")
    second = triangle(F.conv2d(second, weights[1]), 1.4, centered)
    third = triangle(normal(F.avg_pool2d(second, 2).flatten(1)) @ weights[2].T, 1.0, centered)
    output = third @ weights[3].T + network.get_parameter("couplings.3.filters.bias")
    if learning:
        with network.learning():
            found = network.activity(x)
    else:
        found = network.activity(x)
    for one, other in zip(found, (first, second, third, output), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("padding", "side"), [(Padding.REFLECT, 8), (Padding.ZERO, 8), (Padding.NONE, 4)])
def test_padding(padding: Padding, side: int) -> None:
    model = SoftHebbNet(channels=[4], kernels=[5], powers=[1], pools=["none"], padding=padding)
    assert model.build((1, 8, 8), 3, seed=0).shape(1) == (4, side, side)


def test_learned_with_feedback_it_has_autograds_gradient() -> None:
    """Through mirror, pooling and Triangle: dual propagation that of the network at rest, up to β².

    Back-propagation that of the network as it learns, through the statistics of the batch, exactly."""
    model = SoftHebbNet(
        channels=[6, 8],
        kernels=[3, 3],
        powers=[1.4, 1.0],
        pools=["max_4_2_1", "avg_2_2_0"],
        dense=[7],
        rectified=[False, True],
        groups=[1, 2],
        radius=1.0,
        bias=True,
    )
    network = model.build((3, 8, 8), 4, seed=0).double()
    x = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    target, objective = one_hot(torch.arange(5) % 4, 4, torch.float64), CrossEntropy()
    loss = -(target * network(x).log_softmax(1)).sum()
    exact = torch.autograd.grad(loss, list(network.parameters()))
    dyad = Contrast().gradients(network, DualPropagation(beta=1e-5).settle(network, x, target, objective))
    with network.learning():
        learning = -(target * network(x).log_softmax(1)).sum()
        live = torch.autograd.grad(learning, list(network.parameters()))
    for wanted, other in zip(exact, dyad, strict=True):
        torch.testing.assert_close(other, wanted, rtol=1e-5, atol=1e-6 * float(wanted.abs().max()))
    tape = Contrast().gradients(network, Backprop().settle(network, x, target, objective))
    for wanted, one in zip(live, tape, strict=True):
        torch.testing.assert_close(one, wanted, rtol=0, atol=1e-10 * float(wanted.abs().max()))


@pytest.mark.parametrize("settler", [Backprop(), DualPropagation()], ids=lambda s: s.name)
def test_a_dead_layer_of_infinite_slope_has_a_finite_gradient(settler: Backprop | DualPropagation) -> None:
    network = SoftHebbNet(channels=[4], kernels=[3], powers=[0.7], pools=["none"]).build((1, 5, 5), 3, seed=0)
    with torch.no_grad():
        network.get_parameter("couplings.0.filters.weight").zero_()
    x, target = torch.rand(2, 1, 5, 5), one_hot(torch.arange(2), 3)
    found = Contrast().gradients(network, settler.settle(network, x, target, CrossEntropy()))
    assert all(g.isfinite().all() for g in found)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kernels": [5, 3]}, r"softhebb\.kernels=\[5, 3\]: must be 3 entries, one per convolution"),
        ({"powers": [0.0, 1.0, 1.0]}, r"softhebb\.powers=.*: must be above 0"),
        ({"groups": [2]}, r"softhebb\.groups=\[2\]: must be empty or 3 entries"),
        ({"groups": [1, 0, 1]}, r"softhebb\.groups=.*: must be numbers >= 1"),
        (
            {"rectified": [False, True, False], "centered": False},
            r"softhebb\.rectified=.*: must be false unless centered",
        ),
        ({"pools": ["max_4_2_1", "mean_2_2_0", "none"]}, "pools: 'mean_2_2_0': must be none, or kind, window, stride"),
        ({"pools": ["max_4_2", "none", "none"]}, "pools: 'max_4_2'"),
        ({"channels": [], "kernels": [], "powers": [], "pools": []}, "not empty where dense is empty too"),
        ({"radius": math.nan}, r"softhebb\.radius=nan"),
        ({"temperature": 0.0}, r"softhebb\.temperature=0\.0"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        SoftHebbNet(**fields)  # type: ignore[arg-type]


def test_groups_that_do_not_divide_are_refused_when_it_is_built() -> None:
    with pytest.raises(ConfigurationError, match=r"softhebb\.groups=2: must divide 3 and 96"):
        SoftHebbNet(groups=[2, 1, 1]).build(RGB, 10, seed=0)


def test_pooling_by_name() -> None:
    (kind,) = pooling("avg_3_2_1")
    assert isinstance(kind, torch.nn.AvgPool2d)
    assert (kind.kernel_size, kind.stride, kind.padding) == (3, 2, 1)
    assert pooling("none") == []


def test_a_dense_layer_may_compete_as_softmax() -> None:
    """The one-layer network for MNIST: what is sent up is a softmax of the drives."""
    model = SoftHebbNet(
        channels=[], kernels=[], powers=[], pools=[], dense=[9], normalized=False, centered=False,
        dense_hidden=Softmax(temperature=0.2),
    )  # fmt: skip
    network = model.build((1, 4, 4), 3, seed=0)
    x = torch.rand(5, 1, 4, 4)
    torch.testing.assert_close(network.activity(x)[0], (x.flatten(1) @ filters(network)[0].T / 0.2).softmax(1))
