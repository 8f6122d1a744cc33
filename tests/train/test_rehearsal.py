"""What is wrong about a run is found before data, weights or folder are touched."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from energy.component import ConfigurationError, from_dict
from energy.couplings import Dense
from energy.data.dataset import DataSet
from energy.model import Model
from energy.network import Network
from energy.potentials import Identity, ReLU
from energy.train.registration import register_builtins
from energy.train.rehearsal import rehearse
from energy.train.run import Run


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A world in which reading data, and drawing a number, fails; an empty working folder."""

    def touched(*_: object, **__: object) -> None:
        raise AssertionError("touched")

    monkeypatch.setattr(DataSet, "load", touched)
    monkeypatch.setattr(Run, "place", touched)
    monkeypatch.chdir(tmp_path)


def _run(**plain: Any) -> Run:
    register_builtins()
    return from_dict(Run, {"model": {"name": "mlp", "sizes": [8]}, "data": "digits", **plain}, path="")


SOFTHEBB = {"name": "softhebb", "channels": [4], "kernels": [3], "powers": [1.0]}


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"model": "vgg16"}, r"model=vgg16: does not fit images of 1×8×8 in 10 classes: MaxPool\(2\) does not fit"),
        ({"model": {**SOFTHEBB, "pools": ["max_2_2_2"]}}, "model=softhebb: does not fit images of 1×8×8"),
        ({"model": {**SOFTHEBB, "pools": ["avg_9_1_0"]}}, "model=softhebb: does not fit images"),
        ({"model": {**SOFTHEBB, "pools": ["max_2_0_0"]}}, "model=softhebb: does not fit images"),
        ({"model": {"name": "resnet", "channels": [4] * 9}}, "model=resnet: does not fit images"),
        ({"model": {"name": "mlp", "sizes": [10**12, 10**12]}}, "model=mlp: does not fit images"),
        ({"model": {"name": "mlp", "sizes": [10**25]}}, "model=mlp: does not fit images"),
        ({"optimizer": {"layer_lr": [0.1]}}, "layer_lr=.*must have 2 entries"),
        ({"train": {"freeze": ["dens*"]}, "rule": "softhebb"}, "leaves no layer|says? readout=linear"),
        ({"train": {"freeze": ["dens1"]}}, "no layer is called 'dens1'; did you mean 'dense1'?"),
        ({"train": {"freeze": ["conv*"]}}, "no layer is called 'conv\\*'.*there are dense1, output"),
        ({"train": {"freeze": ["*"]}}, "leaves no layer"),
        ({"train": {"start": "nowhere"}}, "train.start='nowhere': .*no final weights"),
        ({"train": {"batch_size": 1294}}, "train.batch_size=1294: must be at most the 1293 images of data=digits"),
        ({"train": {"batch_size": 51}, "data": {"name": "digits", "limit": 50}}, "at most the 50 images"),
        ({"data": {"name": "digits", "limit": 1437}}, "limit=1437"),
        ({"data": "mnist", "train": {"batch_size": 54_001}}, "at most the 54000 images of data=mnist"),
        ({"rule": "softhebb"}, "readout=joint: rule=softhebb leaves the output layer as it is; say readout=linear"),
        ({"readout": "linear", "rule": "softhebb", "model": {"name": "mlp", "sizes": []}}, "readout: needs one dense"),
        ({"objective": "squared_error", "model": {"name": "mlp", "output": "tanh"}}, "no closed step on a Tanh"),
        ({"model": {"name": "mlp", "output": "tanh"}}, "its softmax reads logits"),
        ({"rule": {"name": "per_layer", "rules": ["hebb"] * 3}, "readout": "linear"}, "3 rules for 2 layers"),
    ],
)
def test_what_does_not_fit_is_one_line(plain: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        rehearse(_run(**plain))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"train": {"batch_size": 1293}},
        {"model": "vgg16", "data": "cifar10"},
        {"model": {"name": "mlp", "sizes": [10**9, 10**9]}},  # 4 EB of weights
        {"optimizer": {"layer_lr": [0.1, 0.2]}},
        {"rule": "softhebb", "readout": "linear"},
        {"train": {"freeze": ["output"]}},
        *[
            {"settler": {"name": "dual_propagation", "feedback": kind}}
            for kind in ("random", "direct", "sign", "sign_batch", "sign_unit", "kolen_pollack")
        ],
    ],
)
def test_what_fits_is_let_through_without_a_number(plain: dict[str, Any], tmp_path: Path) -> None:
    rehearse(_run(**plain))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["hopfield", "hopfield_laborieux", "mlp", "resnet", "softhebb", "spiking", "vgg"])
def test_every_model_is_laid_out_as_it_will_be(name: str) -> None:
    run = _run(model=name, data="cifar10")
    with torch.device("meta"):
        drafted = run.draft()
    assert all(parameter.is_meta for parameter in drafted.parameters())
    built = run.draft()
    assert [layer.shape for layer in drafted.layers] == [layer.shape for layer in built.layers]
    assert [p.shape for p in drafted.parameters()] == [p.shape for p in built.parameters()]


class Odd(Model):
    """A model whose network is what the test says."""

    def build(self, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("raised", "said"),
    [(KeyError("x"), "'x'"), (ZeroDivisionError("by zero"), "by zero"), (IndexError(), "IndexError")],
)
def test_what_a_model_of_ones_own_raises_is_one_line(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(Odd, "build", fail)
    with pytest.raises(ConfigurationError, match=f"does not fit images of 1×8×8 in 10 classes: {said}"):
        rehearse(Run(model=Odd(), data=_run().data))


def test_a_network_of_other_sides_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(self: Odd, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        network = Network(shape)
        network.add(Dense(math.prod(shape), 4), ReLU())
        network.add(Dense(4, classes - 1), Identity())
        return network

    monkeypatch.setattr(Odd, "build", narrow)
    with pytest.raises(ConfigurationError, match=r"it reads \(1, 8, 8\) and returns \(9,\)"):
        rehearse(Run(model=Odd(), data=_run().data))


def test_a_model_that_needs_numbers_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(self: Odd, shape: tuple[int, ...], classes: int, *, seed: int) -> Network:
        network = Network(shape)
        network.add(Dense(math.prod(shape), 4), ReLU())
        network.add(Dense(4, classes), Identity())
        for parameter in network.parameters():
            nn.init.constant_(parameter, 0.1)
            assert parameter.sum().item() > 0
        return network

    monkeypatch.setattr(Odd, "build", measured)
    rehearse(Run(model=Odd(), data=_run().data))


def test_all_runs_of_a_sweep_are_rehearsed(tmp_path: Path) -> None:
    from energy.cli import main

    assert main(["train", "--dry-run", "-m", "model=mlp,vgg16", "train.epochs=1", "out=sweep"]) == 2
    assert not list(tmp_path.iterdir())


def test_all_entrants_of_a_comparison_are_rehearsed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from energy.cli import main

    assert main(["compare", "settlers=[backprop, 'v: backprop optimizer.layer_lr=[0.1]']", "out=c"]) == 2
    assert "layer_lr=[0.1]: must have 5 entries" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
