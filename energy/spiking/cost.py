"""What spikes cost on hardware that works only when one arrives: synaptic operations, one a spike and synapse.

A spike of a unit reaches as many targets as the unit has synapses, its fan-out: all units above through a dense
coupling, and through a convolution the positions that its window is part of, which are fewer at the border; of a
recurrent layer all units of its own besides."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.couplings import Convolution, Coupling, Dense, Shape, Skip
from energy.couplings.recurrent import Recurrent
from energy.network import Network

Number = int | float | Tensor


def synaptic(network: Network, layer: int, fired: Tensor) -> tuple[Tensor, Number]:
    """(spikes, synaptic operations) of a layer; `fired` is (any number of steps and samples, …), booleans. Nothing is
    read from the device.
    """
    fans = [fan_out(edge.coupling, network.shape(layer), fired.device) for edge in network.out_of(layer)]
    fans += [len(edge.coupling.weight) for edge in network.into(layer) if isinstance(edge.coupling, Recurrent)]
    if not any(isinstance(fan, Tensor) for fan in fans):
        count = torch.count_nonzero(fired)
        return count, count * sum(fans)
    units = fired.sum(0)
    total = sum((units * fan).sum() for fan in fans)
    return units.sum(), total


def fan_out(coupling: Coupling, shape: Shape, device: torch.device | str = "cpu") -> int | float | Tensor:
    """Synapses of each unit of a layer of `shape`: one number, or a tensor of `shape` where units differ, which is kept
    on `device`. The mean for a coupling that says only what it costs.
    """
    if isinstance(coupling, Dense):
        return len(coupling.weight)
    if isinstance(coupling, Skip):
        return 1
    if isinstance(coupling, Convolution):
        channels, _, kernel, _ = coupling.weight.shape
        geometry = (coupling.stride, coupling.padding, coupling.dilation, coupling.groups)
        return _windows(shape, channels, kernel, *geometry, torch.device(device))
    return coupling.multiply_adds(shape) / math.prod(shape)


@lru_cache(maxsize=256)
def _windows(
    shape: Shape,
    channels: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    device: torch.device,
) -> Tensor:
    """How many outputs of a convolution, before its pooling, each input reaches."""
    with torch.enable_grad():
        below = torch.zeros(1, 1, *shape[1:], dtype=torch.float32, device=device, requires_grad=True)
        ones = torch.ones(1, 1, kernel, kernel, dtype=torch.float32, device=device)
        reached = F.conv2d(below, ones, stride=stride, padding=padding, dilation=dilation).sum()
        (found,) = torch.autograd.grad(reached, below)
    return (found[0] * (channels // groups)).round().long().expand(shape)
