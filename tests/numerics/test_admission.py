"""What a network takes in and what it refuses, in one line that names the cure."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from energy.couplings import Convolution, Coupling, Dense, Module, Skip
from energy.couplings.block import Block
from energy.network import Network
from energy.pooling import AveragePool, MaxPool
from energy.potentials import Identity, ReLU, Tanh
from energy.rules.contrast import Contrast
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation, EquilibriumPropagation, Implicit
from energy.settle.feedforward import Feedforward
from energy.settle.settler import Settler
from energy.settle.spiking import Spiking
from energy.settle.two_phase import TwoPhase
from tests.settle import nets
from tests.settle.oracles import autograd, gap

SETTLERS: list[Settler] = [
    DualPropagation(),
    EquilibriumPropagation(relax=nets.once(2), nudged=nets.once(2)),
    TwoPhase(relax=nets.once(2), nudged=nets.once(2)),
    Backprop(),
    Feedforward(),
    Spiking(),
]


class Half(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


def nothing(*_: Any) -> None:
    return None


HANGINGS: dict[str, Callable[[Any], Any]] = {
    "weight_norm": lambda one: parametrizations.weight_norm(one),
    "spectral_norm": lambda one: parametrizations.spectral_norm(one),
    "orthogonal": lambda one: parametrizations.orthogonal(one),
    "own, of the weight": lambda one: parametrize.register_parametrization(one, "weight", Half()),
    "own, of the bias": lambda one: parametrize.register_parametrization(one, "bias", Half()),
    "spectral_norm by hooks": lambda one: spectral_norm(one),
    "pruned": lambda one: prune.l1_unstructured(one, "weight", 0.5),
    "bias pruned": lambda one: prune.random_unstructured(one, "bias", 0.5),
    "forward hook": lambda one: one.register_forward_hook(nothing),
    "forward pre-hook": lambda one: one.register_forward_pre_hook(nothing),
    "backward hook": lambda one: one.register_full_backward_hook(nothing),
    "backward pre-hook": lambda one: one.register_full_backward_pre_hook(nothing),
}
KINDS: dict[str, Callable[[], Coupling]] = {
    "dense": lambda: Dense(32, 8),
    "convolution": lambda: Convolution(2, 3, 3, padding=1, pool=MaxPool(2)),
    "block": lambda: Block(Convolution(2, 3, 3), nn.AvgPool2d(1)),
}


def built(coupling: Coupling) -> Network:
    network = Network((2, 4, 4))
    network.add(coupling, Tanh())
    network.add(Dense(torch.Size(network.shape(1)).numel(), 3), Identity())
    return nets.draw(network, 0.8, 0)


def closed(coupling: Coupling) -> nn.Module:
    return coupling.filters if isinstance(coupling, Block) else coupling


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hanging", HANGINGS)
def test_closed_forms_refuse_what_they_would_go_round(hanging: str, kind: str) -> None:
    coupling = KINDS[kind]()
    nn.init.eye_(next(coupling.parameters()).data.flatten(1))
    HANGINGS[hanging](closed(coupling))
    path = re.escape("couplings.0.filters" if kind == "block" else "couplings.0")
    words = rf"^{path} is a (Dense|Convolution) with .*: take it off, or put it on the inner module of .*Module\("
    with pytest.raises(ValueError, match=words):
        Network((2, 4, 4)).add(coupling, Tanh())
    network = built(KINDS[kind]())
    HANGINGS[hanging](closed(network.edges[0].coupling))
    x, target = nets.batch(network)
    for settler in SETTLERS:
        with pytest.raises(ValueError, match=words):
            Contrast().learn(network, settler, x, target, nets.FROZEN)
    with pytest.raises(ValueError, match=words):
        network(x)
    with pytest.raises(ValueError, match=words):
        DualPropagation().predict(network, x)


@pytest.mark.filterwarnings("ignore:.*:energy.cautions.Caution", "ignore:Full backward hook is firing:UserWarning")
@pytest.mark.parametrize("hanging", HANGINGS)
def test_modules_honor_them(hanging: str) -> None:
    """The gradient of the parameters that the parametrisation has, against autograd through the network."""
    network = built(Module(nn.Sequential(nn.Flatten(), nn.Linear(32, 8))))
    calls: list[int] = []
    inner = network.get_submodule("couplings.0.module.1")
    HANGINGS[hanging](inner)
    inner.register_forward_hook(lambda *_: calls.append(1))
    x, target = nets.batch(network)
    network.validate_batch(x)
    wanted = autograd(network, x, target, nets.FROZEN)
    calls.clear()
    found = Contrast().gradients(network, Implicit(gamma=0.0).settle(network, x, target, nets.FROZEN))
    assert gap(found, wanted) < 1e-12 and calls


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_the_older_weight_norm_is_refused_too() -> None:
    with pytest.raises(ValueError, match=r"couplings\.0 is a Dense with the hook WeightNorm"):
        Network((6,)).add(weight_norm(Dense(6, 3)), Tanh())


def test_what_was_taken_off_leaves_gradients_where_they_belong() -> None:
    """Pruning made permanent and parametrisations removed put the weight behind the bias in `parameters()`."""
    network = built(Dense(32, 8))
    first, last = (edge.coupling for edge in network.edges)
    prune.remove(prune.l1_unstructured(first, "weight", 0.5), "weight")
    parametrize.remove_parametrizations(parametrizations.weight_norm(last), "weight")
    x, target = nets.batch(network)
    Contrast().learn(network, Implicit(gamma=0.0), x, target, nets.FROZEN)
    wanted = autograd(network, x, target, nets.FROZEN)
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad * len(x), gradient)


def test_a_coupling_that_was_replaced_is_noticed() -> None:
    network = built(Dense(32, 8))
    network.couplings[0] = Dense(32, 8).double()
    with pytest.raises(ValueError, match=r"couplings\.0 was replaced after it was added"):
        network(nets.batch(network)[0])


def test_shared_parameters_are_refused() -> None:
    """One parameter in two couplings would have two products; every way to come there says which layers."""
    twice, tied, inner = Dense(5, 5), Dense(5, 5), nn.Linear(5, 5)
    tied.weight = twice.weight
    pairs: list[tuple[Coupling, Coupling]] = [
        (twice, twice),
        (twice, tied),
        (Module(inner), Module(nn.Sequential(nn.Tanh(), inner))),
        (Block(twice), tied),
    ]
    for first, second in pairs:
        network = Network((5,))
        network.add(first, Tanh())
        with pytest.raises(
            ValueError, match=r"layer 2: its \w+ shares a parameter with a coupling into layer 1.*deepcopy"
        ):
            network.add(second, Identity())
        with pytest.raises(ValueError, match="layer 2: its"):
            network.add({0: second, 1: copy.deepcopy(second)}, Identity())
        assert len(network.layers) == 1
        network.add(copy.deepcopy(second), Identity())
    network = Network((5,))
    network.add(Dense(5, 5), Tanh())
    with pytest.raises(ValueError, match="layer 2: its Dense shares a parameter with a coupling into layer 2"):
        network.add({0: twice, 1: twice}, Identity())


def test_ties_made_later_are_refused_and_what_has_no_parameters_may_be_shared() -> None:
    network, skip, tanh = Network((5,)), Skip(), nn.Tanh()
    for coupling in (Dense(5, 5), Dense(5, 5), skip, skip, Module(tanh), Module(tanh), Dense(5, 3)):
        network.add(coupling, Tanh() if isinstance(coupling, Skip | Module) else Identity())
    nets.draw(network, 0.5, 1)
    x, target = nets.batch(network)
    found = Contrast().gradients(network, Implicit(gamma=0.0).settle(network, x, target, nets.FROZEN))
    assert gap(found, autograd(network, x, target, nets.FROZEN)) < 1e-12
    network.get_submodule("couplings.1").weight = network.get_parameter("couplings.0.weight")
    for settler in SETTLERS:
        with pytest.raises(ValueError, match=r"couplings\.1 and couplings\.0 share a parameter"):
            settler.settle(network, x, target, nets.FROZEN)


def test_one_module_inside_a_coupling_may_be_used_twice() -> None:
    inner = nn.Linear(5, 5)
    network = Network((5,))
    network.add(Module(nn.Sequential(inner, nn.Tanh(), inner)), Tanh())
    network.add(Dense(5, 3), Identity())
    nets.draw(network, 0.5, 1)
    x, target = nets.batch(network)
    found = Contrast().gradients(network, Implicit(gamma=0.0).settle(network, x, target, nets.FROZEN))
    assert gap(found, autograd(network, x, target, nets.FROZEN)) < 1e-12


WRONG: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
    (nn.Linear(4, 3), Tanh(), {}, TypeError, r"Linear.*is no coupling: wrap it, energy\.couplings\.Module\(nn\.Linear"),
    (Dense, Tanh(), {}, TypeError, r"the class Dense is no coupling: must be an instance, such as Dense\(\.\.\.\)"),
    ("dense", Tanh(), {}, TypeError, r"str 'dense' is no coupling: must be one of energy\.couplings"),
    (None, Tanh(), {}, TypeError, "is no coupling"),
    ([Dense(4, 3)], Tanh(), {}, TypeError, "is no coupling"),
    ({0: nn.Linear(4, 3)}, Tanh(), {}, TypeError, r"energy\.couplings\.Module\(nn\.Linear"),
    ({-1: Dense(4, 3)}, Tanh(), {}, ValueError, r"reads layers \[-1\]: each must be one of 0 … 0"),
    ({1: Dense(4, 3)}, Tanh(), {}, ValueError, r"reads layers \[1\]"),
    ({0.0: Dense(4, 3)}, Tanh(), {}, TypeError, r"layer 1 reads float 0\.0: must be the number of a layer"),
    ({False: Dense(4, 3)}, Tanh(), {}, TypeError, "layer 1 reads bool False"),
    ({"x": Dense(4, 3)}, Tanh(), {}, TypeError, "layer 1 reads str 'x'"),
    ({}, Tanh(), {}, ValueError, r"reads layers \[\]"),
    (Dense(4, 3), Tanh, {}, TypeError, r"potential is the class Tanh: must be an instance, such as Tanh\(\)"),
    (Dense(4, 3), "tanh", {}, TypeError, r"potential is str 'tanh': must be an instance, such as .*ReLU\(\)"),
    (Dense(4, 3), torch.tanh, {}, TypeError, "potential is builtin_function"),
    (Dense(4, 3), nn.Tanh(), {}, TypeError, r"potential is Tanh Tanh\(\)"),
    (Dense(4, 3), None, {}, TypeError, "potential is NoneType None"),
    (Dense(4, 3), Tanh(), {"name": 3}, TypeError, "layer 1: name is int 3: must be a string"),
    (Module(nn.Linear(5, 3)), Tanh(), {}, ValueError, r"layer 1: Module cannot read a layer of shape \(4,\)"),
]


@pytest.mark.parametrize(("couplings", "potential", "more", "kind", "words"), WRONG)
def test_wrong_arguments_of_add(couplings: Any, potential: Any, more: Any, kind: type[Exception], words: str) -> None:
    network = Network((4,))
    with pytest.raises(kind, match=words) as found:
        network.add(couplings, potential, **more)
    assert "\n" not in str(found.value) and not network.layers and not list(network.parameters())


def test_a_name_belongs_to_one_layer() -> None:
    network = Network((4,))
    network.add(Dense(4, 4), ReLU(), name="layer2")
    with pytest.raises(ValueError, match=r"layer 2: name='layer2' is that of layer 1: must be another"):
        network.add(Dense(4, 4), ReLU())
    network.add(Dense(4, 4), ReLU(), name="other")
    assert [layer.name for layer in network.layers] == ["layer2", "other"]


@pytest.mark.parametrize(
    ("shape", "kind", "words"),
    [
        (784, TypeError, r"input_shape is int 784: must be a shape, such as \(784,\)"),
        ("784", TypeError, "input_shape is str '784'"),
        (None, TypeError, "input_shape is NoneType"),
        ((), ValueError, r"input_shape=\(\): must be whole numbers of at least 1"),
        ((3, 0), ValueError, r"input_shape=\(3, 0\)"),
        ((-4,), ValueError, r"input_shape=\(-4,\)"),
        ((2.5,), ValueError, r"input_shape=\(2\.5,\)"),
        ((True,), ValueError, r"input_shape=\(True,\)"),
    ],
)
def test_wrong_shapes_of_the_input(shape: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        Network(shape)


def test_shapes_and_layers_may_be_numbers_of_any_kind() -> None:
    for shape in (torch.Size((4,)), [4], numpy.array([4]), (numpy.int64(4),)):
        network = Network(shape)  # type: ignore[arg-type]
        network.add({numpy.int64(0): Dense(4, 3)}, Tanh())  # type: ignore[dict-item]
        assert network.input_shape == (4,) and network.edges[0].source == 0
        assert all(type(n) is int for n in (*network.input_shape, network.edges[0].source))


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: Dense(0, 3), ValueError, r"Dense: fan_in=0: must be at least 1"),
        (lambda: Dense(3, -1), ValueError, r"Dense: size=-1"),
        (lambda: Dense((3, 4), 5), TypeError, r"Dense: fan_in is tuple \(3, 4\): must be a whole number"),  # type: ignore[arg-type]
        (lambda: Dense(3.0, 5), TypeError, r"Dense: fan_in is float 3\.0"),  # type: ignore[arg-type]
        (lambda: Convolution(3, 4, (3, 3)), TypeError, r"Convolution: kernel is tuple"),  # type: ignore[arg-type]
        (lambda: Convolution(3, 4, 0), ValueError, r"Convolution: kernel=0"),
        (lambda: Convolution(3, 4, padding=-1), ValueError, r"Convolution: padding=-1: must be at least 0"),
        (lambda: Convolution(3, 4, stride=0), ValueError, r"Convolution: stride=0"),
        (lambda: Convolution(3, 4, groups=2), ValueError, r"groups=2: must divide fan_in=3 and channels=4"),
        (lambda: Convolution(3, 4, pool=nn.MaxPool2d(2)), TypeError, r"pool is MaxPool2d.*must be energy\.pooling"),  # type: ignore[arg-type]
        (lambda: Convolution(3, 4, pool=MaxPool), TypeError, r"pool is the class MaxPool"),  # type: ignore[arg-type]
        (lambda: MaxPool(0), ValueError, r"MaxPool: size=0: must be a whole number of at least 1"),
        (lambda: AveragePool(2, 0), ValueError, r"AveragePool: stride=0"),
        (lambda: Module(nn.Linear), TypeError, r"Module: module is the class Linear"),  # type: ignore[arg-type]
        (lambda: Module(torch.tanh), TypeError, r"Module: module is builtin"),  # type: ignore[arg-type]
        (lambda: Block(nn.Linear(3, 2)), TypeError, r"Block: filters is Linear.*must be a Dense or a Convolution"),  # type: ignore[arg-type]
        (
            lambda: Block(Convolution(3, 2), nn.BatchNorm2d(3)),
            ValueError,
            r"Block: prepare\.0\.weight is a parameter.*take affine=False",
        ),
    ],
)
def test_wrong_arguments_of_couplings(make: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as found:
        make()
    assert "\n" not in str(found.value)


def test_what_is_no_tensor_or_has_no_layers() -> None:
    network = built(Dense(32, 8))
    with pytest.raises(TypeError, match=r"x is the class ndarray: must be a tensor"):
        network(numpy.zeros((2, 2, 4, 4)))
    with pytest.raises(ValueError, match="the network has no layers: add some first"):
        Network((4,))(torch.zeros(1, 4))
