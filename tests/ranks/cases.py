"""Steps of learning on tiny networks in float64, as one process or a rank takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from energy import ranks
from energy.couplings import BatchNorm, Block, Convolution, Dense
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import CrossEntropy, Objective, SquaredError, one_hot
from energy.pooling import MaxPool
from energy.potentials import Identity, Tanh
from energy.relax.sweep import Sweep
from energy.rules import Contrast, Hebb, KrotovHopfield, Oja, Rule, SoftHebb
from energy.settle import (
    Backprop,
    ContrastiveHebbian,
    DualPropagation,
    EquilibriumPropagation,
    ErrorPredictiveCoding,
    Feedforward,
    Settler,
    TwoPhase,
)
from energy.settle.settled import Settled
from tests.settle.nets import draw, mlp

TIGHT = Sweep(max_steps=200, tolerance=1e-12, check_every=3)
LOOSE = Sweep(max_steps=200, tolerance=1e-3, check_every=1)


def dense() -> Network:
    return mlp(Tanh(), norm=0.4)


def slow() -> Network:
    """The samples of one rank need 12 sweeps, those of the other 16."""
    return mlp(Tanh(), norm=0.8)


def pooled() -> Network:
    """Its loop gain depends on the sample, by the places of maxima: 0.51 for one rank, 0.49 for the other."""
    network = Network((2, 6, 6))
    network.add(Convolution(2, 4, 3, padding=1), Tanh())
    network.add(Convolution(4, 5, 3, padding=1, pool=MaxPool(2)), Tanh())
    network.add(Dense(45, 3), Identity())
    return draw(network, 0.5, 0)


def normalized() -> Network:
    network = Network((2, 6, 6))
    network.add(BatchNorm(Convolution(2, 4, 3, padding=1), 4, pool=MaxPool(2)), Tanh())
    network.add(BatchNorm(Dense(36, 5), 5), Tanh())
    network.add(Dense(5, 3), Identity())
    return draw(network, 0.5, 0)


def neurons(bias: bool = True) -> Network:
    network = Network((2, 6, 6))
    network.add(Block(Convolution(2, 4, 3, bias=bias), nn.BatchNorm2d(2, affine=False)), Tanh())
    network.add(Block(Dense(64, 6, bias=bias), nn.BatchNorm2d(4, affine=False, momentum=None)), Tanh())
    network.add(Dense(6, 3), Identity())
    return draw(network, 0.5, 0)


def without_biases() -> Network:
    """The plain case, which the step of a layer is fused for."""
    return neurons(bias=False)


class OfOnesOwn(Rule):
    """A rule that defines its update, and leaves the rest to the base class."""

    def update(self, network: Network, settled: Settled) -> list[Tensor]:
        return [-gradient for gradient in Contrast().gradients(network, settled)]


Case = tuple[Callable[[], Network], Settler, Rule, Objective]
CASES: dict[str, Case] = {
    "dual propagation": (dense, DualPropagation(), Contrast(), SquaredError()),
    "normalized": (normalized, DualPropagation(freeze_mean=True), Contrast(), CrossEntropy()),
    "normalized, moving": (normalized, DualPropagation(alpha=1.0), Contrast(), SquaredError()),
    "normalized, tape": (normalized, Backprop(), Contrast(), CrossEntropy()),
    "normalized, feedback": (
        normalized, EquilibriumPropagation(gamma=0.05, relax=TIGHT, nudged=TIGHT), Contrast(), SquaredError()
    ),
    "equilibrium propagation": (slow, EquilibriumPropagation(relax=LOOSE, nudged=LOOSE), Contrast(), SquaredError()),
    "contracting": (pooled, EquilibriumPropagation(keep_contracting=0.1), Contrast(), SquaredError()),
    "two phases": (dense, TwoPhase(relax=LOOSE, nudged=LOOSE), Contrast(), SquaredError()),
    "clamped": (dense, ContrastiveHebbian(relax=LOOSE, nudged=LOOSE), Contrast(), SquaredError()),
    "prediction errors": (dense, ErrorPredictiveCoding(), Contrast(), SquaredError()),
    "tape": (dense, Backprop(), Contrast(), CrossEntropy()),
    "softhebb": (neurons, Feedforward(), SoftHebb(), SquaredError()),
    "softhebb, exponent": (neurons, Feedforward(), SoftHebb(exponent=0.5), SquaredError()),
    "softhebb, without biases": (without_biases, Feedforward(), SoftHebb(), SquaredError()),
    "a rule of one's own": (dense, DualPropagation(), OfOnesOwn(), SquaredError()),
    "krotov": (neurons, Feedforward(), KrotovHopfield(p=3.0), SquaredError()),
    "oja": (neurons, Feedforward(), Oja(scaled=False), SquaredError()),
    "hebb": (dense, Feedforward(), Hebb(), SquaredError()),
}  # fmt: skip


def batch(network: Network, size: int, step: int) -> tuple[Tensor, Tensor]:
    """Images and targets; the second half is six times as bright, so that ranks differ in when they come to rest."""
    generator = torch.Generator().manual_seed(17 + step)
    x = torch.rand((size, *network.input_shape), generator=generator, dtype=torch.float64)
    x[size // 2 :] *= 6
    labels = torch.randint(3, (size,), generator=generator)
    return x, one_hot(labels, 3, x.dtype)


def steps(name: str, size: int, count: int = 3) -> dict[str, Any]:
    """Some steps of gradient descent on batches of `size`, of which a rank takes its share."""
    build, settler, rule, objective = CASES[name]
    network, ledger = build(), Ledger()
    rule.attach(network)
    settler.attach_feedback(network)
    descent = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    found: dict[str, Any] = {}
    for step in range(count):
        x, target = batch(network, size, step)
        mine = ranks.share(size)
        settled = rule.learn(network, settler, x[mine], target[mine], objective, ledger)
        for phase, solution in settled.solutions.items():
            found[f"{step}/{phase}"] = (solution.outcome.name, solution.taken)
        for key, parameter in network.named_parameters():
            found[f"{step}/{key}"] = None if parameter.grad is None else parameter.grad.clone()
        descent.step()
    found |= {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return found
