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
    """Fill a parameter from the stream of its name, in float32 on the CPU, independent of torch's defaults.

    Args:
        weight: the parameter, filled in place; left alone on the meta device.
        seed: of the run.
        name: keys the stream.
        fill: an in-place initializer, such as `Tensor.normal_`, called with the further arguments.
    """
    if weight.is_meta:  # has no numbers
        return
    drawn = torch.empty(weight.shape, dtype=torch.float32, device="cpu")
    fill(drawn, *bounds, generator=stream(seed, f"init/{name}"))
    weight.copy_(drawn)


def normal(network: Network, seed: int, gains: Sequence[float]) -> None:
    """Draw W ~ N(0, gain²/fan-in) truncated at two standard deviations (LeCun's normal at gain 1), one gain per edge.

    Biases stay as they were built.
    """
    for (name, weight), gain in zip(_weights(network), gains, strict=True):
        _normal(weight, seed, name, gain)


def gaussian(network: Network, seed: int, gain: float) -> None:
    """Draw W ~ N(0, gain²/fan-in), not truncated; biases stay as they were built."""
    for name, weight in _weights(network):
        _gaussian(weight, seed, name, gain)


def uniform(network: Network, seed: int, gains: Sequence[float], bias: float) -> None:
    """Draw W ~ U(±gain/√fan-in) and b ~ U(±bias/√fan-in), as the deep Hopfield networks start.

    Args:
        network: its parameters are filled in place.
        seed: of the run.
        gains: one per edge.
        bias: scale of the biases.
    """
    for (name, weight), gain in zip(_weights(network), gains, strict=True):
        offset = name.removesuffix("weight") + "bias"
        _uniform(weight, seed, name, gain)
        _biases(network.get_parameter(offset), weight, seed, offset, bias)


class Distribution(enum.Enum):
    """The distribution of the weights of a coupling."""

    NORMAL = "N(0, gain²/fan-in) cut off at two standard deviations"
    GAUSSIAN = "N(0, gain²/fan-in)"
    UNIFORM = "U(±gain/√fan-in)"


def start(coupling: Coupling, seed: int, name: str, distribution: Distribution, gain: float, bias: float) -> None:
    """Draw every matrix or filter called `weight` in a coupling, and its bias from U(±bias/√fan-in).

    Scales, shifts and parameters with another name or one axis stay as they were built, and at bias = 0 so do biases.

    Args:
        coupling: its parameters are filled in place.
        seed: of the run.
        name: of the coupling in its network; keys the streams.
        distribution: of the weights.
        gain, bias: scales of weights and biases.
    """
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
    """Seed the draws of a constructor from a stream of its name, and restore the caller's generator."""
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
