"""A network defined by an energy alone: the first grade of extension, without couplings and potentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from energy.component import ConfigurationError
from energy.couplings import Coupling
from energy.couplings.linearization import gradients_of
from energy.network import Edge, Layer, Network
from energy.potentials import Identity
from energy.relax.custom import Energy, EnergyProblem
from energy.relax.single_phase import PhaseNudge
from energy.state import State


class EnergyNetwork(Network):
    """Free states s_1 … s_L of given shapes, the last one being the output, and any E(x, s, θ) of them.

    `settler=energy_two_phase` settles it, and `rule=contrast` trains it. Its state starts at zero.

    Args:
        input_shape: of x, without the batch axis.
        layers: the shape of each state, or its number of units, from the bottom up.
        theta: the initial values of the parameters by name.
        energy: energy(x, state, θ) → (B,), differentiable in the states and in θ.

    Raises:
        ConfigurationError: for an energy that does not return one number per sample.

    Example:
        >>> theta = {"W": torch.ones(2, 3)}
        >>> network = EnergyNetwork((3,), [2], theta, lambda x, s, t: (s[0] - x @ t["W"].T).square().sum(1) / 2)
        >>> float(network.energy_of(torch.ones(1, 3), State([torch.zeros(1, 2)])))
        9.0
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        layers: Sequence[int | Sequence[int]],
        theta: Mapping[str, Tensor],
        energy: Energy,
    ) -> None:
        super().__init__(input_shape)
        shapes = [(one,) if isinstance(one, int) else tuple(one) for one in layers]
        term, size = Parameters(theta), sum(tensor.numel() for tensor in theta.values())
        self._energy = energy
        for k, shape in enumerate(shapes, start=1):
            output = k == len(shapes)
            edges = [Edge(0, 0, k, term, False, 0, 1, size)] if output else []
            self._join(Layer(shape, Identity(), "output" if output else f"layer{k}", k), edges)
        forward, self.response_multiply_adds, self.gradient_multiply_adds = self._costs()
        self.edges[0] = Edge(0, 0, len(shapes), term, False, forward, 1, size)
        self._into[-1] = self._out_of[0] = [self.edges[0]]

    @property
    def theta(self) -> dict[str, Tensor]:
        """The parameters θ by name."""
        return dict(self.edges[0].coupling.named_parameters())

    def energy_of(self, x: Tensor, state: State) -> Tensor:
        """Return E of each sample, (B,)."""
        return self.problem(x).value(state)

    def problem(
        self, x: Tensor, *, nudge: PhaseNudge | None = None, count: Callable[[int], None] = lambda samples: None
    ) -> EnergyProblem:
        """Return the problem of a batch, for a relaxation.

        Args:
            x: (B, *input shape).
            nudge: a term of the energy.
            count: called once per response, with the number of samples.
        """
        theta = {name: parameter.to(x.dtype) for name, parameter in self.theta.items()}
        return EnergyProblem(self._energy, x, theta, [layer.name for layer in self.layers], nudge=nudge, count=count)

    def zero_state(self, x: Tensor) -> State:
        """Return all states at zero, of the dtype of `x`."""
        return State(x.new_zeros(len(x), *layer.shape) for layer in self.layers)

    def __repr__(self) -> str:
        states = ", ".join(f"{layer.name} {'×'.join(map(str, layer.shape))}" for layer in self.layers)
        term = self.edges[0]
        theta = f"θ: {term.coupling.extra_repr()}, {term.size:,} in all"
        return f"EnergyNetwork {'×'.join(map(str, self.input_shape))}\nstates: {states}\n{theta}"

    def _check_modules(self, x: Tensor) -> None:
        pass  # its parameters are no map that x goes through

    def try_out(self, x: Tensor) -> None:
        self.validate_batch(x)
        self.energy_of(x, self.zero_state(x))

    def activity(self, x: Tensor) -> NoReturn:
        raise ConfigurationError("model: an energy has no bottom-up pass: must be settled by settler=energy_two_phase")

    def _costs(self) -> tuple[int, int, int]:
        """Multiply-adds per sample: of E, of ∂E/∂s, and of ∂E/∂θ; counted by running them."""
        like = next(iter(self.parameters()), torch.zeros(()))
        x = like.new_zeros((1, *self.input_shape)).detach()
        state, problem = self.zero_state(x), self.problem(x)
        counts = []
        for run in (lambda: problem.value(state), lambda: problem.slope(state), lambda: self.slope_theta(x, state)):
            with FlopCounterMode(display=False) as counter:
                run()
            counts.append(counter.get_total_flops() // 2)
        return counts[0], counts[1], counts[2]

    def slope_theta(self, x: Tensor, state: State) -> list[Tensor]:
        """Return ∂E/∂θ summed over the batch, one tensor per parameter; zero for a frozen one."""
        with torch.enable_grad():
            return list(gradients_of(self.problem(x).value(state).sum(), tuple(self.parameters())))


class Parameters(Coupling):
    """The parameters of an energy, held as a coupling that has no forward map."""

    def __init__(self, theta: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in theta.items():
            self.register_parameter(name, nn.Parameter(tensor.detach().clone()))

    def forward(self, pre: Tensor) -> NoReturn:
        raise ConfigurationError("model: an energy is no coupling between two layers: take settler=energy_two_phase")

    def extra_repr(self) -> str:
        return ", ".join(f"{name} {'×'.join(map(str, p.shape))}" for name, p in self.named_parameters())
