"""Initial weights, each parameter from a stream keyed by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from energy.network import Network
from energy.stream import stream

TRUNCATED = 0.8796256610342398  # s.d. of a standard normal cut off at ±2


@torch.no_grad()
def draw(weight: Tensor, seed: int, name: str, fill: Callable[..., Any], *bounds: float) -> None:
    """Fill a parameter with what `fill` draws for its name, in float32 on the CPU, whatever torch's defaults are."""
    if weight.is_meta:  # has no numbers
        return
    drawn = torch.empty(weight.shape, dtype=torch.float32, device="cpu")
    fill(drawn, *bounds, generator=stream(seed, f"init/{name}"))
    weight.copy_(drawn)


def normal(network: Network, seed: int, gains: Sequence[float]) -> None:
    """W ~ N(0, gain²/fan-in) cut off at two standard deviations (LeCun's normal at gain 1), b = 0. One gain an edge."""
    for (name, weight), gain in zip(_weights(network), gains, strict=True):
        scale = gain / weight[0].numel() ** 0.5 / TRUNCATED
        draw(weight, seed, name, torch.nn.init.trunc_normal_, 0.0, scale, -2 * scale, 2 * scale)


def gaussian(network: Network, seed: int, gain: float) -> None:
    """W ~ N(0, gain²/fan-in), not cut off; biases stay."""
    for name, weight in _weights(network):
        draw(weight, seed, name, Tensor.normal_, 0.0, gain / weight[0].numel() ** 0.5)


def uniform(network: Network, seed: int, gains: Sequence[float], bias: float) -> None:
    """W ~ U(±gain/√fan-in), b ~ U(±bias/√fan-in): as the deep Hopfield networks start. One gain an edge."""
    for (name, weight), gain in zip(_weights(network), gains, strict=True):
        bound, offset = weight[0].numel() ** -0.5, name.removesuffix("weight") + "bias"
        draw(weight, seed, name, Tensor.uniform_, -gain * bound, gain * bound)
        draw(network.get_parameter(offset), seed, offset, Tensor.uniform_, -bias * bound, bias * bound)


def _weights(network: Network) -> list[tuple[str, Tensor]]:
    return [(name, p) for name, p in network.named_parameters() if name.endswith("weight")]
