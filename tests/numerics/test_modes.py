"""Couplings are functions of their states: nothing in them draws, or hears the rest of a batch, outside of
`Network.learning`, and `add` leaves no trace in what it looks at."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from energy.cautions import Caution, strict
from energy.couplings import Coupling, Dense, Module
from energy.couplings.block import Block
from energy.network import Network
from energy.objectives import SquaredError
from energy.potentials import Identity, RePU, Tanh
from energy.rules.contrast import Contrast
from energy.rules.softhebb import SoftHebb
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation, EquilibriumPropagation, Implicit
from energy.settle.two_phase import TwoPhase
from tests.settle import nets
from tests.settle.oracles import autograd, gap


class Sometimes(nn.Module):
    """Drops in training mode, by a function."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, self.training)


class Always(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, True)


class Moving(nn.Module):
    """Takes away a mean that it remembers, in a way of its own."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean.lerp_(x.detach().mean(), 0.1)
        return x - self.mean


def dense(*more: nn.Module) -> Callable[[], Coupling]:
    return lambda: copy.deepcopy(Module(nn.Sequential(nn.Linear(6, 5), *more)))


def image(*more: nn.Module) -> Callable[[], Coupling]:
    return lambda: copy.deepcopy(Module(nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 2, 2), *more)))


def attention(dropout: float) -> Callable[[], Coupling]:
    layer = nn.TransformerEncoderLayer(3, 1, 4, dropout=dropout, batch_first=True)
    return lambda: Module(nn.Sequential(nn.Unflatten(1, (2, 3)), copy.deepcopy(layer), nn.Flatten()))


CHANCE: dict[str, tuple[Callable[[], Coupling], str]] = {
    "dropout": (dense(nn.Dropout(0.5)), r"module\.1 \(Dropout\)"),
    "nested": (dense(nn.Sequential(nn.Tanh(), nn.Sequential(nn.Dropout(0.1)))), r"module\.1\.1\.0 \(Dropout\)"),
    "two": (dense(nn.Dropout(0.5), nn.AlphaDropout(0.5)), r"module\.1 \(Dropout\), module\.2 \(AlphaDropout\)"),
    "of maps": (image(nn.Dropout2d(0.5)), r"module\.2 \(Dropout2d\)"),
    "rrelu": (dense(nn.RReLU()), r"module\.1 \(RReLU\)"),
    "by a function": (dense(Sometimes()), r"what is random in module \(Sequential\)"),
    "of attention": (attention(0.1), r"module\.1\.dropout \(Dropout\)"),
    "in a block": (lambda: Block(Dense(6, 5), nn.Dropout(0.5)), r"prepare\.0 \(Dropout\)"),
    "by a function, in a block": (lambda: Block(Dense(6, 5), Sometimes()), "what is random in Block"),
}
MEMORY: dict[str, tuple[Callable[[], Coupling], str]] = {
    "batch norm": (dense(nn.BatchNorm1d(5)), r"module\.1 \(BatchNorm1d\)"),
    "of images": (image(nn.BatchNorm2d(2)), r"module\.2 \(BatchNorm2d\)"),
    "over processes": (image(nn.SyncBatchNorm(2)), r"module\.2 \(SyncBatchNorm\)"),
    "of samples": (image(nn.InstanceNorm2d(2, track_running_stats=True)), r"module\.2 \(InstanceNorm2d\)"),
    "lazy norm": (
        lambda: Module(nn.Sequential(nn.Linear(6, 5), nn.LazyBatchNorm1d())),
        r"module\.1 \(BatchNorm1d\)",
    ),
    "of one's own": (dense(Moving()), r"module\.1 \(Moving\)"),
    "spectral norm": (
        lambda: Module(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 5))),
        r"module\.parametrizations\.weight\.0 \(_SpectralNorm\)",
    ),
}
PLAIN: dict[str, Callable[[], Coupling]] = {
    "layer norm": dense(nn.LayerNorm(5)),
    "group norm": image(nn.GroupNorm(2, 2)),
    "instance norm": image(nn.InstanceNorm2d(2)),
    "dropout of nothing": dense(nn.Dropout(0.0)),
    "attention without dropout": attention(0.0),
    "lazy": lambda: Module(nn.LazyLinear(5)),
    "block": lambda: Block(Dense(6, 5), nn.BatchNorm1d(6, affine=False), centered=True),
}
CASES = {name: make for table in (CHANCE, MEMORY) for name, (make, _) in table.items()} | PLAIN


def quiet(coupling: Coupling, *, read: bool = True) -> Network:
    """The coupling between six inputs and three outputs, its caution not looked at."""
    network = Network((6,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Caution)
        network.add(coupling, Tanh())
    if read:
        network.add(Dense(torch.Size(network.shape(1)).numel(), 3), Identity())
        nets.draw(network, 0.8, 0)
    return network


def copied(coupling: Coupling) -> dict[str, Tensor]:
    lazy = nn.parameter.is_lazy
    return {name: tensor.clone() for name, tensor in coupling.state_dict().items() if not lazy(tensor)}


@pytest.mark.parametrize("name", CASES)
def test_adding_leaves_no_trace(name: str) -> None:
    coupling = CASES[name]()
    before, random = copied(coupling), torch.get_rng_state()
    network = quiet(coupling, read=False)
    if name != "lazy":  # it draws its weights as soon as it knows how many
        assert torch.equal(random, torch.get_rng_state())
    after = coupling.state_dict()
    assert all(torch.equal(tensor, after[key]) for key, tensor in before.items())
    assert not any(module.training for module in network.couplings.modules() if module is not network.couplings)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("copy_it", [False, True], ids=["itself", "copied"])
def test_a_coupling_is_a_function_in_every_mode(name: str, copy_it: bool) -> None:
    """The same output twice and sample by sample, after every way to ask for training mode, and the gradient of it."""
    network = quiet(CASES[name]())
    network = copy.deepcopy(network) if copy_it else network
    x, target = nets.batch(network)
    wanted, said = autograd(network, x, target, nets.FROZEN), network(x).detach()
    asking: list[Any] = [
        network.train,
        network.couplings.train,
        network.edges[0].coupling.train,
        lambda: [module.train() for module in reversed(list(network.modules()))],  # as `Module.apply` goes
        lambda: nn.Sequential(network).train(),
        lambda: [module.train() for module in network.modules() if not isinstance(module, Network)],
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Caution)
        for ask in asking:
            ask()
            for part, like in ((network, said), (network.subnetwork(2), said)):
                torch.testing.assert_close(part(x), like)
            torch.testing.assert_close(network(x[:1]), said[:1])
            found = Contrast().gradients(network, Implicit(gamma=0.0).settle(network, x, target, nets.FROZEN))
            assert gap(found, wanted) < 1e-12


@pytest.mark.parametrize("name", CHANCE)
def test_what_draws_never_does_and_that_is_said_once(name: str) -> None:
    make, words = CHANCE[name]
    network = Network((6,))
    with pytest.warns(Caution, match=rf"^layer 1 \(h\): {words}.* never acts.*take it out") as said:
        network.add(make(), Tanh(), name="h")
    assert len(said) == 1 and said[0].filename == __file__
    with strict(), pytest.raises(Caution, match=words):
        Network((6,)).add(make(), Tanh())
    network.add(Dense(torch.Size(network.shape(1)).numel(), 3), Identity())
    nets.draw(network, 0.8, 0)
    x, target = nets.batch(network)
    network.subnetwork(1)(x)  # says nothing again
    wanted = autograd(network, x, target, nets.FROZEN)
    with network.learning():
        torch.testing.assert_close(network(x), network(x), rtol=0, atol=0)
    found = Contrast().gradients(network, Backprop().settle(network, x, target, nets.FROZEN))
    assert gap(found, wanted) < 1e-12


@pytest.mark.parametrize("name", MEMORY)
def test_what_remembers_batches_does_so_under_backprop_alone(name: str) -> None:
    make, words = MEMORY[name]
    network = Network((6,))
    with torch.random.fork_rng():
        torch.manual_seed(0)  # a power iteration that has converged would remember nothing new
        coupling = make()
    with pytest.warns(Caution, match=rf"^layer 1 \(layer1\): {words} updates.*backprop alone.*GroupNorm") as said:
        network.add(coupling, Tanh())
    assert len(said) == 1 and said[0].filename == __file__
    network.add(Dense(torch.Size(network.shape(1)).numel(), 3), Identity())
    nets.draw(network, 0.8, 0)
    x, target = nets.batch(network)
    before = copied(network.edges[0].coupling)
    for settler in (DualPropagation(), EquilibriumPropagation(), TwoPhase(), Implicit()):
        network.zero_grad()
        Contrast().learn(network, settler, x, target, nets.FROZEN)
        settler.predict(network, x)
    buffers = dict(network.edges[0].coupling.named_buffers())
    assert all(torch.equal(buffer, before[key]) for key, buffer in buffers.items())
    Contrast().learn(network, Backprop(), x, target, nets.FROZEN)
    assert any(not torch.equal(buffer, before[key]) for key, buffer in buffers.items())
    assert not any(module.training for module in network.edges[0].coupling.modules())


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_a_function_anyway_says_nothing(name: str) -> None:
    with strict():
        Network((6,)).add(PLAIN[name](), Tanh())


def test_statistics_that_were_learned_say_nothing() -> None:
    inner = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))
    inner(torch.randn(8, 6))
    with strict():
        Network((6,)).add(Module(inner), Tanh())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            dense(nn.BatchNorm1d(5, track_running_stats=False)),
            r"module\.1 \(BatchNorm1d\) lets a sample's output depend",
        ),
        (
            image(nn.BatchNorm2d(2, track_running_stats=False)),
            r"module\.2 \(BatchNorm2d\) lets a sample's output depend",
        ),
        (dense(nn.Softmax(0)), r"module \(Sequential\) lets a sample's output depend on the rest of its batch"),
        (dense(Always()), r"module \(Sequential\) differs when asked again: must not depend on chance"),
        (lambda: Block(Dense(6, 5), Always()), "Block differs when asked again"),
    ],
)
def test_what_is_no_function_of_a_sample_is_refused(make: Callable[[], Coupling], words: str) -> None:
    random = torch.get_rng_state()
    with pytest.raises(ValueError, match=words):
        Network((6,)).add(make(), Tanh())
    coupling = make()
    random = torch.get_rng_state()
    with pytest.raises(ValueError, match=words):
        Network((6,)).add(coupling, Tanh())
    assert torch.equal(random, torch.get_rng_state())


def test_a_block_learns_its_statistics_and_drops_nothing_meanwhile() -> None:
    """With momentum 0.1 the mean moves a tenth of the way to that of the batch, dropout standing between or not."""
    norm = nn.BatchNorm1d(6, affine=False)
    network = Network((6,))
    with pytest.warns(Caution, match=r"prepare\.0 \(Dropout\) never acts"):
        network.add(Block(Dense(6, 5), nn.Dropout(0.5), norm, centered=True), RePU())
    network.add(Dense(5, 3), Identity())
    nets.draw(network, 1.0, 0)
    x, target = nets.batch(network, samples=8)
    SoftHebb().learn(network, DualPropagation(), x, target, SquaredError())
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, 0.1 * x.mean(0))
    assert not any(module.training for module in network.edges[0].coupling.modules())


def test_a_part_that_is_trained_by_itself_is_put_right_and_looked_at_again() -> None:
    network = quiet(Module(nn.Sequential(nn.Linear(6, 5))))
    x, _ = nets.batch(network)
    inner = network.get_submodule("couplings.0.module")
    assert isinstance(inner, nn.Sequential)
    inner.append(nn.Dropout(0.5))
    with pytest.warns(Caution, match=r"couplings\.0: module\.1 \(Dropout\) never acts"):
        first = network(x)
    torch.testing.assert_close(network(x), first, rtol=0, atol=0)
