"""What `print(network)` shows, counted by hand."""

from __future__ import annotations

from torch import nn

from energy.couplings import Convolution, Dense, Module, Skip
from energy.couplings.normalization import BatchNorm, GroupNorm
from energy.models import MLP, VGG, VGG16, Hopfield, ResNet, SoftHebbNet
from energy.network import Network
from energy.pooling import AdaptiveAveragePool, MaxPool
from energy.potentials import Identity, ReLU, Tanh
from energy.summary import label


def cells(network: Network) -> list[list[str]]:
    return [line.split() for line in str(network).splitlines()]


def test_a_chain_with_a_readout() -> None:
    network = Network((784,))
    network.add(Dense(784, 500), Tanh(), name="hidden")
    network.add(Module(nn.Sequential(nn.Linear(500, 20))), Tanh())
    network.add(Dense(20, 10, bias=False), Identity(), feedback=False)
    rows = cells(network)
    assert rows[0] == ["Network", "784"]
    assert rows[1] == ["layer", "reads", "coupling", "shape", "units", "gain", "parameters", "multiply-adds"]
    assert rows[3] == ["hidden", "input", "Dense", "500", "Tanh", "–", "392,500", "392,000"]
    assert rows[4] == ["layer2", "hidden", "Module(Sequential(Linear))", "20", "Tanh", "γ", "10,020", "10,000"]
    assert rows[5] == ["layer3", "layer2", "Dense", "10", "Identity", "read-out", "200", "200"]
    assert rows[-1] == ["total", "402,720", "402,200"]
    assert repr(network) == str(network)
    assert str(Network((4,))) == "Network 4: no layers yet"


def test_images_with_pooling_and_skips() -> None:
    rows = cells(ResNet(channels=[4, 8]).build((3, 8, 8), 10, seed=0))
    assert rows[3] == [
        "stem",
        "input",
        "Convolution",
        "3",
        "4×8×8",
        "ReLU",
        "–",
        "112",
        str(8 * 8 * 4 * 27).replace("6912", "6,912"),
    ]
    assert ["stem", "Skip", "γ²", "0", "0"] in rows
    assert ["block1", "Convolution", "1", "avg", "2", "γ²", "40", "2,048"] in rows


def test_a_hundred_columns_hold_the_usual_ones() -> None:
    for model in (MLP(), VGG(), VGG16(), ResNet(), Hopfield(), SoftHebbNet()):
        network = model.build((3, 32, 32), 10, seed=0)
        lines = str(network).splitlines()
        assert max(map(len, lines)) <= 100, model
        assert len(lines) == 5 + len(network.edges)
        size = sum(parameter.numel() for parameter in network.parameters())
        assert lines[-1].split() == ["total", f"{size:,}", f"{sum(e.multiply_adds for e in network.edges):,}"]


def test_what_normalizes_says_its_filters_and_its_pooling() -> None:
    network = Network((2, 8, 8))
    network.add(BatchNorm(Convolution(2, 4, 3, padding=2, dilation=2), 4, pool=MaxPool(2)), ReLU())
    network.add(GroupNorm(Skip(), 2, 4, pool=AdaptiveAveragePool(1)), ReLU())
    kinds = [label(edge.coupling) for edge in network.edges]
    assert kinds == ["BatchNorm(Convolution 3 dilated 2) max 2", "GroupNorm(Skip) AdaptiveAveragePool(1)"]
