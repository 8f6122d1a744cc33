"""Distance of the output from the target, and how a nudge by it enters the output layer.

With the drive a and the difference drive h of the output layer, nudged replicas are

    s± = argmin_s  G(s) − ⟨s, a ± β±h⟩ ± β± C(s)        β₊ = r₊β,  β₋ = r₋β

Every nudge here is a change of (a, h): the output then responds like any other layer. Linearised at an error e = ∇C it
is h − e. The exact (proximal) step of squared error reaches p± = (a ± β±(h + y))/(1 ± β±): the dyad about a − β₊β₋h′
with the difference drive h′ = (h + y − a)/((1 + β₊)(1 − β₋)). Objectives are summed over the batch, so β is per sample.
"""

from __future__ import annotations

import enum
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from energy.component import Component, ConfigurationError
from energy.potentials import Identity, Potential, per_sample


class Nudge(enum.Enum):
    """How the objective enters the output layer."""

    PROXIMAL = "exactly"
    LIVE = "linearised at the present drive"
    FROZEN = "linearised once, at the free equilibrium"


class Objective(Component):
    """C(s; y) of one output state and its target; subclasses give value and gradient."""

    group: ClassVar[str] = "objective"
    nudge: Nudge = Nudge.FROZEN

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        """C of each sample: (B, …), (B, …) → (B,)."""
        raise NotImplementedError

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        """∇C at `output`, the shape of `output`."""
        raise NotImplementedError

    def predict(self, output: Tensor) -> Tensor:
        """The class of each sample: (B,)."""
        return output.flatten(1).argmax(1)

    def check(self, potential: Potential) -> None:
        """Raise ConfigurationError if this objective cannot be put on an output layer of `potential`."""

    def admit(self, plus: float, minus: float) -> None:
        """Raise ConfigurationError if the nudges β₊ and β₋ are not possible."""

    def nudged(
        self,
        potential: Potential,
        drive: Tensor,
        h: Tensor,
        target: Tensor,
        frozen: Tensor | None,
        plus: float,
        minus: float,
    ) -> tuple[Tensor, Tensor]:
        """(a, h) of the output layer with the nudge in them; `plus` = β₊, `minus` = β₋, `frozen` the error at the free
        state.
        """
        if self.nudge is Nudge.FROZEN and frozen is not None:
            return drive, h - frozen
        return drive, h - self.gradient(potential.response(drive), target)


class SquaredError(Objective, name="squared_error"):
    """C = ½‖s − y‖². The proximal nudge is exact and needs β₋ < 1 and β₊ > −1."""

    nudge: Nudge = Nudge.PROXIMAL

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        return per_sample((output - target).square()) / 2

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return output - target

    def check(self, potential: Potential) -> None:
        if self.nudge is Nudge.PROXIMAL and not potential.quadratic:
            raise ConfigurationError(
                f"objective.nudge=proximal: squared error has no closed step on a {type(potential).__name__} output; "
                "use live or frozen, or an identity, relu, clipped_relu or hard_sigmoid output"
            )

    def admit(self, plus: float, minus: float) -> None:
        if self.nudge is Nudge.PROXIMAL and not (plus > -1 and minus < 1):
            raise ConfigurationError(
                f"beta: β₊={plus:g} and β₋={minus:g} make the proximal step of squared error singular: "
                "must be above -1 and below 1"
            )

    def nudged(
        self,
        potential: Potential,
        drive: Tensor,
        h: Tensor,
        target: Tensor,
        frozen: Tensor | None,
        plus: float,
        minus: float,
    ) -> tuple[Tensor, Tensor]:
        if self.nudge is not Nudge.PROXIMAL:
            return super().nudged(potential, drive, h, target, frozen, plus, minus)
        self.admit(plus, minus)
        pull = (h + target - drive) / ((1 + plus) * (1 - minus))
        return drive - plus * minus * pull, pull


class CrossEntropy(Objective, name="cross_entropy"):
    """C = −⟨y, ln softmax(s)⟩ on linear outputs (logits); ∇C = softmax(s)·Σy − y. There is no closed proximal step."""

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        return -per_sample(target * F.log_softmax(output, dim=-1))

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return output.softmax(-1) * target.sum(-1, keepdim=True) - target

    def check(self, potential: Potential) -> None:
        if self.nudge is Nudge.PROXIMAL:
            raise ConfigurationError(
                "objective.nudge=proximal: cross-entropy has no closed proximal step; use live or frozen"
            )
        if not isinstance(potential, Identity):
            raise ConfigurationError(
                "objective=cross_entropy: its softmax reads logits; the output must be identity, "
                f"not {type(potential).__name__}"
            )


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Targets of a classifier: (B,) integers in 0 … classes − 1 → (B, classes)."""
    return torch.zeros(len(labels), classes, dtype=dtype, device=labels.device).scatter_(1, labels.unsqueeze(1), 1)
