"""Torch's default precision and device are the user's: no number here depends on them, and nothing stops at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from energy.component import Component, from_dict
from energy.readout.decoder import accuracy
from energy.readout.features import Features
from energy.readout.linear import LinearReadout, Power
from energy.readout.nearest import Nearest
from energy.readout.readout import Readout
from energy.readout.ridge import Ridge
from energy.rules import PerLayer
from energy.testing import check_component
from energy.train.evaluate import evaluate
from energy.train.fit import fit
from energy.train.run import Run

Maker = Callable[..., Run]
RUNS: dict[str, dict[str, Any]] = {
    "equilibrium": {"settler": {"name": "equilibrium_propagation", "beta": 0.2}},
    "random sign": {"settler": {"name": "two_phase", "kind": "random_sign"}},
    "wires": {"settler": {"name": "dual_propagation", "feedback": {"name": "sign_batch", "sign_agreement": 0.8}}},
    "spiking": {
        "model": {"name": "spiking", "plan": [4, 0], "dense": [12]},
        "settler": {"name": "spiking", "encoder": {"name": "rate"}},
    },
    "surrogate": {"model": {"name": "spiking", "dense": [12]}, "settler": {"name": "surrogate_backprop"}},
    "convolutions": {"model": {"name": "vgg", "plan": [4, 0], "dense": [8]}},
    "local": {
        "model": {"name": "softhebb", "channels": [5], "kernels": [3], "powers": [1.4], "pools": ["max_2_2_0"]},
        "settler": {"name": "feedforward"},
        "rule": {"name": "softhebb"},
        "readout": {"name": "linear", "epochs": 2},
    },
}


@contextmanager
def defaults(dtype: torch.dtype = torch.float32, device: str = "cpu") -> Iterator[None]:
    torch.set_default_dtype(dtype)
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


OTHERS = [(torch.float64, "cpu"), (torch.float32, "meta")]


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize(("dtype", "device"), OTHERS, ids=str)
@pytest.mark.parametrize("name", RUNS)
def test_a_run_ends_with_the_same_weights(
    name: str, dtype: torch.dtype, device: str, make_run: Maker, final_tensors: Callable[[Run], bytes]
) -> None:
    plain, other = (make_run(folder, **RUNS[name], device="cpu") for folder in ("plain", "other"))
    fit(plain)
    with defaults(dtype, device):
        fit(other)
    assert final_tensors(plain) == final_tensors(other)


@pytest.mark.parametrize(("dtype", "device"), [*OTHERS, (torch.bfloat16, "cpu")], ids=str)
@pytest.mark.parametrize(
    "readout", [LinearReadout(epochs=2), Power(epochs=2), Ridge(), Nearest(neighbors=3)], ids=lambda r: r.name
)
@pytest.mark.parametrize("values", [torch.float32, torch.bfloat16, torch.float64])
def test_read_outs(readout: Readout, values: torch.dtype, dtype: torch.dtype, device: str) -> None:
    stream = torch.Generator().manual_seed(0)
    features = Features(torch.randn(60, 5, generator=stream).to(values), torch.arange(60) % 4)

    def score() -> float:
        return accuracy(readout.fit(features, features, 4, 0, lambda line: None), features)

    wanted = score()
    with defaults(dtype, device):
        assert score() == wanted


@pytest.mark.parametrize(("dtype", "device"), OTHERS, ids=str)
def test_nearest_scores_a_run(dtype: torch.dtype, device: str, make_run: Maker) -> None:
    run = make_run(**RUNS["local"], device="cpu")
    fit(run)
    other = from_dict(Readout, {"name": "nearest", "neighbors": 3})
    wanted = evaluate(run.folder, readout=other)
    with defaults(dtype, device):
        found = evaluate(run.folder, readout=other)
    assert found["accuracy"] == wanted["accuracy"]


GROUPS = (
    "potential",
    "relax",
    "settler",
    "objective",
    "rule",
    "feedback",
    "neuron",
    "surrogate",
    "encoder",
    "spike_error",
)


@pytest.mark.parametrize(("dtype", "device"), [(torch.bfloat16, "cpu"), (torch.float32, "meta")], ids=str)
@pytest.mark.parametrize(
    "cls",
    [
        pytest.param(cls, id=".".join(key))
        for key, cls in sorted(Component.registry.items())
        if key[0] in GROUPS and cls.__module__.startswith("energy.")
    ],
)
def test_every_component_keeps_its_contract(cls: type[Component], dtype: torch.dtype, device: str) -> None:
    if cls is PerLayer:
        return
    with defaults(dtype, device):
        check_component(cls())
