"""Distance of the output from the target, and how a nudge by it enters the output layer.

With the drive a and the difference drive h of the output layer, nudged replicas are

    s± = argmin_s  G(s) − ⟨s, a ± β±h⟩ ± β± C(s)        β₊ = r₊β,  β₋ = r₋β

Every nudge here is a change of (a, h): the output then responds like any other layer. Linearized at an error e = ∇C it
is h − e. The exact (proximal) step of squared error is closed where G = s²/(2σ) on an interval: f(a) = clamp(σa), and
s± = f(p±) with p± = (a ± β±(h + y))/(1 ± σβ±), which is the dyad about a − σβ₊β₋h′ with the difference drive
h′ = (h + y − σa)/((1 + σβ₊)(1 − σβ₋)). Objectives are summed over the batch, so β is per sample.

Outputs are (B, C) or, with a class at every place, (B, C, …): as in torch, the classes lie along axis 1.
"""

from __future__ import annotations

import enum
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from energy import reading
from energy.component import Component, ConfigurationError, require
from energy.errors import UsageError
from energy.potentials import Identity, Potential, per_sample


class Nudge(enum.Enum):
    """The form in which the objective enters the output layer."""

    PROXIMAL = "exactly"
    LIVE = "linearized at the present drive"
    FROZEN = "linearized once, at the free equilibrium"


class Objective(Component):
    """C(s; y) of one output state and its target. Subclasses define `value`, `gradient`, and `nudged` if they have a
    proximal step.

    Attributes:
        nudge: the form in which C enters the output layer.
    """

    group: ClassVar[str] = "objective"
    nudge: Nudge = Nudge.FROZEN

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        """Return C of each sample: (B, …), (B, …) → (B,)."""
        raise NotImplementedError

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        """Return ∇C at `output`, of the shape of `output`."""
        raise NotImplementedError

    def predict(self, output: Tensor) -> Tensor:
        """Return the class with the greatest output, the first of equals: (B, C) → (B,), and (B, C, …) → (B, …)."""
        return output.argmax(1)

    def validate_output(self, potential: Potential) -> None:
        """Check that this objective can be put on an output layer of `potential`.

        Raises:
            ConfigurationError: if it cannot.
        """
        if type(self).nudged is Objective.nudged:
            self._require_linear()

    def validate_nudge(self, beta_plus: float, beta_minus: float, potential: Potential = Identity()) -> None:  # noqa: B008 (a constant)
        """Check that the nudges β₊ and β₋ are possible on an output layer of `potential`.

        Raises:
            ConfigurationError: if they are not.
        """

    def nudged(
        self,
        potential: Potential,
        drive: Tensor,
        h: Tensor,
        target: Tensor,
        frozen: Tensor | None,
        beta_plus: float,
        beta_minus: float,
    ) -> tuple[Tensor, Tensor]:
        """Return (a, h) of the output layer with the nudge in them: (a, h − e) with e = ∇C, live or frozen.

        Args:
            potential: the potential of the output layer.
            drive: a, (B, …).
            h: the difference drive from below, (B, …).
            target: y, the shape of the output.
            frozen: e at the free state, if the nudge is frozen.
            beta_plus: β₊ = r₊β, the nudge of s⁺.
            beta_minus: β₋ = r₋β, the nudge of s⁻.

        Raises:
            ConfigurationError: for a proximal nudge, which a subclass must define.
            ValueError: for a frozen nudge without `frozen`.
        """
        self._require_linear()
        if self.nudge is Nudge.LIVE:
            return drive, h - self.gradient(potential.response(drive), target)
        if frozen is None:
            raise UsageError("frozen=None: objective.nudge=frozen needs the gradient at the free output, or take live")
        return drive, h - frozen

    def _require_linear(self) -> None:
        if self.nudge is Nudge.PROXIMAL:
            name = self.name or type(self).__name__
            raise ConfigurationError(
                f"objective.nudge=proximal: {name} defines no proximal step; use live or frozen, or define nudged(...)"
            )


class SquaredError(Objective, name="squared_error"):
    """C = ½‖s − y‖².

    The proximal nudge is exact and needs σβ₋ < 1 and σβ₊ > −1, σ being the slope of the output unit: ½ for
    `half_hard_sigmoid`, 1 for the others.
    """

    nudge: Nudge = Nudge.PROXIMAL

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        return per_sample((output - matching(target, output)).square()) / 2

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return output - matching(target, output)

    def validate_output(self, potential: Potential) -> None:
        if self.nudge is Nudge.PROXIMAL and not potential.quadratic:
            raise ConfigurationError(
                f"objective.nudge=proximal: squared error knows no closed step on a {type(potential).__name__} output; "
                "use live or frozen, or an identity, relu, clipped_relu, hard_sigmoid or half_hard_sigmoid output"
            )

    def validate_nudge(self, beta_plus: float, beta_minus: float, potential: Potential = Identity()) -> None:  # noqa: B008 (a constant)
        if self.nudge is not Nudge.PROXIMAL:
            return
        slope = float(potential.quadratic) or 1.0
        if not (slope * beta_plus > -1 and slope * beta_minus < 1):
            raise ConfigurationError(
                f"beta: β₊={beta_plus:g} and β₋={beta_minus:g} make the proximal step of squared error singular: "
                f"must be above {-1 / slope:g} and below {1 / slope:g}"
            )

    def nudged(
        self,
        potential: Potential,
        drive: Tensor,
        h: Tensor,
        target: Tensor,
        frozen: Tensor | None,
        beta_plus: float,
        beta_minus: float,
    ) -> tuple[Tensor, Tensor]:
        if self.nudge is not Nudge.PROXIMAL:
            return super().nudged(potential, drive, h, target, frozen, beta_plus, beta_minus)
        self.validate_output(potential)
        self.validate_nudge(beta_plus, beta_minus, potential)
        slope = float(potential.quadratic)
        own = drive if slope == 1 else drive * slope
        pull = (h + matching(target, drive) - own) / ((1 + slope * beta_plus) * (1 - slope * beta_minus))
        return drive - slope * beta_plus * beta_minus * pull, pull


class CrossEntropy(Objective, name="cross_entropy"):
    """C = −⟨y, ln softmax(s)⟩ on linear outputs (logits), the softmax over axis 1; ∇C = softmax(s)·Σy − y.

    There is no closed proximal step.

    Attributes:
        smoothing: ε; the target is (1 − ε) y + ε Σy/K in place of y, K being the number of classes.

    Reference:
        Szegedy et al., CVPR 2016, section 7 (label smoothing).
    """

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.smoothing < 1, self, "smoothing", "at least 0 and below 1")

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        return -per_sample(self._smooth(matching(target, output)) * F.log_softmax(output, dim=1))

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return output.softmax(1) * matching(target, output).sum(1, keepdim=True) - self._smooth(target)

    def _smooth(self, target: Tensor) -> Tensor:
        if not self.smoothing:
            return target
        return (1 - self.smoothing) * target + self.smoothing * target.mean(1, keepdim=True)

    def validate_output(self, potential: Potential) -> None:
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
    """Return the targets of a classifier, (B, classes).

    Args:
        labels: (B,), integers of any width in 0 … classes − 1. Labels that count from 1 are noticed only if one
            reaches `classes`: subtract 1.
        classes: their number.
        dtype: of the targets.

    Raises:
        ValueError: for other labels; those out of range on the CPU only, whose check is free (a GPU's own kernel stops
            at them).

    Example:
        >>> one_hot(torch.tensor([2, 0]), 3)
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    numbers = class_numbers(labels, classes)
    return torch.zeros(len(numbers), classes, dtype=dtype, device=numbers.device).scatter_(1, numbers.unsqueeze(1), 1)


def class_numbers(labels: Tensor, classes: int) -> Tensor:
    """Return the labels as (B,) int64, after the checks of `one_hot`.

    Raises:
        ValueError: as for `one_hot`.
    """
    if labels.ndim != 1:
        cure = "; squeeze(1) makes it so" if labels.ndim == 2 and labels.shape[1] == 1 else ""
        raise UsageError(f"labels has shape {tuple(labels.shape)}: must be (B,){cure}")
    if labels.is_floating_point() or labels.is_complex():
        raise UsageError(f"labels is {labels.dtype}: must be whole numbers; labels.long() makes them so")
    if classes < 1:
        raise UsageError(f"classes={classes}: must be at least 1")
    labels = labels.to(torch.int64)
    if len(labels) and reading.is_free(labels.device):
        low, high = (int(bound) for bound in labels.aminmax())
        if low < 0 or high >= classes:
            raise UsageError(f"labels reach from {low} to {high}: must be in 0 … {classes - 1} for {classes} classes")
    return labels


def matching(target: Tensor, output: Tensor) -> Tensor:
    """Return the target itself.

    Raises:
        ValueError: unless it has the shape of the output, to which it would be broadcast.
    """
    if target.shape != output.shape:
        raise UsageError(
            f"target has shape {tuple(target.shape)}: must be that of the output, {tuple(output.shape)}; "
            "of labels, one_hot(labels, classes) makes it"
        )
    return target
