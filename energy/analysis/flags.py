"""Flags: faults of a network that are seen before it learns, each with the layer, the number and the cure.

    unbounded       activity can grow without bound: no minimum, or unbounded units with a loop gain of 1 or more
    never_settles   a solve of the free phase that does not reach its tolerance within its budget
    saturated       three quarters of a hidden layer, with two bounds, at a bound: little gradient passes
    dead            three quarters of a hidden layer zero, or at the same bound, for every sample
    vanishing       an output whose drive depends on the sample by less than the rounding of the precision

Shares are those at the equilibrium, and a unit that is dead there may wake up for other samples than the few looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from energy.analysis.boundedness import Boundedness, Verdict
from energy.analysis.contraction_report import FreePhase
from energy.analysis.layer_measures import LayerMeasures
from energy.health import CURE, SAMPLES, STUCK
from energy.network import Network
from energy.relax.solution import Outcome
from energy.settle.settler import Settler


@dataclass(frozen=True)
class Flag:
    """A fault of a network, as a diagnosis tells it.

    Attributes:
        name: its kind.
        layer: the name of the layer that has it; empty if no single one has.
        sentence: what was found.
        cure: what to try.
    """

    name: str
    layer: str
    sentence: str
    cure: str


def flags(
    network: Network,
    settler: Settler,
    x: Tensor,
    found: FreePhase,
    layers: Sequence[LayerMeasures],
    bounded: Boundedness,
) -> Iterator[Flag]:
    """Yield every flag of a network, the most serious first.

    Args:
        network: the network.
        settler: its free phase was measured.
        x: (B, *input shape).
        found: the free phase.
        layers: the measures of every layer.
        bounded: the bounds.
    """
    yield from _unbounded(network, found, bounded)
    yield from _never_settles(network, settler, found)
    for measured, layer in zip(layers[:-1], network.layers, strict=False):
        both = math.isfinite(layer.potential.lower) and math.isfinite(layer.potential.upper)
        if len(x) >= SAMPLES and measured.dead > STUCK:
            said = f"{100 * measured.dead:.0f} % of its units are zero, or at the same bound, for every sample"
            cure = "other initial weights or biases (model.gain, model.bias), leaky_relu, or inputs of mean zero"
            yield Flag("dead", measured.layer, said, cure)
        elif both and measured.at_bound > STUCK:
            said = f"{100 * measured.at_bound:.0f} % of its units are at a bound, and no gradient passes them"
            yield Flag("saturated", measured.layer, said, "smaller weights (model.gain; the initial scale below)")
    yield from _vanishing(x, layers)


def _unbounded(network: Network, found: FreePhase, bounded: Boundedness) -> Iterator[Flag]:
    gain = float(found.spectrum.radius.square().nan_to_num(math.inf).max())
    diverged = any(one is not None and one.outcome is Outcome.DIVERGED for one in (found.onward, found.taken))
    grows = diverged or (bool(bounded.unbounded) and gain >= 1)
    if bounded.minimum is Verdict.NO or (bounded.minimum is Verdict.UNDECIDED and grows):
        layer = found.slowest(network) or (bounded.unbounded[0] if bounded.unbounded else "")
        said = f"{bounded.reason}; the loop gain at γ = {found.gamma:.3g} is {gain:.3g} where its solve ended"
        yield Flag("unbounded", layer, said, CURE)


def _never_settles(network: Network, settler: Settler, found: FreePhase) -> Iterator[Flag]:
    taken = found.taken
    if taken is None or taken.outcome not in (Outcome.BUDGET, Outcome.DIVERGED):
        return
    relax = settler.relax
    share = f"{int(taken.converged.sum())} of {len(taken.converged)} samples reach {relax.tolerance:g}"
    said = f"{share} within {relax.max_steps} steps of settler.relax ({taken.outcome.name.lower()})"
    if found.expected is not None and bool((wanted := found.expected).isfinite().all()):
        said += f"; {float(wanted.max()):.0f} are expected for all"
    cure = "smaller weights (model.gain), a smaller settler.gamma, or a larger settler.relax.max_steps or tolerance"
    yield Flag("never_settles", taken.layer or found.slowest(network) or "", said, cure)


def _vanishing(x: Tensor, layers: Sequence[LayerMeasures]) -> Iterator[Flag]:
    least = torch.finfo(x.dtype).eps
    if layers[-1].signal <= least and bool((x != x[:1]).any()):
        lost = next(one for one in layers if one.signal <= least)
        said = (
            f"its drive differs between samples by {lost.signal:.1g} of itself, or of a target of size 1: rounding of "
            f"{str(x.dtype).removeprefix('torch.')} is {least:.1g}"
        )
        yield Flag("vanishing", lost.layer, said, "larger weights (model.gain; the initial scale below), or float64")
