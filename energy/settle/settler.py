"""Which equilibria a method needs: the interface of the inference phase, and what it hands to a rule."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NoReturn, Protocol, Self

import torch
from torch import Tensor

from energy.component import Component, require
from energy.errors import NonFiniteError
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.potentials import Identity, Potential
from energy.relax.contraction import contraction
from energy.relax.problem import Single
from energy.relax.relaxation import Relaxation
from energy.relax.solver import Solution, solve
from energy.relax.sweep import Sweep
from energy.state import State


@dataclass(kw_only=True)
class Settled:
    """What one settling of a batch left behind, until `Rule.apply` uses it up. `output` is the free output (the forward
    pass at γ = 0), (B, …); `solutions` says for each phase how it ended; `points` are the linearisation points of the
    couplings, edge by edge.
    """

    x: Tensor
    output: Tensor
    ledger: Ledger
    solutions: dict[str, Solution] = field(default_factory=dict)
    points: list[Any] = field(default_factory=list)
    keep: bool = False  # whether a rule must leave what it reads

    def kept(self) -> Self:
        """The same for a rule that must leave it as it is."""
        twin = copy.copy(self)
        twin.keep = True
        return twin


class UsedUp(State):
    """In the place of states that a rule has used up: whoever asks for one is told so."""

    def __init__(self) -> None:
        super().__init__(())

    def _tell(self, *_: object) -> NoReturn:
        raise ValueError(
            "these settled states were used up by Rule.apply or Rule.learn: settle again, or call update or gradients "
            "of the rule, which leave them"
        )

    __iter__ = __getitem__ = _tell  # type: ignore[assignment]


class Harvest(Protocol):
    """Who takes the layers of a dyad as they come to rest, from the output down; `gamma` is set before the first."""

    gamma: float

    def take(self, layer: int, mean: Tensor, delta: Tensor | None, points: list[Any], spreads: dict[int, Any]) -> None:
        """(m, δ) of a layer that will not change any more; of the edges their `points`, and δ of the target where it
        was `spread` already. Both may be emptied.
        """


@dataclass(kw_only=True)
class SettledDyad(Settled):
    """Mean and normalised difference of every layer. `delta[k]` is None where nothing is to be learnt. The nudged
    solution holds no state: it would be these.
    """

    mean: State
    delta: list[Tensor | None]
    gamma: float

    def give(self, to: Harvest) -> None:
        """Hand over every layer that is still here, from the output down; none stays."""
        means, deltas, points = [*self.mean], [*self.delta], [*self.points]
        self.mean, self.points = UsedUp(), []
        self.delta = self.mean  # type: ignore[assignment]
        while means:
            to.take(len(means), means.pop(), deltas.pop(), points, {})


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stored state of a multi-phase method, and the weight with which its ∂E/∂θ enters the gradient."""

    state: State
    weight: float
    points: list[Any]
    errors: dict[int, Tensor] = field(default_factory=dict)  # ∂C/∂a of the layers outside the dynamics
    sign: Tensor | None = None  # +1 or −1, which multiplies the weight


@dataclass(kw_only=True)
class SettledPhases(Settled):
    """Separately settled states. `factors[e]` multiplies the contrast of edge e (Xie–Seung's γ^(k−L); otherwise 1)."""

    phases: list[Phase]
    factors: list[float]


@dataclass(frozen=True)
class Prediction:
    """The free output, and how its solve ended; None where there was nothing to solve."""

    output: Tensor
    solution: Solution | None = None

    @property
    def alone(self) -> Tensor:
        """The output that each sample has where its own solve ends, whichever samples settle beside it."""
        return self.output if self.solution is None or self.solution.output is None else self.solution.output


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

    def deliver(
        self,
        network: Network,
        x: Tensor,
        target: Tensor,
        objective: Objective,
        ledger: Ledger | None = None,
        *,
        to: Harvest,
    ) -> Settled:
        """`settle`, handing layers over as they come to rest where that is possible. What was handed over is not in
        what is returned; here nothing is.
        """
        return self.settle(network, x, target, objective, ledger)

    def needs(self) -> Needs:
        """What a run with this method does better with than with the defaults: what the command line takes where the
        user says nothing. A field of a part that is chosen here (`optimizer.lr`) goes with that choice."""
        return {}

    def wire(self, network: Network, *, seed: int = 0) -> None:
        """Lay what this method needs in `network` beside its weights, once they are initialised; `Run.network` does."""

    @torch.no_grad()
    def predict(self, network: Network, x: Tensor, ledger: Ledger | None = None) -> Prediction:
        """The output without a nudge: one bottom-up pass, then the free equilibrium where γ > 0."""
        network.check(x)
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

    def reference(self, dtype: torch.dtype = torch.float32) -> Settler:
        """The settler of the exact gradient at the same gamma, its relaxation the same one with a budget to run on."""
        from energy.settle.dyadic import Implicit  # which stands on this module

        further = onward(self.relax, dtype)
        return Implicit(gamma=self.gamma, relax=further, nudged=further)

    def observe(self, network: Network, x: Tensor) -> dict[str, Any] | None:
        """What a figure of this method shows of its activity on `x`, as plain values; None for nothing."""
        return None

    def admit(self, objective: Objective, output: Potential = Identity()) -> None:  # noqa: B008 (a constant)
        """Raise ConfigurationError if the nudges of this settler are not possible with `objective` there."""

    @torch.no_grad()
    def free(self, network: Network, x: Tensor, ledger: Ledger) -> tuple[Single, State, Solution | None]:
        """The free problem, its state, and how its solve ended (None at γ = 0, where the bottom-up pass is the
        equilibrium).
        """
        problem = Single(network, x, self.gain(network), ledger, "free")
        state = problem.start()
        if self.gamma == 0:
            require_finite(network, x, state)
            network.remember()
            return problem, state, None
        solution = solve(problem, state, self.relax)
        network.remember()
        return problem, solution.state, solution


def onward(relax: Relaxation, dtype: torch.dtype) -> Relaxation:
    """The same relaxation with a budget to run on until states of `dtype` stand still."""
    tight = 1e-6 if torch.finfo(dtype).eps < 1e-6 else 1e-3
    budget, tolerance = max(300, 5 * relax.max_steps), min(tight, relax.tolerance or tight)
    return dataclasses.replace(relax, max_steps=budget, tolerance=tolerance)


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


def checked(network: Network, x: Tensor, target: Tensor, objective: Objective) -> Tensor:
    """The target in the precision of the states, once the conditions hold that every settler puts on its arguments."""
    network.check(x, target)
    objective.check(network.output.potential)
    return target.to(x.dtype)
