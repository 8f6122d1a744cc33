"""Initial weights, each parameter from a stream keyed by its name."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from energy.couplings import Coupling
from energy.network import Network
from energy.stream import stream

TRUNCATED = 0.8796256610342398  # s.d. of a standard normal cut off at ±2


@torch.no_grad()
def draw_parameter(weight: Tensor, seed: int, name: str, fill: Callable[..., Any], *bounds: float) -> None:
    """Fill a parameter with what `fill` draws for its name, in float32 on the CPU, whatever torch's defaults are."""
    if weight.is_meta:  # has no numbers
        return
    drawn = torch.empty(weight.shape, dtype=torch.float32, device="cpu")
    fill(drawn, *bounds, generator=stream(seed, f"init/{name}"))
    weight.copy_(drawn)


def normal(network: Network, seed: int, gains: Sequence[float]) -> None:
    """W ~ N(0, gain²/fan-in) cut off at two standard deviations (LeCun's normal at gain 1), b = 0. One gain an edge."""
    for (name, weight), gain in zip(_weights(network), gains, strict=True):
        _normal(weight, seed, name, gain)


def gaussian(network: Network, seed: int, gain: float) -> None:
    """W ~ N(0, gain²/fan-in), not cut off; biases stay."""
    for name, weight in _weights(network):
        _gaussian(weight, seed, name, gain)


def uniform(network: Network, seed: int, gains: Sequence[float], bias: float) -> None:
    """W ~ U(±gain/√fan-in), b ~ U(±bias/√fan-in): as the deep Hopfield networks start. One gain an edge."""
    for (name, weight), gain in zip(_weights(network), gains, strict=True):
        offset = name.removesuffix("weight") + "bias"
        _uniform(weight, seed, name, gain)
        _biases(network.get_parameter(offset), weight, seed, offset, bias)


class Distribution(enum.Enum):
    """What the weights of a coupling are drawn from."""

    NORMAL = "N(0, gain²/fan-in) cut off at two standard deviations"
    GAUSSIAN = "N(0, gain²/fan-in)"
    UNIFORM = "U(±gain/√fan-in)"


def start(coupling: Coupling, seed: int, name: str, distribution: Distribution, gain: float, bias: float) -> None:
    """Draw every matrix or filter called `weight` in a coupling called `name`, and beside it b ~ U(±bias/√fan-in).

    At bias = 0 biases stay; so do scales, shifts and whatever has another name or one axis: as they were built."""
    fill = {Distribution.NORMAL: _normal, Distribution.GAUSSIAN: _gaussian, Distribution.UNIFORM: _uniform}
    parameters = dict(coupling.named_parameters(name))
    for path, weight in parameters.items():
        if path.rpartition(".")[2] == "weight" and weight.ndim > 1:
            fill[distribution](weight, seed, path, gain)
            offset = path.removesuffix("weight") + "bias"
            if bias and offset in parameters:
                _biases(parameters[offset], weight, seed, offset, bias)


@contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """What a constructor draws by itself: from a stream of its name too, and nothing of the caller's is used up."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, f"init/{name}").initial_seed())
        yield


def _normal(weight: Tensor, seed: int, name: str, gain: float) -> None:
    scale = gain / weight[0].numel() ** 0.5 / TRUNCATED
    draw_parameter(weight, seed, name, torch.nn.init.trunc_normal_, 0.0, scale, -2 * scale, 2 * scale)


def _gaussian(weight: Tensor, seed: int, name: str, gain: float) -> None:
    draw_parameter(weight, seed, name, Tensor.normal_, 0.0, gain / weight[0].numel() ** 0.5)


def _uniform(weight: Tensor, seed: int, name: str, gain: float) -> None:
    bound = weight[0].numel() ** -0.5
    draw_parameter(weight, seed, name, Tensor.uniform_, -gain * bound, gain * bound)


def _biases(bias: Tensor, weight: Tensor, seed: int, name: str, gain: float) -> None:
    bound = weight[0].numel() ** -0.5
    draw_parameter(bias, seed, name, Tensor.uniform_, -gain * bound, gain * bound)


def _weights(network: Network) -> list[tuple[str, Tensor]]:
    return [(name, p) for name, p in network.named_parameters() if name.endswith("weight")]
