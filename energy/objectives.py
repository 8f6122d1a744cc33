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

from torch import Tensor
from torch.nn import functional as F

from energy.component import Component, ConfigurationError, choices, require
from energy.errors import UsageError
from energy.potentials import Identity, Potential, per_sample
from energy.targets import TargetKind, matching
from energy.targets import class_numbers as class_numbers
from energy.targets import one_hot as one_hot


class Nudge(enum.Enum):
    """The form in which the objective enters the output layer."""

    PROXIMAL = "exactly"
    LIVE = "linearized at the present drive"
    FROZEN = "linearized once, at the free equilibrium"


class Objective(Component):
    """C(s; y) of one output state and its target. Subclasses define `value`, `gradient`, and `nudged` if they have a
    proximal step.

    Class attributes: `targets`, the kinds of targets that it admits (one class a sample unless declared).

    Attributes:
        nudge: the form in which C enters the output layer.
    """

    group: ClassVar[str] = "objective"
    targets: ClassVar[tuple[TargetKind, ...]] = (TargetKind.CLASSES,)
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

    def decide(self, output: Tensor) -> Tensor:
        """Return which labels an output switches on, by its distance to 0 and 1: s > ½; booleans of its shape."""
        return output > 0.5

    def answer(self, output: Tensor, kind: TargetKind) -> Tensor:
        """Return what an output says of its sample: its class, real numbers as they are, or which labels are on."""
        if kind is TargetKind.REAL:
            return output
        return self.predict(output) if kind is TargetKind.CLASSES else self.decide(output)

    def validate_targets(self, kind: TargetKind, data: str = "") -> None:
        """Check that this objective can be put on targets of `kind`.

        Args:
            kind: of the targets.
            data: the data set, for the message.

        Raises:
            ConfigurationError: if it cannot, naming the objectives that can.
        """
        if kind not in self.targets:
            able = [name for name, cls in choices(Objective).items() if kind in cls.targets]
            told = f"the targets of data={data}, {kind.value}" if data else kind.value
            raise ConfigurationError(
                f"objective={self.name or type(self).__name__}: is not for {told}; take {' or '.join(able)}"
            )

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

    targets: ClassVar[tuple[TargetKind, ...]] = tuple(TargetKind)
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


class BinaryCrossEntropy(Objective, name="binary_cross_entropy"):
    """C = Σ softplus(s) − y·s on linear outputs (logits), a sigmoid of its own for each; ∇C = σ(s) − y.

    It is −ln of the probability of labels y ∈ {0, 1} that are independent given the logits, and in general the
    cross-entropy of targets in [0, 1] with σ(s). A label is on where σ(s) > ½. There is no closed proximal step.

    Example:
        >>> BinaryCrossEntropy().gradient(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
        tensor([[-0.5000,  0.5000]])
    """

    targets: ClassVar[tuple[TargetKind, ...]] = (TargetKind.LABELS, TargetKind.CLASSES)

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        return per_sample(F.binary_cross_entropy_with_logits(output, matching(target, output), reduction="none"))

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return output.sigmoid() - matching(target, output)

    def decide(self, output: Tensor) -> Tensor:
        return output > 0

    def validate_output(self, potential: Potential) -> None:
        self._require_linear()
        if not isinstance(potential, Identity):
            raise ConfigurationError(
                "objective=binary_cross_entropy: its sigmoids read logits; the output must be identity, "
                f"not {type(potential).__name__}"
            )
