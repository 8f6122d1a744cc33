"""Sixteen bits: carrying mean and difference keeps the gradient, subtracting two stored states loses it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from energy.couplings import Dense
from energy.network import Network
from energy.objectives import CrossEntropy
from energy.potentials import Identity, ReLU
from energy.settle.dyadic import DualPropagation
from tests.settle.oracles import autograd, cosines, learn


def wide(samples: int = 128) -> tuple[Network, Tensor, Tensor]:
    """3072-512×3-10, W ~ N(0, 2/fan-in), normal inputs."""
    stream = torch.Generator().manual_seed(0)
    network, sizes = Network((3072,)), (3072, 512, 512, 512, 10)
    for k, (fan_in, size) in enumerate(itertools.pairwise(sizes), start=1):
        network.add(Dense(fan_in, size), ReLU() if k < 4 else Identity())
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, math.sqrt(2 / parameter.shape[1]), generator=stream)
    x = torch.randn(samples, 3072, generator=stream)
    target = torch.nn.functional.one_hot(torch.randint(10, (samples,), generator=stream), 10).float()
    return network, x, target


def stored(network: Network, x: Tensor, target: Tensor, beta: float) -> Tensor:
    """The same update with s⁺ and s⁻ kept as two tensors: the first layer's gradient."""
    weights = [p.detach().to(x.dtype) for p in network.parameters() if p.ndim == 2]
    drives, state = [], x
    for k, weight in enumerate(weights, start=1):
        drives.append(state @ weight.T)
        state = drives[-1].relu() if k < len(weights) else drives[-1]
    error = state.softmax(-1) - target
    plus, minus = state - beta / 2 * error, state + beta / 2 * error
    for weight, drive in zip(reversed(weights[1:]), reversed(drives[:-1]), strict=True):
        h = ((plus - minus) / beta) @ weight
        plus, minus = (drive + beta / 2 * h).relu(), (drive - beta / 2 * h).relu()
    return -((plus - minus) / beta).T @ x


def cosine(a: Tensor, b: Tensor) -> float:
    a, b = a.double().flatten(), b.double().flatten()
    return float(a @ b / (a.norm() * b.norm()).clamp_min(1e-300))  # 0 where every difference rounds to zero


def test_the_first_layer_in_bfloat16() -> None:
    """One step at each β against back-propagation in float64; the targets are those of the design table."""
    network, x, target = wide()
    half, classes = x.bfloat16(), target.bfloat16()
    found = {
        beta: learn(DualPropagation(beta=beta), network, half, classes, CrossEntropy()) for beta in (0.1, 0.01, 0.001)
    }
    lost = {beta: stored(network, half, classes, beta) for beta in found}
    wanted = autograd(network.double(), x.double(), target.double(), CrossEntropy())
    for beta, limit in ((0.1, 0.7), (0.01, 0.1), (0.001, 0.05)):
        assert cosine(found[beta][0], wanted[0]) >= 0.99
        assert min(cosines(network, found[beta], wanted)) >= 0.99
        assert abs(cosine(lost[beta], wanted[0])) <= limit
        assert found[beta][0].dtype is torch.float32  # the gradient has the precision of the weights


@pytest.mark.parametrize(
    ("dtype", "floor"), [(torch.float32, 1e-5), (torch.float16, 0.1), (torch.bfloat16, 0.1)], ids=str
)
def test_small_beta_costs_nothing_in_any_precision(dtype: torch.dtype, floor: float) -> None:
    """Relative error against float64 at β = 1e-3 … 1e-6 stays at the precision's own floor; stored float32 reaches
    1e-1 there."""
    from energy.potentials import Tanh
    from tests.settle import nets
    from tests.settle.oracles import gap

    for hidden in (ReLU(), Tanh()):
        network = nets.mlp(hidden, sizes=(40, 30, 30, 30, 5), gain=1.4)
        x, target = nets.batch(network, samples=16)
        wanted = autograd(network, x, target, nets.CROSS)
        network.float()
        for beta in (1e-3, 1e-4, 1e-6):
            found = learn(DualPropagation(beta=beta), network, x.to(dtype), target.to(dtype), nets.CROSS)
            assert gap(found, wanted) < floor
