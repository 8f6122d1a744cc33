"""Any differentiable energy as a problem, by its gradient from autograd alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.relax.single_phase import PhaseNudge
from energy.state import State
from energy.tape import leaf, plain, taped

Energy = Callable[[Tensor, State, Mapping[str, Tensor]], Tensor]  # energy(x, state, θ) → (B,)


class EnergyProblem:
    """response(state) = state − ∂E/∂state for any energy E; with a nudge, for E + β·C.

    `flow` then follows the gradient of E, and `synchronous` with damping d takes gradient steps of length 1 − d.

    Args:
        energy: energy(x, state, θ) → (B,); the energy of a sample depends on its own tensors alone.
        x: the input, (B, …).
        theta: the parameters θ by name.
        names: of the tensors of a state, for error messages.
        nudge: β·C on the last tensor of a state, the output.
        count: called once per response, with the number of samples.

    Attributes:
        phase: the name that its steps are counted under.

    Example:
        >>> problem = EnergyProblem(lambda x, s, theta: (s[0] - x).square().sum(1) / 2, torch.ones(1, 2), {})
        >>> problem.response(State([torch.zeros(1, 2)]))[0]
        tensor([[1., 1.]])
    """

    phase: str = ""

    def __init__(
        self,
        energy: Energy,
        x: Tensor,
        theta: Mapping[str, Tensor],
        names: Sequence[str] = (),
        *,
        nudge: PhaseNudge | None = None,
        count: Callable[[int], None] = lambda samples: None,
    ) -> None:
        self.energy, self.theta = energy, theta
        self.x, self.names = plain(x), names
        self.nudge, self.count = nudge, count

    @property
    def batch(self) -> int:
        return len(self.x)

    @property
    def device(self) -> torch.device:
        return self.x.device

    def name(self, index: int) -> str:
        return self.names[index] if index < len(self.names) else f"state {index}"

    def rows(self, rows: Tensor) -> EnergyProblem | None:
        """Return the problem of some samples, `rows` (b,) being their places; None with a nudge."""
        if self.nudge is not None:
            return None
        return EnergyProblem(self.energy, self.x[rows], self.theta, self.names, count=self.count)

    def put_rows(self, rows: Tensor, some: EnergyProblem) -> None:
        """Take over what the problem of some samples has come to know: nothing."""

    def response(self, state: State) -> State:
        self.count(self.batch)
        slope = self.slope(state)
        if self.nudge is not None:
            *hidden, output = slope
            slope = State([*hidden, output + self.nudge.beta * self.nudge.error(state[-1])])
        return state - slope

    def slope(self, state: State) -> State:
        """Return ∂E/∂state of every sample; zero for a tensor that E does not depend on."""
        with taped():
            leaves = [leaf(tensor) for tensor in state]
            total = self.value(State(leaves)).sum()
            return State(torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True))

    def value(self, state: State) -> Tensor:
        """Return E of each sample, (B,).

        Raises:
            ConfigurationError: if the energy returns anything else.
        """
        value = self.energy(self.x, state, self.theta)
        if not isinstance(value, Tensor) or value.shape != (self.batch,):
            given = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ConfigurationError(f"energy: returned {given}: must be a tensor of one number per sample, (B,)")
        return value
