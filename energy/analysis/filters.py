"""Weights of the neurons above the input, as pictures."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from energy.network import Edge, Network

MOST = 100  # neurons that a picture shows, the first ones by index


@torch.no_grad()
def filters(network: Network, most: int = MOST) -> Tensor | None:
    """Return the weights of the first `most` neurons that read the input, each divided by its greatest |w|.

    Zero stays zero, so that the sign is visible. Weights of a dense layer take the shape of the image.

    Returns:
        (n, C, h, w), float32; None if the coupling has no weights or they do not belong to single pixels.
    """
    for edge in network.edges:
        weight = weight_of(edge)
        if edge.source or weight is None or len(network.input_shape) != 3:
            continue
        if weight.ndim == 4 or weight[0].numel() == math.prod(network.input_shape):
            shape = weight.shape[1:] if weight.ndim == 4 else network.input_shape
            return even(weight[:most].float().reshape(-1, *shape))
    return None


def weight_of(edge: Edge) -> Tensor | None:
    """Return the weight of a coupling, one row per neuron; None if it has none."""
    weight = getattr(getattr(edge.coupling, "filters", edge.coupling), "weight", None)
    return weight if isinstance(weight, Tensor) and weight.ndim > 1 else None


def even(pictures: Tensor) -> Tensor:
    """Divide each picture (n, C, h, w) by its greatest absolute value; one that is zero everywhere stays as it is."""
    peak = pictures.abs().amax((1, 2, 3), keepdim=True)
    return pictures / torch.where(peak > 0, peak, 1)
