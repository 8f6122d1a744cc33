"""The measures of every layer at one state of a network: gain, units at a bound, dead units, activity and signal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from energy.graph import Layer
from energy.ledger import Ledger
from energy.network import Network
from energy.relax.edge_gain import edge_gain
from energy.state import State

ROOM: Final = 1e-3  # of the distance of two bounds, within which a unit is at one


@dataclass(frozen=True)
class LayerMeasures:
    """The measures of one layer over a batch.

    Attributes:
        layer: its name.
        gain: σ of the edge into it that has the greatest one (`energy.relax.edge_gain`), of the sample with the
            greatest.
        loop_gain: γ^span σ², of the pair of this layer and one below it; the greatest over its edges and the samples,
            0 where no activity comes back.
        at_bound: the share of units and samples at a bound.
        dead: the share of units that are zero for every sample, or at the same bound.
        activity: root mean square of s.
        drive: root mean square of J(s).
        signal: the part of the drive that depends on the sample, its root mean square about the mean of the batch, over
            the larger of 1 and `drive`; NaN for one sample.
    """

    layer: str
    gain: float
    loop_gain: float
    at_bound: float
    dead: float
    activity: float
    drive: float
    signal: float


@torch.no_grad()
def layer_measures(network: Network, x: Tensor, state: State, gamma: float, ledger: Ledger) -> list[LayerMeasures]:
    """Measure every layer at `state`.

    Args:
        network: the network; nothing of it changes.
        x: (B, *input shape).
        state: the activity of every layer.
        gamma: γ, the feedback gain.
        ledger: counts the multiply-adds, as a phase `gains`.
    """
    found, drives = list[LayerMeasures](), network.drive(x, state, gamma)
    for edge in network.edges:
        ledger.apply("gains", edge.multiply_adds, len(x) * (2 if edge.gain(gamma) else 1))
    for k, (layer, tensor, drive) in enumerate(zip(network.layers, state, drives, strict=True), start=1):
        gains, loops = list[float](), list[float]()
        for edge in network.into(k):
            sigma, steps = edge_gain(network, edge, x, state, gamma)
            ledger.apply("gains", edge.multiply_adds, 2 * steps * len(x))
            gains.append(float(sigma.max()))
            loops.append(gains[-1] ** 2 * edge.gain(gamma))
        low, high = bounds(layer, tensor)
        same = low.all(0) | high.all(0) | (tensor == 0).all(0)
        size = _root(drive)
        about = _root(drive.double() - drive.double().mean(0)) if len(x) > 1 else math.nan
        at_bound, dead = float((low | high).double().mean()), float(same.double().mean())
        measured = LayerMeasures(
            layer.name, max(gains), max(loops), at_bound, dead, _root(tensor), size, about / max(size, 1.0)
        )
        found.append(measured)
    return found


def bounds(layer: Layer, state: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether each unit is at its lower bound, and at its upper one; both of the shape of `state`."""
    low, high = layer.potential.lower, layer.potential.upper
    room = ROOM * (high - low) if math.isfinite(high - low) else 0.0
    return state <= low + room, state >= high - room


def _root(tensor: Tensor) -> float:
    return float(tensor.double().square().mean().sqrt())
