"""Small networks, and settlers with small budgets of steps, for programs to record."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from energy.component import Component
from energy.couplings import BatchNorm, Block, Convolution, Dense
from energy.feedback import Tied
from energy.network import Network
from energy.potentials import Identity, ReLU, Tanh
from energy.settle import (
    CoupledLearning,
    DualPropagation,
    EquilibriumPropagation,
    Spiking,
    SurrogateBackprop,
    TemporalCredit,
    TwoPhase,
)
from energy.settle.settler import Settler
from energy.settle.two_phase import PhaseContrast
from energy.spiking.adaptive import AdaptiveLIF
from energy.spiking.encoders import Latency, Rate
from energy.testing.small import coding
from energy.train.registration import register_builtins
from tests.program.pairs import Batch
from tests.settle import nets

register_builtins()

FEW = 3  # steps of a relaxation
DTYPES = [torch.float64, torch.float32, torch.bfloat16]


def normalized() -> Network:
    """(2, 4, 4) – 3 channels normalized by the batch – 4 units normalized by the batch – 3."""
    network = Network((2, 4, 4))
    network.add(BatchNorm(Convolution(2, 3, 3, padding=1, bias=False), 3), Tanh())
    network.add(BatchNorm(Dense(48, 4), 4), Tanh())
    network.add(Dense(4, 3), Identity())
    return nets.draw(network, 0.7, 3)


def blocks() -> Network:
    """(2, 4, 4) – 3 channels behind a batch norm without parameters – 4 channels, centered – 3."""
    network = Network((2, 4, 4))
    network.add(Block(Convolution(2, 3, 3, bias=False), nn.BatchNorm2d(2, affine=False), nn.ReflectionPad2d(1)), ReLU())
    network.add(Block(Convolution(3, 4, 3, bias=False), nn.BatchNorm2d(3, affine=False), centered=True), ReLU())
    network.add(Dense(16, 3), Identity())
    return nets.draw(network, 1.0, 4)


NETWORKS: dict[str, Callable[[], Network]] = {
    "mlp": lambda: nets.mlp(Tanh(), sizes=(5, 4, 4, 3), gain=0.7),
    "pooled": lambda: nets.pooled(Tanh(), nets.POOLS["max"], gain=0.7),
    "averaged": lambda: nets.pooled(Tanh(), nets.POOLS["average"], gain=0.7),
    "normalized": normalized,
    "skips": lambda: nets.skips(Tanh(), gain=0.7),
    "autograd": lambda: nets.curved(Tanh(), gain=0.7),
}


def short(settler: Settler) -> Settler:
    """The settler with a budget of few steps."""
    relaxations = {name: getattr(settler, name) for name in ("relax", "nudged") if hasattr(settler, name)}
    fewer = {name: dataclasses.replace(one, max_steps=min(FEW, one.max_steps)) for name, one in relaxations.items()}
    return dataclasses.replace(settler, **fewer)


def registered(group: str) -> dict[str, Any]:
    """The classes of a group by name."""
    return {name: cls for (one, name), cls in sorted(Component.registry.items()) if one == group}


SETTLERS: dict[str, Settler] = {name: short(cls()) for name, cls in registered("settler").items()}
VARIANTS: dict[str, Settler] = {
    "gamma 0.3": short(DualPropagation(gamma=0.3)),
    "gamma 1": short(DualPropagation(gamma=1.0)),
    "three sweeps": DualPropagation(nudged=nets.once(3)),
    "three sweeps at 0.3": DualPropagation(gamma=0.3, relax=nets.once(2), nudged=nets.once(3)),
    "frozen mean": short(DualPropagation(gamma=0.5, freeze_mean=True, nudged=nets.once(2))),
    "free mean": short(EquilibriumPropagation(freeze_mean=False, gamma=0.5)),
    "saddle": DualPropagation(alpha=0.0, nudged=nets.once(2)),
    **{f"two phase {k.name}": short(TwoPhase(kind=k)) for k in PhaseContrast},
    **{f"coupled {k.name}": short(CoupledLearning(kind=k)) for k in PhaseContrast if k.name != "RANDOM_SIGN"},
    **{
        f"{kind.name} {name}": short(kind(feedback=cls()))
        for name, cls in registered("feedback").items()
        for kind in (DualPropagation, EquilibriumPropagation)
        if cls is not Tied
    },
    **{f"credit {c.name}": Spiking(credit=c, steps=4) for c in TemporalCredit},
    "dyads of compartments": Spiking(beta=0.1, steps=3),
    "rate code": Spiking(encoder=Rate(), steps=3),
    "latency code": Spiking(encoder=Latency(), steps=3),
    "adaptive": Spiking(neuron=AdaptiveLIF(), steps=3, rate_strength=0.1),
    "surrogate": SurrogateBackprop(neuron=AdaptiveLIF(), steps=3),
}


def subject(settler: Settler, network: str = "mlp") -> Network:
    """A network for a settler, with what the settler adds to it."""
    found = coding() if settler.name == "energy_two_phase" else NETWORKS[network]()
    settler.attach_feedback(found)
    return found


def batches(network: Network, dtype: torch.dtype = torch.float64, count: int = 3) -> list[Batch]:
    """Several batches for a network, which is put into `dtype`, or into float32 for batches of bfloat16."""
    network.to(torch.promote_types(dtype, torch.float32))
    return [nets.batch(network, seed=k, dtype=dtype) for k in range(count)]
