"""Features: the inputs of the output layer, computed once and kept."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.data.images import Images
from energy.ledger import Ledger
from energy.network import Network
from energy.settle.settler import Settler


class Features(NamedTuple):
    """Features (N, D), in bfloat16 unless the run is in float64, and the labels (N,), on the device."""

    values: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@torch.no_grad()
def batch_features(network: Network, settler: Settler, x: Tensor, ledger: Ledger) -> Tensor:
    """Settle the layers below the output freely and return the output layer's inputs, (B, D).

    Args:
        network: the network.
        settler: settles all layers but the output.
        x: (B, *input shape).
        ledger: counts the settling.

    Raises:
        ConfigurationError: if more than one coupling, or none with weights, enters the output layer.
    """
    edges = network.into(len(network.layers))
    if len(edges) != 1 or not edges[0].source:
        raise ConfigurationError("readout: needs one coupling into the output layer, from a hidden layer")
    coupling = edges[0].coupling
    state = settler.predict(network.subnetwork(edges[0].source), x, ledger).output
    return coupling.unit_inputs(state, *coupling.linearize(state)).presynaptic.flatten(1)


@torch.no_grad()
def features(network: Network, settler: Settler, images: Images, batch: int, ledger: Ledger) -> Features:
    """Compute the features of all of `images`, in their order, without augmentation, settled freely.

    Args:
        network: the network.
        settler: settles all layers but the output.
        images: N images with labels.
        batch: samples per batch.
        ledger: counts the settling.

    Raises:
        ConfigurationError: if more than one coupling, or none with weights, enters the output layer.
    """
    dtype = torch.float64 if images.dtype == torch.float64 else torch.bfloat16
    kept: Tensor | None = None
    start = 0
    for x, _ in images.batches(batch, seed=0, epoch=0, train=False):
        values = batch_features(network, settler, x, ledger)
        if kept is None:
            kept = torch.empty(len(images), values.shape[1], dtype=dtype, device=values.device)
        kept[start : start + len(x)] = values
        start += len(x)
    if kept is None:
        raise ConfigurationError("readout: there are no images to take features of")
    return Features(kept, images.labels)
