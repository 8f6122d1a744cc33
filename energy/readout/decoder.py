"""Linear maps from features to scores, and their installation in the output layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.couplings import Dense
from energy.network import Network
from energy.objectives import class_numbers
from energy.readout.features import Features
from energy.readout.top_five import TopFive


@dataclass(frozen=True)
class Decoder:
    """Scores (N, classes) of features (N, D): weight·features + bias, (classes, D) and (classes,).

    Computed in the precision of the weights: scores rounded to bfloat16 cost accuracy.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, values: Tensor) -> Tensor:
        return values.to(self.weight.dtype) @ self.weight.T + self.bias


def numbered(features: Features, classes: int) -> Features:
    """Convert the labels to class numbers of int64, with the checks of `one_hot`."""
    return Features(features.values, class_numbers(features.labels, classes))


def widened(values: Tensor) -> Tensor:
    """Convert to float32, unless already float64."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def accuracy(decoder: Callable[[Tensor], Tensor], features: Features, batch: int = 1000) -> float:
    """Return the percentage of samples whose greatest score is that of their label."""
    return accuracies(decoder, features, batch)["accuracy"]


@torch.no_grad()
def accuracies(decoder: Callable[[Tensor], Tensor], features: Features, batch: int = 1000) -> dict[str, float]:
    """Return `accuracy`, and from 100 classes on `top5_accuracy`, both in percent of the samples."""
    right = torch.zeros((), dtype=torch.float64, device=features.labels.device)
    top: TopFive | None = None
    for values, labels in zip(features.values.split(batch), features.labels.split(batch), strict=True):
        scores = decoder(values)
        right += (scores.argmax(1) == labels).sum()
        top = top or TopFive(scores.shape[1], scores.device)
        top.add(scores, labels)
    return {"accuracy": 100 * float(right) / max(len(features), 1), **(top.accuracy() if top else {})}


def dense_output(network: Network) -> Dense:
    """Return the dense coupling into the output layer, the place of a linear decoder.

    Raises:
        ConfigurationError: if it is not the only one, not dense, without bias, or reads the input.
    """
    edges = network.into(len(network.layers))
    dense = getattr(edges[0].coupling, "filters", edges[0].coupling)
    if len(edges) > 1 or not edges[0].source or not isinstance(dense, Dense) or dense.bias is None:
        raise ConfigurationError("readout: needs one dense coupling with bias into the output layer, from a hidden one")
    return dense


def install(network: Network, decoder: Decoder) -> None:
    """Copy a linear decoder into the output layer.

    Raises:
        ConfigurationError: as `dense_output`, and for another shape.
    """
    dense = dense_output(network)
    if dense.weight.shape != decoder.weight.shape:
        shapes = f"{tuple(dense.weight.shape)}, the decoder's {tuple(decoder.weight.shape)}"
        raise ConfigurationError(f"readout: the weight of the output layer has shape {shapes}")
    assert dense.bias is not None
    with torch.no_grad():
        dense.weight.copy_(decoder.weight)
        dense.bias.copy_(decoder.bias)
