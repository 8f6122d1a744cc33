"""The angle between the gradient of a settler and a rule and the exact gradient, layer by layer.

The exact gradient is that of the settler's reference (`energy.settle.reference`): through the equilibrium, by the
settler `implicit` at the same gamma, taken at the equilibrium that the same relaxation reaches when it continues. At
gamma = 0 that is back-propagation; for spiking networks it is back-propagation through time with the surrogate's slope.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from energy.analysis.diagnosis import CURES, binds
from energy.feedback import feedback_weights
from energy.health import health
from energy.network import Network
from energy.objectives import Objective
from energy.parameters import layer_of
from energy.rules.contrast import Contrast
from energy.rules.rule import Rule
from energy.settle.dyadic import Dyadic
from energy.settle.reference import exact_settler
from energy.settle.settler import Settler
from energy.settle.two_phase import Phases

NOTHING_MEASURED: Final = {
    "cosine_worst": None,
    "cosine_worst_layer": None,
    "cosine_whole": None,
    "cosines": {},
    "cosine_binds": None,
    "reference": {},
}
LOW: Final = 0.5
GOOD: Final = 0.9  # a worst cosine above which nothing is asked to explain it


def gradient_alignment(
    network: Network, settler: Settler, rule: Rule, objective: Objective, x: Tensor, target: Tensor
) -> dict[str, Any]:
    """Measure cosines with the exact gradient on one batch.

    No weight, no `.grad` and no buffer changes.

    Args:
        network: the network.
        settler, rule: give the gradient.
        objective: the loss.
        x: (B, *input shape).
        target: (B, *output shape).

    Returns:
        `cosine_worst` and `cosine_worst_layer`, `cosine_whole`, `cosines` by layer; None if a gradient is zero or not
        finite, so that there is no angle. `cosine_binds`: below 0.9, the cause (`energy.analysis.diagnosis`).
        `reference`: the outcomes of the solves of the exact gradient, by phase.
    """
    with kept_buffers(network):
        return _probed(network, settler, rule, objective, x, target)


@contextmanager
def kept_buffers(network: Network) -> Iterator[None]:
    """Restore the buffers at the end: a batch norm updates its running statistics in every settling that learns."""
    held = [buffer.clone() for buffer in network.buffers()]
    try:
        yield
    finally:
        for buffer, before in zip(network.buffers(), held, strict=True):
            buffer.copy_(before)


def _probed(
    network: Network, settler: Settler, rule: Rule, objective: Objective, x: Tensor, target: Tensor
) -> dict[str, Any]:
    settler = at_rest(settler)
    wide = next(network.parameters()).dtype if settler.gamma == 0 else x.dtype
    with kept_buffers(network):
        given = rule.gradients(network, settler.settle(network, x, target, objective))
    settled = exact_settler(settler, wide).settle(network, x.to(wide), target.to(wide), objective)
    outcomes = {phase: solution.outcome.name.lower() for phase, solution in settled.solutions.items()}
    wanted = Contrast().gradients(network, settled)
    found = {**angles(network, given, wanted), "cosine_binds": None, "reference": outcomes}
    if settler.reaches and found["cosine_worst"] is not None and found["cosine_worst"] < GOOD:

        def worst(other: Settler, where: Network, x: Tensor, target: Tensor) -> float | None:
            return angles(where, rule.gradients(where, other.settle(where, x, target, objective)), wanted)[
                "cosine_worst"
            ]

        unsettled = {"budget", "diverged"} & set(outcomes.values())
        found["cosine_binds"] = (
            "reference" if unsettled else binds(settler, network, x, target, found["cosine_worst"], worst)
        )
    explain_cosine(network, settler, found)
    return found


def at_rest(settler: Settler) -> Settler:
    """Return the same settler without its control of the network's contraction, which stays as it is."""
    return replace(settler, keep_contracting=0.0) if isinstance(settler, Dyadic | Phases) else settler


def explain_cosine(network: Network, settler: Settler, found: dict[str, Any]) -> None:
    """Report once the cause of a low cosine, or that the reference has not settled and is none."""
    unsettled = [phase for phase, outcome in found["reference"].items() if outcome in ("budget", "diverged")]
    if unsettled:
        health(network).say(
            "reference",
            f"the exact gradient is not settled ({unsettled[0]} phase: {found['reference'][unsettled[0]]}), so cosines "
            "say little: the network contracts too slowly for it; keep_contracting=0.5 or smaller weights",
        )
    elif found["cosine_worst"] is not None and found["cosine_worst"] < LOW and found["cosine_binds"] in CURES:
        health(network).say(
            "cosine",
            f"worst cosine {found['cosine_worst']:.2f} at layer {found['cosine_worst_layer']}: "
            f"{CURES[found['cosine_binds']]}",
        )


def feedback_alignment(network: Network) -> dict[str, dict[str, float | None]]:
    """Compare the feedback weights B with the weights W they replace, by the layer that W drives.

    Returns:
        `feedback_angle`: of B and W taken as vectors, in degrees, None if one of them is zero; `feedback_agreement`:
        percent of the entries with equal signs. Both are empty if the weights carry the difference themselves.
    """
    found: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
    attached = feedback_weights(network)
    for layer, weight, other in () if attached is None else attached.matrices(network):
        pair = found.setdefault(layer, ([], []))
        pair[0].append(weight)
        pair[1].append(other)
    cosines = {layer: cosine(*pair) for layer, pair in found.items()}
    signs = {layer: (torch.cat([t.flatten().sign() for t in side]) for side in pair) for layer, pair in found.items()}
    return {
        "feedback_angle": {k: None if c is None else math.degrees(math.acos(c)) for k, c in cosines.items()},
        "feedback_agreement": {k: 100 * (a == b).double().mean().item() for k, (a, b) in signs.items()},
    }


def angles(network: Network, given: Sequence[Tensor], wanted: Sequence[Tensor]) -> dict[str, Any]:
    """Return the cosines of two gradients: by layer, the worst, and of the whole.

    Args:
        network: names the parameters and their layers.
        given, wanted: one tensor per parameter in the order of `network.parameters()`.
    """
    owners = layer_of(network)
    by_layer: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
    for (name, _), one, other in zip(network.named_parameters(), given, wanted, strict=True):
        pair = by_layer.setdefault(owners[name], ([], []))
        pair[0].append(one)
        pair[1].append(other)
    cosines = {layer: cosine(*pair) for layer, pair in by_layer.items()}
    known = {layer: value for layer, value in cosines.items() if value is not None}
    worst = min(known, key=lambda layer: known[layer], default=None)
    return {
        "cosine_worst": None if worst is None else known[worst],
        "cosine_worst_layer": worst,
        "cosine_whole": cosine(given, wanted),
        "cosines": cosines,
    }


def cosine(given: Sequence[Tensor], wanted: Sequence[Tensor]) -> float | None:
    """Return `<a, b> / (|a| |b|)` in float64.

    0 if `given` is zero and `wanted` is not; None if `wanted` is zero or either is not finite.
    """
    a = torch.cat([tensor.detach().flatten().double() for tensor in given])
    b = torch.cat([tensor.detach().flatten().double() for tensor in wanted])
    if not a.any() and b.any() and b.isfinite().all():
        return 0.0
    product = a.norm() * b.norm()
    if not (product > 0 and product.isfinite()):
        return None
    return float((a @ b / product).clamp(-1.0, 1.0))
