"""The inference phase of a learning method: its interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar, Final

import torch
from torch import Tensor

from energy.component import Component, require
from energy.errors import NonFiniteError
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.potentials import Identity, Potential
from energy.relax.contraction import contraction
from energy.relax.layered import Layered
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.solver import Solution, solve
from energy.relax.sweep import Sweep
from energy.settle.settled import Prediction, Settled
from energy.state import State

Needs = Mapping[str, str | float | list[int]]  # overrides of a run, such as {"model.hidden": "tanh"}
FEEDBACK: Final[Needs] = {  # what methods need whose activity comes back down
    "model.hidden": "hard_sigmoid",  # bounded units have an equilibrium whatever the weights are
    "objective": "squared_error",  # whose outputs stay near the targets, where logits grow
    "optimizer": "sgd",
    "optimizer.lr": 0.02,  # positive activities add up, and steeply where layers are wide
    "settler.keep_contracting": 0.5,
}


class Settler(Component):
    """The inference phase of a learning method. `gamma`, the feedback gain, belongs to the trained weights and is used
    at evaluation.
    """

    group: ClassVar[str] = "settler"
    rates: ClassVar[bool] = True  # whether activity is the potentials' response; at γ = 0 then the bottom-up pass
    reaches: ClassVar[bool] = True  # whether an error reaches the layers below the output
    gamma: float = 0.0
    relax: Relaxation = field(default_factory=lambda: Sweep(max_steps=60, tolerance=1e-3))

    def __post_init__(self) -> None:
        require(0 <= self.gamma <= 1, self, "gamma", "in [0, 1]")

    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        """Find the states that a rule needs for the batch (x, target).

        Args:
            x: (B, *network.input_shape), floating point; its dtype is the precision of the states.
            target: (B, *output shape), such as one-hot classes.
            ledger: where to count; a new one unless given.

        Raises:
            ValueError: for wrong shapes.
            NonFiniteError: (on the CPU, where looking is free) for an output that is not finite at γ = 0.
            ConfigurationError: for an objective that the output layer or β does not admit.
        """
        raise NotImplementedError(f"{type(self).__name__} must define settle(network, x, target, objective, ledger)")

    def settle_once(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        """`settle`, for a rule that reads the result once: what is read may be freed, and the last half-sweep may be
        left to be taken as it is read. `Rule.learn` calls it; here it is `settle`.
        """
        return self.settle(network, x, target, objective, ledger)

    def needs(self) -> Needs:
        """What a run with this method does better with than with the defaults: what the command line takes where the
        user says nothing. A field of a part that is chosen here (`optimizer.lr`) goes with that choice."""
        return {}

    def attach_feedback(self, network: Network, *, seed: int = 0) -> None:
        """Lay what this method needs in `network` beside its weights, once they are initialised; `Run.network` does."""

    @torch.no_grad()
    def predict(self, network: Network, x: Tensor, ledger: Ledger | None = None) -> Prediction:
        """The output without a nudge: one bottom-up pass, then the free equilibrium where γ > 0."""
        network.validate_batch(x)
        _, state, solution = self.free(network, x, ledger or Ledger())
        return Prediction(state[-1], solution)

    def gain(self, network: Network) -> float:
        """The feedback gain at which `network` is settled: γ, or less where its contraction is held."""
        held = contraction(network)
        return self.gamma if held is None or not self.gamma else self.gamma * float(held.scale)

    def value(self, objective: Objective, found: Settled | Prediction, target: Tensor) -> Tensor:
        """What is descended, of each sample: (B,). The objective, unless the method has an error of its own."""
        return objective.value(found.output, target)

    @property
    def alignment(self) -> float:
        """The least cosine that the contrast of each layer has with the exact gradient as β → 0, zero ones left out.

        1 for a method whose contrast is that gradient, its length included; −1 to promise nothing of hidden layers.
        `energy.testing.check_settler` holds the method to it."""
        return 1.0

    def snapshot(self, network: Network, x: Tensor) -> dict[str, Any] | None:
        """Plain values that a figure of this method shows of its activity on `x`; None for nothing."""
        return None

    def validate_nudge(self, objective: Objective, output: Potential = Identity()) -> None:  # noqa: B008 (a constant)
        """Raise ConfigurationError if the nudges of this settler are not possible with `objective` there."""

    @torch.no_grad()
    def free(self, network: Network, x: Tensor, ledger: Ledger) -> tuple[SinglePhase, State, Solution | None]:
        """The free problem, its state, and how its solve ended (None at γ = 0, where the bottom-up pass is the
        equilibrium).
        """
        problem = SinglePhase(network, x, self.gain(network), ledger, "free")
        state = problem.initial_state()
        if self.gamma == 0:
            require_finite(network, x, state)
            network.remember()
            return problem, state, None
        solution = solve_layers(problem, state, self.relax)
        network.remember()
        return problem, solution.state, solution


def solve_layers(problem: Layered, state: State, relax: Relaxation) -> Solution:
    """`solve`, with its steps entered into the problem's ledger."""
    solution = solve(problem, state, relax, output=problem.depth - 1)
    problem.ledger.sweeps[problem.phase] += solution.taken
    return solution


def require_finite(network: Network, x: Tensor, state: State) -> None:
    """Name what is not finite: the input, a parameter, or a layer. Looks only on the CPU; elsewhere it would wait for
    the device.
    """
    if x.device.type != "cpu" or bool(state[-1].sum().isfinite()):
        return
    if not bool(torch.isfinite(x).all()):
        raise NonFiniteError("x: not finite (NaN or infinity among the inputs)")
    for name, parameter in network.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise NonFiniteError(f"{name}: not finite (NaN or infinity among the weights)")
    for layer, tensor in zip(network.layers[-len(state) :], state, strict=True):
        if not bool(torch.isfinite(tensor).all()):
            raise NonFiniteError(f"{layer.name}: its activity is not finite")


def validate_batch(network: Network, x: Tensor, target: Tensor, objective: Objective) -> Tensor:
    """The target in the precision of the states, once the conditions hold that every settler puts on its arguments."""
    network.validate_batch(x, target)
    objective.validate_output(network.output.potential)
    return target.to(x.dtype)
