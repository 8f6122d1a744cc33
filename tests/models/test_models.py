"""Named networks: parameters and multiply-adds by hand, initial weights by their statistics, streams by name."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.model import Model
from energy.models import MLP, VGG, VGG16, Hopfield, HopfieldLaborieux, ResNet
from energy.network import Network
from energy.potentials import HalfHardSigmoid, HardSigmoid, Identity, ReLU

RGB = (3, 32, 32)


def sketch(model: Model, shape: Sequence[int] = RGB, classes: int = 10) -> Network:
    """The network without its weights: shapes and prices only."""
    with torch.device("meta"):
        return model.build(tuple(shape), classes, seed=0)


def parameters(network: Network) -> int:
    return sum(p.numel() for p in network.parameters())


def multiply_adds(network: Network) -> int:
    return sum(edge.multiply_adds for edge in network.edges)


def stack(plan: Sequence[int], dense: Sequence[int], shape: Sequence[int], classes: int) -> tuple[int, int]:
    """(parameters, multiply-adds of one pass) of 3×3 same convolutions and 2×2 poolings under dense layers."""
    (fan_in, side, _), count, cost = shape, 0, 0
    for channels in plan:
        if channels:
            count += 9 * fan_in * channels + channels
            cost += 9 * fan_in * channels * side**2
            fan_in = channels
        else:
            side //= 2
    width = fan_in * side**2
    for size in (*dense, classes):
        count, cost, width = count + width * size + size, cost + width * size, size
    return count, cost


@pytest.mark.parametrize(("classes", "millions"), [(10, 33.64), (100, 34.01), (1000, 37.69)])
def test_vgg16_has_the_size_of_the_papers(classes: int, millions: float) -> None:
    model = VGG16()
    network = sketch(model, RGB, classes)
    assert (parameters(network), multiply_adds(network)) == stack(model.plan, model.dense, RGB, classes)
    assert round(parameters(network) / 1e6, 2) == pytest.approx(millions, abs=0.0051)


def test_vgg16_costs_332_million_multiply_adds() -> None:
    network = sketch(VGG16())
    assert round(multiply_adds(network) / 1e6, 1) == 332.1
    assert (
        sum(math.prod(layer.shape) for layer in network.layers[:-3]) == 182_784
    )  # with pooling, the pooled state is kept
    assert [layer.shape for layer in network.layers[-4:]] == [(512, 1, 1), (4096,), (4096,), (10,)]


@pytest.mark.parametrize("model", [VGG(), VGG(plan=[4, 4, 0, 8], dense=[16, 8]), VGG(plan=[5])])
def test_vgg_by_hand(model: VGG) -> None:
    network = sketch(model)
    assert (parameters(network), multiply_adds(network)) == stack(model.plan, model.dense, RGB, 10)
    assert network.layers[0].potential == ReLU()
    assert network.output.potential == Identity()


def test_the_mlp_of_the_2023_paper() -> None:
    network = sketch(MLP(), (1, 28, 28))
    assert [layer.shape for layer in network.layers] == [(1000,)] * 4 + [(10,)]
    assert multiply_adds(network) == 784 * 1000 + 3 * 1000**2 + 1000 * 10
    assert parameters(network) == multiply_adds(network) + 4 * 1000 + 10
    assert multiply_adds(sketch(MLP(sizes=[]), (1, 28, 28))) == 7840


def test_the_hopfield_networks() -> None:
    """128-256-512-512 with pooling: 32 → 16 → 8 → 4 → 2, and 4 → 1 where the last convolution is not padded."""
    plan = [128, 0, 256, 0, 512, 0, 512, 0]
    network = sketch(Hopfield())
    assert (parameters(network), multiply_adds(network)) == stack(plan, [], RGB, 10)
    assert network.layers[3].shape == (512, 2, 2)
    assert {type(layer.potential) for layer in network.layers[:-1]} == {HardSigmoid}
    other = sketch(HopfieldLaborieux())
    assert other.layers[3].shape == (512, 1, 1)
    assert {type(layer.potential) for layer in other.layers[:-1]} == {HalfHardSigmoid}


def test_the_residual_graph() -> None:
    """Shortcuts: the identity in the first block, 1×1 convolutions where the shape changes; two edges enter every
    block."""
    network = sketch(ResNet())
    assert [layer.shape for layer in network.layers] == [
        (16, 32, 32),
        (16, 32, 32),
        (16, 32, 32),
        (32, 16, 16),
        (32, 16, 16),
        (64, 8, 8),
        (64, 8, 8),
        (10,),
    ]
    convolutions = [
        (3, 16, 9),
        (16, 16, 9),
        (16, 16, 9),
        (16, 32, 9),
        (32, 32, 9),
        (16, 32, 1),
        (32, 64, 9),
        (64, 64, 9),
        (32, 64, 1),
    ]
    assert parameters(network) == sum(a * b * k + b for a, b, k in convolutions) + 4096 * 10 + 10
    assert sorted((e.source, e.target, e.span) for e in network.edges) == [
        (0, 1, 1),
        (1, 2, 1),
        (1, 3, 2),
        (2, 3, 1),
        (3, 4, 1),
        (3, 5, 2),
        (4, 5, 1),
        (5, 6, 1),
        (5, 7, 2),
        (6, 7, 1),
        (7, 8, 1),
    ]


def weights(network: Network) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in network.named_parameters() if p.ndim > 1}


def biases(network: Network) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in network.named_parameters() if p.ndim == 1}


@pytest.mark.parametrize("gain", [1.0, 2.0])
@pytest.mark.parametrize("kind", ["mlp", "vgg"])
def test_normal_weights(kind: str, gain: float) -> None:
    """Variance gain²/fan-in after the cut at two standard deviations of the parent, mean 0, b = 0."""
    model = MLP(sizes=[200, 200], gain=gain) if kind == "mlp" else VGG(plan=[48, 48], dense=[150], gain=gain)
    network = model.build((3, 8, 8), 10, seed=1)
    for name, weight in weights(network).items():
        fan_in, n = weight[0].numel(), weight.numel()
        spread = weight.double().square().mean() * fan_in / gain**2
        assert float(spread) == pytest.approx(1, abs=6 * 1.1 / n**0.5), (
            name
        )  # a truncated normal's fourth moment is below the normal's
        assert abs(float(weight.double().mean())) < 5 * gain / (fan_in * n) ** 0.5, name
        assert float(weight.abs().max()) <= 2.2737 * gain / fan_in**0.5 * 1.0001, name  # 2/0.8796
    assert not any(bias.any() for bias in biases(network).values())


def test_uniform_weights() -> None:
    """U(±gain/√fan-in): bounds kept, a third of their square as variance; biases alike."""
    model = Hopfield(channels=[32, 48], paddings=[1, 1], gains=[0.5, 1.0, 2.0], bias=0.25)
    network = model.build((3, 8, 8), 10, seed=1)
    for (name, weight), gain in zip(weights(network).items(), model.gains, strict=True):
        bound = gain / weight[0].numel() ** 0.5
        assert float(weight.abs().max()) <= bound, name
        assert float(weight.double().square().mean()) == pytest.approx(
            bound**2 / 3, abs=6 * bound**2 / weight.numel() ** 0.5
        ), name
        bias = network.get_parameter(name.replace("weight", "bias")).detach()
        assert 0 < float(bias.abs().max()) <= 0.25 / weight[0].numel() ** 0.5


def test_a_further_layer_leaves_the_others_as_they_were() -> None:
    few = MLP(sizes=[16, 12]).build((4,), 3, seed=5)
    more = MLP(sizes=[16, 12, 8, 8]).build((4,), 3, seed=5)
    for name in ("couplings.0.weight", "couplings.1.weight"):
        assert torch.equal(few.get_parameter(name), more.get_parameter(name))
    small = Hopfield(channels=[4], paddings=[1]).build((3, 8, 8), 3, seed=5)
    large = Hopfield(channels=[4, 8], paddings=[1, 1]).build((3, 8, 8), 3, seed=5)
    for name in ("couplings.0.weight", "couplings.0.bias"):
        assert torch.equal(small.get_parameter(name), large.get_parameter(name))


def test_layers_and_seeds_draw_different_numbers() -> None:
    network = MLP(sizes=[6, 6, 6]).build((6,), 6, seed=0)
    drawn = list(weights(network).values()) + list(weights(MLP(sizes=[6, 6, 6]).build((6,), 6, seed=1)).values())
    assert all(not torch.equal(a, b) for k, a in enumerate(drawn) for b in drawn[:k])


@pytest.mark.parametrize("model", [VGG(), VGG16(), Hopfield(), HopfieldLaborieux(), ResNet(channels=[4] * 5)])
def test_an_image_that_is_too_small(model: Model) -> None:
    with pytest.raises(ValueError, match="does not fit a layer of shape"):
        sketch(model, (3, 4, 4))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MLP(sizes=[10, 0]), "mlp.sizes"),
        (lambda: MLP(gain=0.0), "mlp.gain"),
        (lambda: MLP(gain=math.nan), "mlp.gain"),
        (lambda: VGG(plan=[0, 4]), "vgg.plan"),
        (lambda: VGG(plan=[]), "vgg.plan"),
        (lambda: VGG(plan=[4, 0, 0]), "vgg.plan"),
        (lambda: VGG(plan=[4, -1]), "vgg.plan"),
        (lambda: VGG(dense=[0]), "vgg.dense"),
        (lambda: Hopfield(channels=[4]), "hopfield.paddings"),
        (lambda: Hopfield(gains=[1.0, 2.0]), "hopfield.gains"),
        (lambda: Hopfield(gains=[math.nan]), "hopfield.gains"),
        (lambda: Hopfield(gains=[1.0, math.nan, 1.0, 1.0, 1.0]), "hopfield.gains"),
        (lambda: Hopfield(bias=-1.0), "hopfield.bias"),
        (lambda: ResNet(channels=[]), "resnet.channels"),
        (lambda: ResNet(branch=math.nan), "resnet.branch"),
    ],
)
def test_a_model_that_cannot_be(make: type[Model], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_shapes_that_are_no_images() -> None:
    for model in (VGG(), Hopfield(), ResNet()):
        with pytest.raises(ValueError, match=r"shape"):
            sketch(model, (784,))
