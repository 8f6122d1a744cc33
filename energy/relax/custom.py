"""Any differentiable energy as a problem: the gradient of E by autograd is all that is needed of it."""

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
    """response(state) = state − ∂E/∂state, E being an energy of one's own, so that `flow` follows its gradient and
    `synchronous` with damping d takes gradient steps of length 1 − d. With a nudge, E + β·C.

    Args:
        energy: energy(x, state, θ) → (B,), the sum over nothing but a sample's own tensors.
        x: the input, (B, …).
        theta: the parameters θ by name.
        names: of the tensors of a state, for messages.
        nudge: β·C on the last tensor of a state, the output.
        count: called once per response.

    Example:
        >>> problem = EnergyProblem(lambda x, s, theta: (s[0] - x).square().sum(1) / 2, torch.ones(1, 2), {})
        >>> problem.response(State([torch.zeros(1, 2)]))[0]
        tensor([[1., 1.]])
    """

    def __init__(
        self,
        energy: Energy,
        x: Tensor,
        theta: Mapping[str, Tensor],
        names: Sequence[str] = (),
        *,
        nudge: PhaseNudge | None = None,
        count: Callable[[], None] = lambda: None,
    ) -> None:
        self.energy, self.x, self.theta = energy, plain(x), theta
        self.names, self.nudge, self.count = names, nudge, count

    @property
    def batch(self) -> int:
        return len(self.x)

    @property
    def device(self) -> torch.device:
        return self.x.device

    def name(self, index: int) -> str:
        return self.names[index] if index < len(self.names) else f"state {index}"

    def response(self, state: State) -> State:
        self.count()
        slope = self.slope(state)
        if self.nudge is not None:
            *hidden, output = slope
            slope = State([*hidden, output + self.nudge.beta * self.nudge.error(state[-1])])
        return state - slope

    def slope(self, state: State) -> State:
        """∂E/∂state of every sample; zero where E does not depend on a tensor."""
        with taped():
            leaves = [leaf(tensor) for tensor in state]
            total = self.value(State(leaves)).sum()
            return State(torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True))

    def value(self, state: State) -> Tensor:
        """E of each sample, (B,).

        Raises:
            ConfigurationError: for an energy that gives anything else.
        """
        value = self.energy(self.x, state, self.theta)
        if not isinstance(value, Tensor) or value.shape != (self.batch,):
            given = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ConfigurationError(f"energy: returned {given}: must be a tensor of one number per sample, (B,)")
        return value
