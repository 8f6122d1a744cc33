"""Networks written down layer by layer: the named models are the oracle, weight by weight and after a step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from energy.cli import main
from energy.component import Component, ConfigurationError, from_dict, to_dict
from energy.couplings import Convolution, Coupling, Dense, Skip
from energy.couplings.block import Block
from energy.couplings.normalization import BatchNorm, GroupNorm, LayerNorm
from energy.model import Model
from energy.models import MLP, VGG, Chain, Hopfield, ResNet
from energy.network import Network
from energy.objectives import SquaredError
from energy.pooling import AdaptiveAveragePool, AdaptiveMaxPool, AveragePool, MaxPool, Pool
from energy.potentials import HardSigmoid, Tanh
from energy.rules.contrast import Contrast
from energy.settle.dyadic import DualPropagation
from energy.specs import CouplingSpec, PoolingSpec
from energy.testing import check_component, check_model
from energy.train.evaluate import load_run

EQUIVALENTS: dict[str, tuple[Model, str, tuple[int, ...]]] = {
    "mlp": (
        MLP(sizes=[20, 12], hidden=Tanh(), gain=0.7),
        """
        hidden: tanh
        gain: 0.7
        layers:
          - coupling: {name: dense, size: 20}
          - coupling: {name: dense, size: 12}
        """,
        (1, 8, 8),
    ),
    "vgg": (
        VGG(plan=[6, 0, 8, 8, 0], dense=[16]),
        """
        layers:
          - coupling: {name: convolution, channels: 6, padding: 1}
            pooling: max_pool
          - coupling: {name: convolution, channels: 8, padding: 1}
          - coupling: {name: convolution, channels: 8, padding: 1}
            pooling: max_pool
          - coupling: {name: dense, size: 16}
        """,
        (3, 8, 8),
    ),
    "resnet": (
        ResNet(channels=[4, 6, 6]),
        """
        layers:
          - {title: stem, coupling: {name: convolution, channels: 4, padding: 1}}
          - {title: block1.inner, coupling: {name: convolution, channels: 4, padding: 1}}
          - title: block1
            coupling: {name: convolution, channels: 4, padding: 1}
            gain: 0.5
            skips: [{source: 1}]
          - title: block2.inner
            coupling: {name: convolution, channels: 6, padding: 1}
            pooling: average_pool
          - title: block2
            coupling: {name: convolution, channels: 6, padding: 1}
            gain: 0.5
            skips: [{source: 3, coupling: {name: convolution, channels: 6, kernel: 1}, pooling: average_pool}]
          - title: block3.inner
            coupling: {name: convolution, channels: 6, padding: 1}
            pooling: average_pool
          - title: block3
            coupling: {name: convolution, channels: 6, padding: 1}
            gain: 0.5
            skips: [{source: -2, coupling: {name: convolution, channels: 6, kernel: 1}, pooling: average_pool}]
        """,
        (3, 8, 8),
    ),
    "hopfield": (
        Hopfield(channels=[4, 6], paddings=[1, 0]),
        """
        hidden: hard_sigmoid
        draw: uniform
        gain: 0.5
        bias: 0.5
        layers:
          - coupling: {name: convolution, channels: 4, padding: 1}
            pooling: max_pool
          - coupling: {name: convolution, channels: 6}
            pooling: {name: max_pool, size: 2}
        """,
        (1, 8, 8),
    ),
}
equivalents = pytest.mark.parametrize(("named", "text", "shape"), EQUIVALENTS.values(), ids=EQUIVALENTS)


def chain(text: str) -> Chain:
    """The model that a file holds."""
    model = from_dict(Model, {"name": "chain", **yaml.safe_load(text)})
    assert isinstance(model, Chain)
    return model


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@equivalents
@pytest.mark.parametrize("seed", [0, 3])
def test_a_named_model_written_down_is_the_same_network(
    named: Model, text: str, shape: tuple[int, ...], seed: int
) -> None:
    """To the last bit: shapes, edges, weights, and the loss after a step."""
    mine, theirs = (model.build(shape, 10, seed=seed) for model in (chain(text), named))
    for one, other in zip(mine.layers, theirs.layers, strict=True):
        assert (one.shape, one.potential, one.depth) == (other.shape, other.potential, other.depth)
    for one, other in zip(mine.edges, theirs.edges, strict=True):
        assert repr(one.coupling) == repr(other.coupling)
        assert (one.source, one.target, one.feedback, one.span) == (other.source, other.target, True, other.span)
    for (name, one), (same, other) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == same
        assert torch.equal(one, other)
    x, target = noise(6, *shape), torch.eye(10)[torch.arange(6)]
    assert float(_stepped(mine, x, target)) == float(_stepped(theirs, x, target))


def _stepped(network: Network, x: Tensor, target: Tensor) -> Tensor:
    Contrast().learn(network, DualPropagation(), x, target, SquaredError())
    torch.optim.SGD(network.parameters(), lr=0.05).step()
    return SquaredError().value(network(x), target).sum().detach()


@equivalents
def test_a_description_holds_all_of_it(named: Model, text: str, shape: tuple[int, ...]) -> None:
    model = chain(text)
    assert check_component(model) == []
    assert check_model(model) == []
    again = from_dict(Model, json.loads(json.dumps(to_dict(model))))
    assert again == model


KINDS: dict[str, tuple[dict[str, Any], type[Coupling], tuple[int, ...]]] = {
    "dense": ({"name": "dense", "size": 5, "bias": False}, Dense, (5,)),
    "convolution": ({"name": "convolution", "channels": 6, "kernel": 3, "dilation": 2}, Convolution, (6, 4, 4)),
    "strided": ({"name": "convolution", "channels": 6, "kernel": 2, "stride": 3, "groups": 2}, Convolution, (6, 3, 3)),
    "batch_norm": (
        {"name": "batch_norm", "filters": {"name": "convolution", "channels": 6}, "momentum": 0.2},
        BatchNorm,
        (6, 6, 6),
    ),
    "layer_norm": ({"name": "layer_norm", "filters": {"name": "dense", "size": 7}}, LayerNorm, (7,)),
    "group_norm": ({"name": "group_norm", "groups": 2, "affine": False}, GroupNorm, (4, 8, 8)),
    "block": (
        {
            "name": "block",
            "filters": {"name": "convolution", "channels": 6},
            "prepool": {"name": "max_pool", "size": 4, "stride": 2, "padding": 1},
            "normalized": True,
            "reflect": 1,
            "centered": True,
        },
        Block,
        (6, 4, 4),
    ),
}


@pytest.mark.parametrize(("fields", "kind", "shape"), KINDS.values(), ids=KINDS)
def test_every_kind_of_coupling(fields: dict[str, Any], kind: type[Coupling], shape: tuple[int, ...]) -> None:
    network = from_dict(Model, {"name": "chain", "layers": [{"coupling": fields}]}).build((4, 8, 8), 3, seed=0)
    assert type(network.edges[0].coupling) is kind
    assert network.shape(1) == shape
    assert network(noise(2, 4, 8, 8)).shape == (2, 3)
    coupling: Any = network.edges[0].coupling
    for field in ("momentum", "groups", "dilation", "stride"):
        if field in fields:
            assert getattr(coupling, field) == fields[field]


POOLS: dict[str, tuple[dict[str, Any], type[Pool], int]] = {
    "max": ({"name": "max_pool", "size": 3, "stride": 2, "padding": 1}, MaxPool, 4),
    "average": ({"name": "average_pool"}, AveragePool, 4),
    "adaptive average": ({"name": "adaptive_average_pool"}, AdaptiveAveragePool, 1),
    "adaptive max": ({"name": "adaptive_max_pool", "size": 3}, AdaptiveMaxPool, 3),
}


@pytest.mark.parametrize(("fields", "kind", "side"), POOLS.values(), ids=POOLS)
@pytest.mark.parametrize("normalized", [False, True])
def test_every_kind_of_pooling(fields: dict[str, Any], kind: type[Pool], side: int, normalized: bool) -> None:
    filters = {"name": "convolution", "channels": 6, "padding": 1}
    coupling = {"name": "group_norm", "filters": filters} if normalized else filters
    network = from_dict(Model, {"name": "chain", "layers": [{"coupling": coupling, "pooling": fields}]})
    built: Any = network.build((4, 8, 8), 3, seed=0).edges[0].coupling
    assert type(built.pool) is kind
    assert built.shape((4, 8, 8)) == (6, side, side)
    module = from_dict(PoolingSpec, fields).module()
    assert module is not None
    full = noise(2, 6, 8, 8)
    assert torch.equal(module(full), built.pool(full))


def test_edges_feedback_and_names() -> None:
    model = chain("""
        feedback: false
        layers:
          - coupling: {name: dense, size: 8}
          - {coupling: {name: dense, size: 8}, feedback: false, potential: hard_sigmoid, title: aside}
          - coupling: {name: dense, size: 8}
            source: 1
            skips: [{source: 2}, {source: 0, coupling: {name: dense, size: 8}}]
        """)
    network = model.build((5,), 3, seed=0)
    assert [layer.name for layer in network.layers] == ["dense1", "aside", "dense3", "output"]
    assert [(e.source, e.target, e.feedback) for e in network.edges] == [
        (0, 1, True),
        (1, 2, False),
        (1, 3, True),
        (2, 3, True),
        (0, 3, True),
        (3, 4, False),
    ]
    assert isinstance(network.edges[3].coupling, Skip)
    assert network.layers[1].potential == HardSigmoid()
    assert network.readout(4)


def test_initial_scales_follow_gain_and_distribution() -> None:
    """Standard deviations: gain/√fan-in of both normals, gain/√(3 fan-in) of the uniform; biases U(±bias/√fan-in)."""
    for draw, spread in (("normal", 1.0), ("gaussian", 1.0), ("uniform", 3**-0.5)):
        layer = {"coupling": {"name": "dense", "size": 400}, "gain": 0.5}
        model = from_dict(Model, {"name": "chain", "layers": [layer], "draw": draw, "gain": 1.5, "bias": 0.3})
        network = model.build((100,), 10, seed=1)
        weight, bias = (network.get_parameter(f"couplings.0.{name}").detach() for name in ("weight", "bias"))
        assert float(weight.std()) == pytest.approx(0.75 * spread / 10, rel=0.02)
        assert float(bias.abs().max()) == pytest.approx(0.03, rel=0.05)
    network = from_dict(Model, {"name": "chain", "layers": [{"coupling": {"name": "batch_norm"}}]}).build(
        (100,), 10, seed=1
    )
    assert float(network.get_parameter("couplings.0.scale").detach().std()) == 0


class Noisy(Coupling):
    """Draws a threshold for every unit when it is made, and has a weight."""

    def __init__(self, fan_in: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size, fan_in))
        self.threshold = nn.Parameter(torch.randn(size))

    def forward(self, pre: Tensor) -> Tensor:
        return pre.flatten(1) @ self.weight.to(pre.dtype).T - self.threshold.to(pre.dtype)


@pytest.fixture
def restored_table() -> Iterator[None]:
    before = dict(Component.registry)
    yield
    Component.registry.clear()
    Component.registry.update(before)


@pytest.mark.usefixtures("restored_table")
def test_what_a_coupling_draws_by_itself_comes_from_the_seed_too() -> None:
    class NoisySpec(CouplingSpec, name="noisy"):
        size: int = 4

        def build(self, shape: tuple[int, ...], *, pool: Pool | None = None, classes: int = 0) -> Coupling:
            return Noisy(torch.Size(shape).numel(), self.size)

    model = from_dict(Model, {"name": "chain", "layers": [{"coupling": "noisy"}, {"coupling": "noisy"}]})
    before = torch.get_rng_state()
    networks = [model.build((5,), 3, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    one, again, other = (network.state_dict() for network in networks)
    assert all(torch.equal(one[name], again[name]) for name in one)
    for name in ("threshold", "weight"):
        assert not torch.equal(one[f"couplings.0.{name}"], other[f"couplings.0.{name}"])
        assert one[f"couplings.0.{name}"].std() > 0
    assert not torch.equal(one["couplings.0.threshold"], one["couplings.1.threshold"])


DENSE = {"coupling": {"name": "dense", "size": 8}}
MISTAKES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "coupling": ([DENSE, {"coupling": "dens"}], r"model\.layers\[1\]\.coupling=dens: unknown; did you mean 'dense'"),
    "pooling": ([{**DENSE, "pooling": "maxpool"}], r"layers\[0\]\.pooling=maxpool: unknown; did you mean 'max_pool'"),
    "potential": ([{**DENSE, "potential": "tanhh"}], r"layers\[0\]\.potential=tanhh: unknown; did you mean 'tanh'"),
    "field": (
        [{"coupling": {"name": "dense", "sise": 3}}],
        r"layers\[0\]\.coupling\.sise: unknown field; did you mean",
    ),
    "nested": (
        [{"coupling": {"name": "batch_norm", "filters": {"name": "convolution", "channels": 2, "kernel": 0}}}],
        r"model\.layers\[0\]\.coupling\.filters\.kernel=0: must be at least 1",
    ),
    "of a layer": ([{**DENSE, "skip": []}], r"layers\[0\]\.skip: unknown field; did you mean 'skips'"),
    "missing": ([{"pooling": "none"}], r"layers\[0\]\.coupling: has no default and must be given"),
    "dropout": ([{**DENSE, "dropout": 0.5}], r"layers\[0\]\.dropout=0\.5: must be 0: every mask has an energy of its"),
    "gain": ([{**DENSE, "gain": 0.0}], r"layers\[0\]\.gain=0\.0: must be > 0"),
    "pool padding": (
        [{**DENSE, "pooling": {"name": "max_pool", "padding": 2}}],
        r"layers\[0\]\.pooling\.padding=2: must be from 0 to half of size, 1",
    ),
}


@pytest.mark.parametrize(("layers", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_a_field_is_named_with_its_layer(layers: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        from_dict(Model, {"name": "chain", "layers": layers})


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "size": ({"coupling": "dense"}, r"layer 2 \(layers\[1\]\): dense\.size=0: must be at least 1"),
    "image": (
        {"coupling": {"name": "convolution", "channels": 3}},
        r"layer 2 \(layers\[1\]\): coupling=convolution: cannot read a layer of shape \(8,\): must be an image",
    ),
    "unpooled": (
        {**DENSE, "pooling": "max_pool"},
        r"layer 2 .*: pooling=MaxPool\(2\): must be none, since coupling=dense",
    ),
    "source": ({**DENSE, "source": 2}, r"layer 2 \(layers\[1\]\)\.source=2: must be 0 \(the input\) … 1, or −1"),
    "skip": ({**DENSE, "skips": [{"source": -3}]}, r"layer 2 \(layers\[1\]\)\.skips\[0\]\.source=-3: must be 0"),
    "twice": ({**DENSE, "skips": [{"source": 1}]}, r"layer 2 .*skips\[0\]\.source=1: must be a layer that it does not"),
    "sum": ({**DENSE, "skips": [{"source": 0}]}, r"layer 2 .*disagree on its shape"),
    "title": ({**DENSE, "title": "dense1"}, r"layer 2 .*name='dense1' is that of layer 1"),
    "groups": ({"coupling": {"name": "group_norm", "groups": 3}}, r"layer 2 .*groups=3: must divide channels=8"),
    "block": (
        {"coupling": {"name": "block", "filters": {"name": "dense", "size": 3}}, "pooling": "average_pool"},
        r"layer 2 .*must be none; a block pools the layer below: prepool",
    ),
}


@pytest.mark.parametrize(("layer", "said"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_named_with_its_layer(layer: dict[str, Any], said: str) -> None:
    model = from_dict(Model, {"name": "chain", "layers": [DENSE, layer]})
    with pytest.raises(ConfigurationError, match=said):
        model.build((1, 6, 6), 3, seed=0)


def test_the_head_must_reach_the_classes() -> None:
    model = from_dict(Model, {"name": "chain", "head": {"name": "dense", "size": 4}})
    with pytest.raises(ConfigurationError, match=r"chain\.head: has shape \(4,\): must be \(3,\)"):
        model.build((5,), 3, seed=0)
    normalized = from_dict(Model, {"name": "chain", "head": {"name": "batch_norm", "filters": "dense"}})
    assert normalized.build((5,), 3, seed=0).output.shape == (3,)


NET = """
hidden: tanh
layers:
  - coupling: {name: batch_norm, filters: {name: convolution, channels: 4, padding: 1, bias: false}}
    pooling: max_pool
  - coupling: {name: convolution, channels: 4, padding: 1}
  - coupling: {name: convolution, channels: 4, padding: 1}
    skips: [{source: 1}]
"""
QUICK = [
    "data=digits",
    "data.limit=128",
    "train.batch_size=32",
    "train.epochs=2",
    "train.progress=false",
    "train.probe_batch=16",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restored_table: None) -> Path:
    """A folder with a network file in it, current."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(NET, encoding="utf-8")
    return tmp_path


def trained(here: Path, *words: str, out: str = "run") -> dict[str, Any]:
    assert main(["train", "model=chain", *QUICK, f"out={out}", *words]) == 0
    return json.loads((here / out / "configuration.json").read_text(encoding="utf-8"))["run"]["model"]


@pytest.mark.parametrize(
    "settler", ["dual_propagation", "backprop", pytest.param("equilibrium_propagation", marks=pytest.mark.slow)]
)
def test_a_run_folder_needs_no_file(here: Path, settler: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = trained(here, "model.file=net.yaml", f"settler={settler}")
    assert "file" not in model
    assert from_dict(Model, model).layers == chain(NET).layers  # type: ignore[attr-defined]
    (here / "net.yaml").unlink()
    network = load_run(here / "run", "cpu")[1]
    capsys.readouterr()
    assert main(["evaluate", "run"]) == 0
    scored = json.loads(capsys.readouterr().out)
    # the probe of angles, which settles too, leaves no trace: one batch a step
    epochs = int(scored["weights"].rpartition("epoch ")[2]) + 1  # "best validation, epoch 0"
    assert int(network.get_buffer("couplings.0.num_batches_tracked")) == epochs * scored["step"] // 2 > 1


def test_layers_on_the_command_line(here: Path) -> None:
    model = trained(here, "model.layers=[{coupling:{name:dense,size:9},potential:tanh},{coupling:{name:layer_norm}}]")
    assert [layer["coupling"]["name"] for layer in model["layers"]] == ["dense", "layer_norm"]
    assert model["layers"][0]["potential"] == {"name": "tanh"}


def test_what_is_said_goes_before_what_the_file_says(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--dry-run", "model=chain", "model.file=net.yaml", "model.hidden=relu"]) == 0
    said = json.loads(capsys.readouterr().out)["model"]
    assert said["hidden"] == {"name": "relu"}
    assert len(said["layers"]) == 3


def test_an_experiment_holds_layers_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = here / "mine" / "experiment"
    folder.mkdir(parents=True)
    layers = "\n".join(f"  {line}" for line in NET.splitlines())
    text = f"# @package _global_\ndefaults:\n  - override /model: chain\nmodel:\n{layers}\n"
    (folder / "trial.yaml").write_text(text, encoding="utf-8")
    assert main(["train", "--dry-run", "--config-dir", "mine", "experiment=trial", "model.gain=0.5"]) == 0
    said = json.loads(capsys.readouterr().out)["model"]
    model = from_dict(Model, said)
    assert isinstance(model, Chain)
    assert (model.layers, model.gain) == (chain(NET).layers, 0.5)


def test_any_part_can_stand_in_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "settler.yaml").write_text("name: dual_propagation\nbeta: 0.03\nalpha: 1.0", encoding="utf-8")
    words = ["settler=dual_propagation", "settler.file=settler.yaml", "settler.alpha=0.0"]
    assert main(["train", "--dry-run", *words]) == 0
    said = json.loads(capsys.readouterr().out)["settler"]
    assert (said["beta"], said["alpha"]) == (0.03, 0.0)


def test_a_comparison_takes_the_file_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--dry-run", "model=chain", "model.file=net.yaml", "settlers=[backprop]"]) == 0
    assert len(json.loads(capsys.readouterr().out)["model"]["layers"]) == 3


def test_a_sweep_over_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "other.yaml").write_text("layers: [{coupling: {name: dense, size: 3}}]", encoding="utf-8")
    assert main(["train", "-m", "--dry-run", "model=chain", "model.file=net.yaml,other.yaml"]) == 0
    text = capsys.readouterr().out
    assert '"batch_norm"' in text
    assert '"size": 3' in text


FILES: dict[str, tuple[str | None, str]] = {
    "missing": (None, "model.file=net.yaml: there is no such file"),
    "list": ("- {coupling: dense}", "model.file=net.yaml: must hold fields of model=chain"),
    "not yaml": ("layers: [", "model.file=net.yaml: is no YAML"),
    "other": ("name: mlp\nsizes: [3]", "holds a model=mlp, not a chain; say model=mlp"),
    "code": ("layers: [{_target_: os.system}]", "must not name code to call"),
    "environment": ("hidden: ${oc.env:HOME}", "an interpolation may only name another field"),
    "field": ("layer: []", "model.layer: unknown field; did you mean 'layers'"),
}


@pytest.mark.parametrize(("text", "said"), FILES.values(), ids=FILES)
def test_a_file_that_does_not_do(here: Path, text: str | None, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "net.yaml").unlink()
    if text is not None:
        (here / "net.yaml").write_text(text, encoding="utf-8")
    assert main(["train", "--dry-run", "model=chain", "model.file=net.yaml"]) != 0
    assert said in capsys.readouterr().err


PLUGIN = '''
import torch
from torch import nn
from energy.couplings import Coupling
from energy.specs import CouplingSpec


class Saturating(Coupling):
    """A(m) = W tanh(m)."""

    def __init__(self, fan_in, size):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size, fan_in))

    def forward(self, pre):
        return pre.flatten(1).tanh() @ self.weight.to(pre.dtype).T


class SaturatingSpec(CouplingSpec, name="saturating_test"):
    """A(m) = W tanh(m)."""

    size: int = 0

    def build(self, shape, *, pool=None, classes=0):
        self.require_unpooled(pool)
        return Saturating(torch.Size(shape).numel(), self.size or classes)
'''


def test_a_coupling_of_ones_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.py").write_text(PLUGIN, encoding="utf-8")
    (here / "net.yaml").write_text("layers: [{coupling: {name: saturating_test, size: 12}}]\nhead: saturating_test\n")
    model = trained(here, "model.file=net.yaml", "--plugin", "mine.py")
    assert model["layers"][0]["coupling"] == {"name": "saturating_test", "size": 12}
    network = load_run(here / "run", "cpu")[1]
    assert network.get_parameter("couplings.0.weight").shape == (12, 64)
    assert network.get_parameter("couplings.1.weight").shape == (10, 12)
    capsys.readouterr()
    assert main(["explain", "coupling", "--plugin", "mine.py"]) == 0
    assert "saturating_test" in capsys.readouterr().out


def test_explain_lists_couplings_poolings_and_the_fields_of_a_layer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "coupling", "pooling", "chain"]) == 0
    said = capsys.readouterr().out
    for word in ("batch_norm", "convolution", "dilation: int = 1", "adaptive_average_pool", "padding: int = 0"):
        assert word in said
    assert "each of layers:" in said
    assert "skips: list of Reading" in said
