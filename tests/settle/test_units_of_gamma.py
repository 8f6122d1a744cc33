"""The feedback gain is a choice of units where responses are homogeneous: m ↦ γ^(k/2) m in layer k gives γ = 1.

With f(cs) = c f(s), couplings that become √γ·A (biases γ^(k/2) b, scale and shift of a normalization γ^(k/2) times)
make of m_k = f(A_k m_{k−1} + γ A_{k+1}ᵀ m_{k+1}) the same equation at a gain of 1.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from energy.couplings import BatchNorm, Convolution, Dense
from energy.network import Network
from energy.objectives import SquaredError
from energy.pooling import MaxPool
from energy.potentials import HardSigmoid, Identity, LeakyReLU, Potential, ReLU
from energy.relax.sweep import Sweep
from energy.settle import EquilibriumPropagation
from energy.settle.settled import SettledDyad
from energy.stream import stream

EXACT = Sweep(max_steps=2000, tolerance=1e-13)


def network(hidden: Potential, normalized: bool) -> Network:
    built = Network((2, 6, 6))
    convolution = Convolution(2, 4, 3, padding=1, bias=not normalized, pool=None if normalized else MaxPool(2))
    built.add(BatchNorm(convolution, 4, eps=1e-14, pool=MaxPool(2)) if normalized else convolution, hidden)
    built.add(BatchNorm(Dense(36, 6, bias=False), 6, eps=1e-14) if normalized else Dense(36, 6), hidden)
    built.add(Dense(6, 3), Identity())
    built.double()
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=stream(0, name)))
    return built


def in_other_units(built: Network, gamma: float) -> Network:
    scaled = copy.deepcopy(built)
    with torch.no_grad():
        for layer, edge in enumerate(scaled.edges, start=1):
            inside = isinstance(edge.coupling, BatchNorm)
            for name, parameter in edge.coupling.named_parameters():
                if inside and name.startswith("filters"):
                    continue  # a normalization undoes their scale
                parameter *= gamma**0.5 if name == "weight" else gamma ** (layer / 2)
    return scaled


def means(built: Network, gamma: float, x: Tensor) -> list[Tensor]:
    target = torch.zeros(len(x), 3, dtype=torch.float64)
    settler = EquilibriumPropagation(gamma=gamma, beta=0.0, relax=EXACT, nudged=EXACT)
    settled = settler.settle(built, x, target, SquaredError())
    assert isinstance(settled, SettledDyad)
    return list(settled.mean)


@pytest.mark.parametrize("gamma", [0.05, 0.3])
@pytest.mark.parametrize("hidden", [ReLU(), LeakyReLU(), Identity()], ids=["relu", "leaky", "identity"])
@pytest.mark.parametrize("normalized", [False, True])
def test_a_gain_is_a_unit_of_activity(normalized: bool, hidden: Potential, gamma: float) -> None:
    built, x = network(hidden, normalized), torch.rand(8, 2, 6, 6, generator=stream(1, "x"), dtype=torch.float64)
    gamma *= 0.1 if normalized else 1.0  # 1/σ makes its loop gain large
    given, ones = means(built, gamma, x), means(in_other_units(built, gamma), 1.0, x)
    without = means(built, 0.0, x)
    for layer, (at_gamma, at_one) in enumerate(zip(given, ones, strict=True), start=1):
        torch.testing.assert_close(at_one, gamma ** (layer / 2) * at_gamma, rtol=1e-7, atol=1e-10)
    assert any((a - b).abs().max() > 1e-4 for a, b in zip(given, without, strict=True)), "feedback changes nothing"


def test_bounded_units_have_units_of_their_own() -> None:
    built, x = network(HardSigmoid(), False), torch.rand(8, 2, 6, 6, generator=stream(1, "x"), dtype=torch.float64)
    given, ones = means(built, 0.3, x), means(in_other_units(built, 0.3), 1.0, x)
    assert (ones[0] - 0.3**0.5 * given[0]).abs().max() > 1e-3
