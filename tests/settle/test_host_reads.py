"""Rehearsal of whole steps on a device whose numbers cannot be read: what would wait for a GPU fails here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from energy.component import choices, from_dict
from energy.couplings import Convolution, Dense
from energy.energy_network import EnergyNetwork
from energy.feedback import Feedback, resample
from energy.network import Network
from energy.objectives import CrossEntropy, Nudge, Objective, SquaredError
from energy.pooling import AveragePool, MaxPool
from energy.potentials import HardSigmoid, Identity, Potential, Tanh
from energy.relax.flow import Flow, Method
from energy.relax.relaxation import Relaxation
from energy.rules import Contrast, Hebb, KrotovHopfield, Oja, Rule, Sanger, SoftHebb, Variant
from energy.settle.dyadic import DualPropagation
from energy.settle.energy_phases import EnergyTwoPhase
from energy.settle.feedforward import Feedforward
from energy.settle.settler import Settler
from energy.settle.spiking import Spiking, TemporalCredit
from energy.settle.two_phase import CoupledLearning, PhaseContrast, TwoPhase
from energy.spiking.encoders import Encoder
from energy.state import State

FIXED = {"max_steps": 2, "tolerance": 0.0}


class Watch(TorchDispatchMode):
    """Fails where a number is read, or where a tensor of the host is made or copied."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        assert "_local_scalar_dense" not in str(func)
        for leaf in tree_leaves((args, kwargs, found)):
            assert not isinstance(leaf, torch.Tensor) or leaf.device.type == "meta", f"{func} has a tensor of the host"
        return found


def network(output: Potential | None = None, *, readout: bool = False) -> Network:
    found = Network((2, 8, 8))
    found.add(Convolution(2, 4, 3, padding=1, pool=MaxPool()), HardSigmoid())
    found.add(Convolution(4, 4, 3, padding=1, pool=AveragePool()), Tanh())
    found.add(Dense(16, 5, bias=False), output or Identity(), feedback=not readout)
    return found


def step(
    settler: Settler,
    *,
    net: Network | None = None,
    rule: Rule | None = None,
    objective: Objective | None = None,
) -> None:
    net = net or network()
    torch.manual_seed(0)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    settler.attach_feedback(net)
    net.to("meta")
    x, target = torch.empty(3, 2, 8, 8, device="meta"), torch.empty(3, 5, device="meta")
    rule = rule or Contrast()
    rule.learn(net, settler, x, target, objective or SquaredError(nudge=Nudge.FROZEN))  # makes what is kept
    with Watch():
        rule.learn(net, settler, x, target, objective or SquaredError(nudge=Nudge.FROZEN))
        settler.predict(net, x)


def fixed(kind: str) -> Relaxation:
    return from_dict(Relaxation, {"name": kind, **FIXED})


@pytest.mark.parametrize(
    "kind", [name for name, one in choices(Relaxation).items() if one.__module__.startswith("energy.")]
)
@pytest.mark.parametrize("settler", ["equilibrium_propagation", "two_phase"])
def test_relaxations_of_fixed_length(settler: str, kind: str) -> None:
    step(from_dict(Settler, {"name": settler, "relax": fixed(kind), "nudged": fixed(kind)}))


@pytest.mark.parametrize(
    "name", [name for name, one in choices(Settler).items() if one.__module__.startswith("energy.")]
)
def test_settlers(name: str) -> None:
    energies = issubclass(choices(Settler)[name], EnergyTwoPhase)
    relax = fixed("synchronous" if energies else "sweep")
    fields: dict[str, Any] = {"name": name, "relax": relax}
    if hasattr(choices(Settler)[name], "nudged") or "nudged" in choices(Settler)[name].__dataclass_fields__:
        fields["nudged"] = relax
    step(from_dict(Settler, fields), net=_energy_of_images() if energies else None)


def _energy_of_images() -> Network:
    def energy(x: torch.Tensor, state: State, theta: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return (state[0] - x.flatten(1) @ theta["W"].T).square().sum(1) / 2

    return EnergyNetwork((2, 8, 8), [5], {"W": torch.zeros(5, 128)}, energy)


@pytest.mark.parametrize("method", Method)
def test_flows(method: Method) -> None:
    flow = Flow(method=method, max_steps=2, tolerance=0.0)
    step(TwoPhase(relax=flow, nudged=flow))


@pytest.mark.parametrize("readout", [False, True])
@pytest.mark.parametrize("kind", PhaseContrast)
@pytest.mark.parametrize("objective", [SquaredError(), SquaredError(nudge=Nudge.LIVE), CrossEntropy()], ids=str)
def test_two_phases(kind: PhaseContrast, objective: Objective, readout: bool) -> None:
    settler = TwoPhase(kind=kind, relax=fixed("sweep"), nudged=fixed("sweep"))
    step(settler, net=network(readout=readout), objective=objective)
    if kind is not PhaseContrast.RANDOM_SIGN and not readout:
        step(CoupledLearning(kind=kind, relax=fixed("sweep"), nudged=fixed("sweep")), objective=objective)


@pytest.mark.parametrize(
    "encoder", [name for name, one in choices(Encoder).items() if one.__module__.startswith("energy.")]
)
@pytest.mark.parametrize("credit", TemporalCredit)
def test_spiking(encoder: str, credit: TemporalCredit) -> None:
    step(Spiking(credit=credit, encoder=from_dict(Encoder, encoder)))


@pytest.mark.parametrize(
    "kind", [name for name, one in choices(Feedback).items() if one.__module__.startswith("energy.")]
)
def test_wires(kind: str) -> None:
    net = network()
    step(DualPropagation(feedback=from_dict(Feedback, kind)), net=net)
    resample(net, 3)


@pytest.mark.parametrize(
    "rule",
    [
        Hebb(),
        Oja(),
        Oja(p=3.0),
        Sanger(),
        KrotovHopfield(),
        *(SoftHebb(variant=variant) for variant in Variant if variant is not Variant.SUPERVISED),
    ],
    ids=lambda rule: f"{rule.name}-{getattr(rule, 'variant', rule.p)}",
)
def test_local_rules(rule: Rule) -> None:
    net = Network((2, 8, 8))
    net.add(Convolution(2, 4, 3, padding=1), Tanh())
    net.add(Dense(256, 5), Identity())
    step(Feedforward(), net=net, rule=rule)
