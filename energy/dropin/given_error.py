"""The objective whose gradient is given: that of any criterion at the output that it was computed for."""

from __future__ import annotations

from torch import Tensor

from energy.objectives import Nudge, Objective, matching
from energy.potentials import Potential, per_sample


class GivenError(Objective):
    """C(s; e) = ⟨e, s⟩, ∇C = e: a criterion of the output, linearized at the free output.

    The target of a settler is the error e.
    """

    nudge: Nudge = Nudge.FROZEN

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        return per_sample(output * matching(target, output))

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return matching(target, output)

    def validate_output(self, potential: Potential) -> None:
        """Accept any output, whose response is the settler's affair."""
