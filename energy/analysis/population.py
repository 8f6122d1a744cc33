"""The neurons of a trained network as populations: norms, rates, weights, activities and wins, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from energy.analysis.filters import weight_of
from energy.analysis.unit_diagnostics import wins
from energy.component import ConfigurationError
from energy.data.images import Images
from energy.ledger import Ledger
from energy.network import Edge, Network
from energy.rules.linearized import LinearizedLayer, linearized_layers
from energy.rules.rule import Rule
from energy.settle.feedforward import SettledFree, settle_free
from energy.settle.settler import Settler

NORMS, WEIGHTS = 30, 60  # bins


@dataclass
class LayerStatistics:
    """Statistics of one layer; histograms are (counts, edges).

    Attributes:
        norm: ‖w_k‖_p, one per neuron.
        rate: η_k of its local rule.
        weight: the single weights.
        activity: the activations, at the first batch of images.
        wins: (K,), the number of positions, over all images, at which each neuron had the greatest drive.
    """

    norm: tuple[Tensor, Tensor] | None = None
    rate: tuple[Tensor, Tensor] | None = None
    weight: tuple[Tensor, Tensor] | None = None
    activity: tuple[Tensor, Tensor] | None = None
    wins: Tensor | None = None


@dataclass
class Survey:
    """The result of a pass over images.

    Attributes:
        layers: statistics by layer name.
        features: (N, D), inputs of the output layer, if it has one coupling to a hidden layer.
        labels: (N,).
    """

    layers: dict[str, LayerStatistics]
    features: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)


@torch.no_grad()
def survey(network: Network, settler: Settler, rule: Rule, images: Images, batch: int = 100) -> Survey:
    """Survey every hidden layer over all of `images`, in their order, without augmentation, settled freely.

    Args:
        network: the network.
        settler: settles the free phase.
        rule: the rule that trained the network; its local rules define norms and competition.
        images: N images with labels.
        batch: samples per batch.
    """
    hidden = network.layers[:-1]
    found = Survey({layer.name: _weights(network, rule, k) for k, layer in enumerate(hidden, start=1)})
    for x, labels in images.batches(batch, seed=0, epoch=0, train=False):
        settled = settle_free(settler, network, x, labels, Ledger())
        linearized = {one.edge.target: one for one in linearized_layers(rule, network, settled)}
        for k, layer in enumerate(hidden, start=1):
            one = found.layers[layer.name]
            counted = wins(_logits(settled, k, linearized.get(k))).sum(0).long().cpu()
            one.wins = counted if one.wins is None else one.wins + counted
            if one.activity is None:
                one.activity = histogram(settled.mean[k - 1], WEIGHTS)
        (edge, *more) = network.into(len(network.layers))
        if edge.source and not more:
            found.features.append(_presynaptic(settled, edge).flatten(1))
        found.labels.append(labels)
    return found


def histogram(values: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Count values in equally spaced bins that span them.

    Args:
        values: of any shape.
        bins: number of bins.

    Returns:
        Counts (bins,) and edges (bins + 1,). If all values are equal, the bins span an interval about them as wide as
        their distance from 0 (1 at 0).
    """
    flat = values.detach().flatten().double().cpu()
    low, high = float(flat.min()), float(flat.max())
    half = 0.0 if high > low else abs(low) / 2 or 0.5
    counts, edges = torch.histogram(flat, bins, range=(low - half, high + half))
    return counts.long(), edges


def _weights(network: Network, rule: Rule, layer: int) -> LayerStatistics:
    """The statistics that depend on the weights alone."""
    weights = [w for edge in network.into(layer) if (w := weight_of(edge)) is not None]
    if not weights:
        return LayerStatistics()
    law = rule.rule_for(network, layer)
    joined = torch.cat([w.flatten(1) for w in weights], 1)  # a neuron's weights are those of all couplings into it
    return LayerStatistics(
        norm=histogram(torch.linalg.vector_norm(joined.double(), law.p if law else 2, dim=1), NORMS),
        rate=histogram(law.rates(joined), NORMS) if law else None,
        weight=histogram(torch.cat([w.flatten() for w in weights]), WEIGHTS),
    )


def _logits(settled: SettledFree, layer: int, learning: LinearizedLayer | None) -> Tensor:
    """The logits of the competition, (B, positions…, groups, K/groups): drives of units without a rule."""
    if learning is None:
        return settled.drives[layer - 1].movedim(1, -1).unsqueeze(-2)
    return learning.rule.competition_logits(learning.inputs)


def _presynaptic(settled: SettledFree, edge: Edge) -> Tensor:
    below, drive = settled.mean[edge.source - 1], settled.drives[edge.target - 1]
    try:
        return edge.coupling.unit_inputs(below, drive, settled.linear[edge.index]).presynaptic
    except ConfigurationError:  # a coupling without weights of units: its input, then
        return below
