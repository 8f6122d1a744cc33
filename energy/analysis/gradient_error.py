"""The error budget of a gradient: how much of its distance from the exact one each cause is responsible for.

`energy.analysis.error_parts` has the vectors, and the order in which causes are told apart. With e = g − g*,

    size  = |part| / |g*|              how large a part is
    share = ⟨part, e⟩ / ⟨e, e⟩         how much of the error it makes up; shares add up to 1

A share is signed: one below 0 belongs to a part that makes up for others, so that the error grows when it alone is
removed. Sizes do not add up, since parts may point in any direction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import Tensor

from energy.analysis.diagnosis import CURES
from energy.analysis.error_parts import UNEXPLAINED, ErrorParts, error_parts
from energy.analysis.gradient_alignment import cosine
from energy.columns import blocks, terminal_width
from energy.network import Network
from energy.objectives import Objective
from energy.parameters import layer_of
from energy.rules.rule import Rule
from energy.settle.settler import Settler

LEGEND: Final = "error: |g - g*| / |g*|; of each part its size on that scale, and its share of the error"
NEGLIGIBLE: Final = 1e-4  # a relative error below which no cause is named
CAUSES: Final[Mapping[str, str]] = {
    "rule": "a rule that is not the contrast",
    "rounding": "rounding",
    "other_equilibrium": "another equilibrium",
    "mean": "an unsettled mean",
    "feedback_weights": "feedback weights other than the weights",
    "difference": "an unsettled difference, or unsettled nudged phases",
    "clamp": "a clamped output",
    "switches": "pooling by other switches in each phase",
    "nudge": "a finite nudge",
    UNEXPLAINED: "none of the known causes",
}
ADVICE: Final[Mapping[str, str]] = {
    **CURES,
    "rule": "the rule is not the gradient of the objective: rule=contrast is",
    "other_equilibrium": "rounding decides between equilibria: use float64, or settler.keep_contracting to have one",
    UNEXPLAINED: "no setting of this settler makes it the exact gradient: take another settler",
}


@dataclass(frozen=True)
class ErrorPart:
    """The effect of one cause on a gradient.

    Attributes:
        size: |part| / |g*|; None where the exact gradient is zero.
        share: ⟨part, e⟩ / ⟨e, e⟩; None where there is no error.
    """

    size: float | None
    share: float | None


@dataclass(frozen=True)
class LayerError:
    """The error of the gradient of one layer.

    Attributes:
        cosine: with the exact gradient; None if one of them is zero, though 0 if only the one given is.
        relative_error: |g − g*| / |g*|; None where the exact gradient is zero.
        parts: by cause, in the order in which they were told apart.
        cause: the one with the greatest share; None below a relative error of 1e-4.
    """

    cosine: float | None
    relative_error: float | None
    parts: dict[str, ErrorPart]
    cause: str | None


@dataclass(frozen=True)
class GradientError:
    """The error of a gradient, by cause.

    Attributes:
        cosine, relative_error, parts, cause: of the whole gradient, as for `LayerError`.
        advice: what to change, by the cause.
        layers: the same numbers of every layer, by name.
        reference: how the solves of the exact gradient ended, by phase.
        left_out: causes that could not be told apart, as their remedy gave no finite gradient.
    """

    cosine: float | None
    relative_error: float | None
    parts: dict[str, ErrorPart]
    cause: str | None
    advice: str
    layers: dict[str, LayerError]
    reference: dict[str, str]
    left_out: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return asdict(self)

    def __str__(self) -> str:
        whole = LayerError(self.cosine, self.relative_error, self.parts, self.cause)
        shown = list(self.parts)
        rows = [_row("whole", whole, shown), *(_row(name, layer, shown) for name, layer in self.layers.items())]
        table = blocks(["", "cosine", "error", "cause", *shown], rows, terminal_width())
        return "\n".join([*self._verdict(), "", table, "", LEGEND])

    def _verdict(self) -> list[str]:
        if self.relative_error is None:
            return ["The exact gradient is zero, so no error can be measured by it."]
        at = "" if self.cosine is None else f", at a cosine of {self.cosine:.4f}"
        lines = [f"The gradient differs from the exact one by {self.relative_error:.2g} of its length{at}."]
        if self.cosine is not None and self.relative_error > 2 * math.sqrt(1 - self.cosine**2) + NEGLIGIBLE:
            lines.append("Most of that is the length of the gradient, which a learning rate makes up for.")
        if self.cause is None:
            lines.append("No cause is worth a change.")
        else:
            share = self.parts[self.cause].share
            assert share is not None  # there is an error
            lines.append(f"Cause of {100 * share:.0f} % of the error: {CAUSES[self.cause]} ({self.cause}).")
            lines.append(f"Advice: {self.advice}.")
        unsettled = [f"{phase}: {outcome}" for phase, outcome in self.reference.items() if outcome in _UNSETTLED]
        if unsettled:
            lines.append(f"The exact gradient itself has not settled ({', '.join(unsettled)}); keep_contracting helps.")
        if self.left_out:
            lines.append(f"Not told apart, as the remedy gave no finite gradient: {', '.join(self.left_out)}.")
        return lines


def gradient_error(
    network: Network, settler: Settler, rule: Rule, objective: Objective, x: Tensor, target: Tensor
) -> GradientError:
    """Measure the error of a gradient on one batch, layer by layer, and split it by cause.

    Neither weights, buffers nor `.grad` change.

    Args:
        network: the network.
        settler, rule: give the gradient.
        objective: the loss.
        x: (B, *input shape).
        target: (B, *output shape).

    Raises:
        ConfigurationError: for a rule that descends no objective, and for a settler of spikes.
        NonFiniteError: for a gradient that is not finite.

    Example:
        >>> from energy.objectives import SquaredError
        >>> from energy.rules import Contrast
        >>> from energy.settle import EquilibriumPropagation
        >>> from energy.testing.small import batch, contracting
        >>> gradient_error(contracting(), EquilibriumPropagation(beta=1.0), Contrast(), SquaredError(), *batch()).cause
        'nudge'
    """
    found, owners = error_parts(network, settler, rule, objective, x, target), layer_of(network)
    places: dict[str, list[int]] = {}
    for at, (name, _) in enumerate(network.named_parameters()):
        places.setdefault(owners[name], []).append(at)
    whole = _measured(found, range(len(found.exact)))
    return GradientError(
        cosine=whole.cosine,
        relative_error=whole.relative_error,
        parts=whole.parts,
        cause=whole.cause,
        advice="" if whole.cause is None else ADVICE[whole.cause],
        layers={name: _measured(found, at) for name, at in places.items()},
        reference=found.reference,
        left_out=found.left_out,
    )


_UNSETTLED: Final = ("budget", "diverged")


def _measured(found: ErrorParts, places: Sequence[int]) -> LayerError:
    """The numbers of some parameters together."""
    exact = _vector(found.exact, places)
    parts = {name: _vector(part, places) for name, part in found.parts.items()}
    error = torch.stack([*parts.values()]).sum(0)
    length, square = float(exact.norm()), float(error @ error)
    measured = {
        name: ErrorPart(
            size=float(part.norm()) / length if length else None, share=float(part @ error) / square if square else None
        )
        for name, part in parts.items()
    }
    relative = math.sqrt(square) / length if length else None
    shares = {name: part.share for name, part in measured.items() if part.share is not None}
    named = relative is not None and relative >= NEGLIGIBLE
    cause = max(shares, key=lambda name: shares[name]) if named else None
    return LayerError(cosine([exact + error], [exact]), relative, measured, cause)


def _vector(gradient: Sequence[Tensor], places: Sequence[int]) -> Tensor:
    return torch.cat([gradient[at].flatten() for at in places])


def _row(name: str, layer: LayerError, shown: Sequence[str]) -> list[str]:
    cells = [_cell(layer.parts[part]) for part in shown]
    relative = "none" if layer.relative_error is None else f"{layer.relative_error:.1e}"
    angle = "none" if layer.cosine is None else f"{layer.cosine:.4f}"
    return [name, angle, relative, layer.cause or "", *cells]


def _cell(part: ErrorPart) -> str:
    if part.size is None or part.share is None:
        return "none"
    return f"{part.size:.1e} {100 * part.share:4.0f} %"
