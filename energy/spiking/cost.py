"""Synaptic operations, the cost of spikes on event-driven hardware: one per spike and synapse.

A spike of a unit reaches as many targets as the unit has synapses, its fan-out: all units above through a dense
coupling; through a convolution the positions whose window contains it, which are fewer at the border; and in a
recurrent layer also all units of the layer itself.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.constants import constant
from energy.couplings import Convolution, Coupling, Dense, Shape, Skip
from energy.couplings.recurrent import Recurrent
from energy.network import Network
from energy.spiking.time_major import TimeMajor

Number = int | float | Tensor


def synaptic(network: Network, layer: int, fired: Tensor) -> tuple[Tensor, Number]:
    """Count the spikes and the synaptic operations of a layer, without reading from the device.

    Args:
        network: the network that the layer belongs to.
        layer: its index; 0 is the input.
        fired: the spikes: booleans (steps and samples, *layer shape), or numbers of them (samples, *layer shape).

    Returns:
        The spikes, a tensor (), and the operations, a tensor () or a number.
    """
    fans = [fan_out(edge.coupling, network.shape(layer), fired.device) for edge in network.out_of(layer)]
    fans += [len(edge.coupling.weight) for edge in network.into(layer) if isinstance(edge.coupling, Recurrent)]
    units = TimeMajor(fired, len(fired)).total()[0].long()
    count = units.sum()
    if not any(isinstance(fan, Tensor) for fan in fans):
        return count, count * sum(fans)
    return count, sum((units * fan).sum() for fan in fans)


def fan_out(coupling: Coupling, shape: Shape, device: torch.device | str = "cpu") -> int | float | Tensor:
    """Return the synapses of each unit of a layer of `shape`.

    Args:
        coupling: the coupling that reads the layer.
        shape: of the layer, without the batch axis.
        device: of the tensor, if one is returned.

    Returns:
        One number if all units have the same, otherwise a tensor of `shape`; the mean for a coupling that only gives
        its cost.
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


@constant(maxsize=256)
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
    """The number of outputs of a convolution, before its pooling, that each input reaches."""
    with torch.enable_grad():
        below = torch.zeros(1, 1, *shape[1:], dtype=torch.float32, device=device, requires_grad=True)
        ones = torch.ones(1, 1, kernel, kernel, dtype=torch.float32, device=device)
        reached = F.conv2d(below, ones, stride=stride, padding=padding, dilation=dilation).sum()
        (found,) = torch.autograd.grad(reached, below)
    return (found[0] * (channels // groups)).round().long().expand(shape)
