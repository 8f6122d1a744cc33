"""Initial weights, each parameter from a stream keyed by its name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from energy.network import Network
from energy.stream import stream

TRUNCATED = 0.8796256610342398  # s.d. of a standard normal cut off at ±2


@torch.no_grad()
def normal(network: Network, seed: int, gains: Sequence[float]) -> None:
    """W ~ N(0, gain²/fan-in) cut off at two standard deviations (LeCun's normal at gain 1), b = 0. One gain an edge."""
    for (name, weight), gain in zip(_weights(network), gains, strict=True):
        scale = gain / weight[0].numel() ** 0.5 / TRUNCATED
        torch.nn.init.trunc_normal_(weight, 0.0, scale, -2 * scale, 2 * scale, generator=stream(seed, f"init/{name}"))


@torch.no_grad()
def gaussian(network: Network, seed: int, gain: float) -> None:
    """W ~ N(0, gain²/fan-in), not cut off; biases stay."""
    for name, weight in _weights(network):
        weight.normal_(0.0, gain / weight[0].numel() ** 0.5, generator=stream(seed, f"init/{name}"))


@torch.no_grad()
def uniform(network: Network, seed: int, gains: Sequence[float], bias: float) -> None:
    """W ~ U(±gain/√fan-in), b ~ U(±bias/√fan-in): as the deep Hopfield networks start. One gain an edge."""
    for (name, weight), gain in zip(_weights(network), gains, strict=True):
        bound = weight[0].numel() ** -0.5
        weight.uniform_(-gain * bound, gain * bound, generator=stream(seed, f"init/{name}"))
        offset = network.get_parameter(name.removesuffix("weight") + "bias")
        offset.uniform_(-bias * bound, bias * bound, generator=stream(seed, f"init/{name.removesuffix('weight')}bias"))


def _weights(network: Network) -> list[tuple[str, Tensor]]:
    return [(name, p) for name, p in network.named_parameters() if name.endswith("weight")]
