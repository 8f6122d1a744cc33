"""Receptive fields: the input of bounded norm that maximizes the drive of a neuron, by gradient ascent.

    x_k = argmax of u_k(x) over ‖x − c‖₂ ≤ R        d ← P(d + ηₜ R g/‖g‖),  d = x − c,  g = ∂u_k/∂x,  ηₜ = 1 − t/T

u_k is the drive of the neuron in one bottom-up pass; in a layer of maps, that at the middle position. P scales a vector
longer than R down to R. The first step leaves the initial noise behind, d = R g/‖g‖: for a drive that is affine in the
input this is the maximum already, R times the direction of the weight. Deeper drives have many maxima; the best x that
was met is returned.

Reference:
    Erhan, Bengio, Courville & Vincent, "Visualizing higher-layer features of a deep network", Université de Montréal,
    TR 1341 (2009).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from energy.errors import UsageError
from energy.network import Network
from energy.stream import stream


def receptive(
    network: Network, layer: int, count: int, *, center: Tensor, contrast: float, steps: int = 16, seed: int = 0
) -> Tensor:
    """Return x_k − c of the first `count` neurons of a layer, cut to the window of the input that they read.

    Args:
        network: the network.
        layer: index of the layer, from 1.
        count: number of neurons, at most those of the layer.
        center: c, broadcast to the input shape (C, H, W).
        contrast: R over the root of the number of values in the window: the r.m.s. deviation from c of a value.
        steps: of the ascent.
        seed: of the noise that it starts from.

    Returns:
        (count, C, h, w).

    Raises:
        ValueError: for a layer that does not exist, a contrast that is not above 0, or no step.
    """
    if not 1 <= layer <= len(network.layers):
        raise UsageError(f"layer={layer}: must be one of 1 … {len(network.layers)}")
    if not contrast > 0 or steps < 1:
        raise UsageError(f"contrast={contrast}, steps={steps}: must be above 0, and at least 1")
    like = next(network.parameters())
    count = min(count, network.shape(layer)[0])
    generator, shape = stream(seed, f"receptive/{layer}"), (count, *network.input_shape)
    noise = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu").to(like)
    center = center.to(like).expand(network.input_shape)
    rows, columns = window(network, layer, center + contrast * noise)
    size = noise[0, :, rows, columns].numel()
    radius = contrast * math.sqrt(size)
    best = like.new_full((count,), -math.inf)
    away = found = 0.1 * contrast * noise
    for step in range(steps + 1):
        drive, slope = ascent(network, layer, center + away)
        found = torch.where(_along(drive > best), away, found)
        best = torch.maximum(best, drive)
        onward = (1 - step / steps) * radius * slope / _length(slope)
        away = onward if step == 0 else away + onward
        away = away * (radius / _length(away)).clamp_max(1)
    return found[:, :, rows, columns]


def ascent(network: Network, layer: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the drive u_k(x_k) of neuron k at the middle position and its gradient.

    Args:
        network: the network.
        layer: index of the layer, from 1.
        x: (n, C, H, W), one image per neuron.

    Returns:
        Drives (n,) and slopes ∂u_k/∂x_k, (n, C, H, W); an infinite slope counts as 0.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        below = network.subnetwork(layer - 1).activity(x) if layer > 1 else ()
        states = (x, *below)
        drive = torch.stack([edge.coupling(states[edge.source]) for edge in network.into(layer)]).sum(0)
        middle = drive[(..., *(side // 2 for side in drive.shape[2:]))].diagonal()
        (slope,) = torch.autograd.grad(middle.sum(), x)
    return middle.detach(), slope.nan_to_num(0.0, 0.0, 0.0)


def window(network: Network, layer: int, x: Tensor) -> tuple[slice, slice]:
    """Return the rows and columns of an image (C, H, W) that reach a layer's middle position.

    They are those with any nonzero slope at `x`.
    """
    seen = (ascent(network, layer, x)[1] != 0).any(0).any(0)
    lines = (seen.any(1).nonzero(), seen.any(0).nonzero())
    rows, columns = (slice(int(one.min()), int(one.max()) + 1) if len(one) else slice(None) for one in lines)
    return rows, columns


def _length(images: Tensor) -> Tensor:
    """Norm of each image, never 0, along the first axis."""
    return _along(images.flatten(1).norm(dim=1).clamp_min(torch.finfo(images.dtype).tiny))


def _along(numbers: Tensor) -> Tensor:
    return numbers.view(-1, 1, 1, 1)
