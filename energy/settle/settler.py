"""The inference phase of a learning method: its interface."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar, Final

import torch
from torch import Tensor

from energy import reading
from energy.component import Component, require
from energy.errors import NonFiniteError
from energy.graph import Gain
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.potentials import Identity, Potential
from energy.ranks import require_heard
from energy.relax.contraction import contraction
from energy.relax.early import settle_early
from energy.relax.layered import Layered
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Solution
from energy.relax.solver import solve
from energy.relax.sweep import Sweep
from energy.relax.visits import visits
from energy.settle.begun import resumed
from energy.settle.settled import Prediction, Settled
from energy.state import State

Needs = Mapping[str, str | float | list[int]]  # overrides of a run, such as {"model.hidden": "tanh"}
FEEDBACK: Final[Needs] = {  # for methods whose activity comes back down
    "model.hidden": "hard_sigmoid",  # bounded units have an equilibrium whatever the weights are
    "objective": "squared_error",  # its outputs stay near the targets, while logits grow
    "optimizer": "sgd",
    "optimizer.lr": 0.02,  # positive activities add up, and steeply where layers are wide
    "settler.keep_contracting": 0.5,
}


class Settler(Component):
    """The inference phase of a learning method.

    Attributes:
        gamma: γ, the feedback gain; it belongs to the trained weights and is used at evaluation too.
        relax: the relaxation of the free phase.
    """

    group: ClassVar[str] = "settler"
    rates: ClassVar[bool] = True  # activity is the potentials' response, at γ = 0 that of the bottom-up pass
    reaches: ClassVar[bool] = True  # an error reaches the layers below the output
    gamma: float = 0.0
    relax: Relaxation = field(default_factory=lambda: Sweep(max_steps=60, tolerance=1e-3))

    def __post_init__(self) -> None:
        require(0 <= self.gamma <= 1, self, "gamma", "in [0, 1]")

    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        """Find the states that a rule needs for the batch (x, target).

        Args:
            network: its layers are settled.
            x: (B, *network.input_shape), floating point; its dtype is the precision of the states.
            target: (B, *output shape), such as one-hot classes.
            objective: nudges the output.
            ledger: counts the cost; a new one unless given.

        Raises:
            ValueError: for wrong shapes.
            NonFiniteError: for an output that is not finite at γ = 0 (on the CPU, whose check is free).
            ConfigurationError: for an objective that the output layer or β does not admit.
        """
        raise NotImplementedError(f"{type(self).__name__} must define settle(network, x, target, objective, ledger)")

    def settle_once(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        """Settle for a rule that reads the result once, as `Rule.learn` does; `settle` unless defined.

        A layer may be freed once it is read, and the last half-sweep may run while it is read.

        Args:
            network, x, target, objective, ledger: as for `settle`.
        """
        return self.settle(network, x, target, objective, ledger).read_once()

    def needs(self) -> Needs:
        """Return values of a run that suit this method better than the defaults do, by name.

        The command line takes them unless the user gives others. A field of a part that is chosen here
        (`optimizer.lr`) goes with that choice.
        """
        return {}

    def attach_feedback(self, network: Network, *, seed: int = 0) -> None:
        """Add the feedback weights of this method to `network`, once weights are initialized; `Run.network` does so."""

    @torch.no_grad()
    def predict(self, network: Network, x: Tensor, ledger: Ledger | None = None) -> Prediction:
        """Return the output without a nudge: one bottom-up pass, then the free equilibrium if γ > 0."""
        network.validate_batch(x)
        _, state, solution = self.free(network, x, ledger or Ledger())
        return Prediction(state[-1], solution)

    def gain(self, network: Network) -> float:
        """Return the feedback gain at which `network` is settled: γ, or less if its contraction scales it down; reads
        the device then.
        """
        return float(self.gain_on_device(network))

    def gain_on_device(self, network: Network) -> Gain:
        """Return `gain`, as a tensor () on the device of its contraction if a read would wait for it."""
        held = contraction(network)
        if held is None or not self.gamma:
            return self.gamma
        return self.gamma * (float(held.scale) if reading.is_free(held.scale.device) else held.scale)

    def value(self, objective: Objective, found: Settled | Prediction, target: Tensor) -> Tensor:
        """Return the loss of each sample, (B,): the objective, unless the method has an error of its own."""
        return objective.value(found.output, target)

    @property
    def alignment(self) -> float:
        """The least cosine that the contrast of each layer has with the exact gradient as β → 0, zero ones left out.

        1 for a method whose contrast is that gradient, its length included; −1 to promise nothing of hidden layers.
        `energy.testing.check_settler` checks it.
        """
        return 1.0

    def snapshot(self, network: Network, x: Tensor) -> dict[str, Any] | None:
        """Return plain values that a figure of this method shows of its activity on `x`; None for no figure."""
        return None

    def validate_nudge(self, objective: Objective, output: Potential = Identity()) -> None:  # noqa: B008 (a constant)
        """Check that this settler can nudge an output layer of potential `output` with `objective`.

        Raises:
            ConfigurationError: if it cannot.
        """

    @torch.no_grad()
    def free(
        self, network: Network, x: Tensor, ledger: Ledger, *, warm: bool = False
    ) -> tuple[SinglePhase, State, Solution | None]:
        """Return the free problem, its state, and its solution: None at γ = 0, as the bottom-up pass is the
        equilibrium.

        Args:
            network, x, ledger: as for `settle`.
            warm: start from the last visits that the network remembers, and remember this one.
        """
        if (begun := resumed(network, x)) is not None:
            return begun
        problem = SinglePhase(network, x, self.gain_on_device(network), ledger, "free")
        held = visits(network) if warm else None
        if held is not None:
            held.recall(problem)
        state = problem.initial_state()
        if self.gamma == 0:
            require_finite(network, x, state)
            network.remember()
            return problem, state, None
        solution = solve_layers(problem, state, self.relax)
        if held is not None:
            held.remember(problem)
        network.remember()
        return problem, solution.state, solution


def solve_layers(problem: Layered, state: State, relax: Relaxation) -> Solution:
    """Solve, the first steps in bfloat16 if `relax` says so, and count the steps in the problem's ledger."""
    state, before = settle_early(problem, state, relax)
    solution = solve(problem, state, relax, output=problem.depth - 1)
    problem.ledger.sweeps[problem.phase] += solution.taken
    return solution if before is None else dataclasses.replace(solution, steps=solution.steps + before)


def require_finite(network: Network, x: Tensor, state: State) -> None:
    """Check that the activity is finite where reads are free; elsewhere `energy.health` does at its looks.

    Raises:
        NonFiniteError: as for `refuse_nonfinite`.
    """
    if reading.is_free(x.device):
        refuse_nonfinite(network, x, state)


def refuse_nonfinite(network: Network, x: Tensor, state: State) -> None:
    """Check that the activity is finite; reads the device.

    Args:
        network: the network.
        x: (B, *input shape).
        state: the activity of its last layers.

    Raises:
        NonFiniteError: naming the input, the parameter, or the layer that is not.
    """
    if bool(state[-1].sum().isfinite()):
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
    """Check the conditions that every settler puts on its arguments.

    Args:
        network: the network.
        x: (B, *input shape).
        target: (B, *output shape).
        objective: must admit the output layer.

    Returns:
        The target in the dtype of `x`.
    """
    require_heard(network)
    network.validate_batch(x, target)
    objective.validate_output(network.output.potential)
    return target.to(x.dtype)
