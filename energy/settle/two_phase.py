"""Methods that settle separate states and subtract their energy gradients, as the literature did.

    ∂L/∂θ ≈ [∂E/∂θ(state 2) − ∂E/∂θ(state 1)]/(β₂ − β₁),      ∂E/∂W_k = −s_k s_{k−1}ᵀ

None of them is a dyad: each phase has its own pooling switches and its own minimum, and the difference is formed from
stored states.
"""

from __future__ import annotations

import enum
from dataclasses import field
from typing import Final

import torch
from torch import Tensor

from energy import objectives
from energy.component import ConfigurationError, require
from energy.graph import Gain
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.potentials import Identity, Potential
from energy.relax.contraction import ContractBy, attach_contraction
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import PhaseNudge, SinglePhase
from energy.relax.solution import Solution
from energy.relax.sweep import Sweep
from energy.relax.visits import attach_visits
from energy.settle.settled import Phase, Settled, SettledPhases
from energy.settle.settler import Needs, Settler, solve_layers, validate_batch
from energy.state import State
from energy.stream import batch_fingerprint

STORED: Final[Needs] = {  # a difference of stored states needs more than bounded units
    "model.hidden": "hard_sigmoid",
    "model.sizes": [256],  # a nudge fades from layer to layer, the digits of a stored state do not
    "model.gain": 0.5,
    "objective": "squared_error",
    "settler.keep_contracting": 0.9,
}


class PhaseContrast(enum.Enum):
    """The two nudges that are contrasted."""

    POSITIVE = "free and +β"
    NEGATIVE = "−β and free"
    CENTERED = "−β and +β"
    RANDOM_SIGN = "free and ±β, the sign drawn for each batch from its inputs"


def batch_sign(x: Tensor) -> Tensor:
    """Return +1 or −1, () on the device, in the dtype of `x`: a function of the bits of a batch."""
    return ((batch_fingerprint(x) >> 32 & 1) * 2 - 1).to(x.dtype)


class Phases(Settler):
    """Settle freely, then once for each perturbed phase, always restarting from the free state.

    Attributes:
        keep_contracting: the bound on the loop gain while training; 0 for none.
        contract_by: the numbers that are scaled down to hold it, `gamma` or `weights`.
        warm_starts: the number of samples whose last visit the free phase starts from; 0 for none
            (`energy.relax.visits`).
        nudged: the relaxation of the perturbed phases.
    """

    gamma: float = 1.0
    keep_contracting: float = 0.0
    contract_by: ContractBy = ContractBy.WEIGHTS
    warm_starts: int = 0
    nudged: Relaxation = field(default_factory=lambda: Sweep(max_steps=20, tolerance=1e-3))

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.gamma > 0, self, "gamma", "in (0, 1]: without feedback a nudge moves no layer but the output")
        require(0 <= self.keep_contracting < float("inf"), self, "keep_contracting", "a loop gain of at least 0")
        require(self.warm_starts >= 0, self, "warm_starts", ">= 0")

    def needs(self) -> Needs:
        return STORED

    def attach_feedback(self, network: Network, *, seed: int = 0) -> None:
        if self.keep_contracting:
            attach_contraction(network)
        attach_visits(network, self.warm_starts)

    @torch.no_grad()
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        target = validate_batch(network, x, target, objective)
        self.validate_readouts(network)
        ledger = ledger or Ledger()
        if self.keep_contracting:
            attach_contraction(network).hold(network, x, self.gamma, self.keep_contracting, self.contract_by)
        with network.normalizing():
            return self._settled(network, x, target, objective, ledger)

    def _settled(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger
    ) -> SettledPhases:
        """Every phase, one after the other."""
        free, state, solution = self.free(network, x, ledger, warm=bool(self.warm_starts))
        assert solution is not None
        solutions: dict[str, Solution] = {"free": solution}
        phases, sign = [], self.sign(free.x)
        for name, weight, problem in self.problems(free, state, target, objective):
            if problem is not free:
                problem.messages = free.messages.copy()
                solutions[name] = solve_layers(problem, state, self.nudged)
            settled, linear = solutions[name].state, problem.messages.linear
            errors = self._errors(problem, settled, target, objective)
            phases.append(Phase(state=settled, weight=weight, linear=linear, errors=errors, sign=sign))
        factors = self.factors(network, free.gamma)
        return SettledPhases(
            x=free.x, output=state[-1], ledger=ledger, solutions=solutions, phases=phases, factors=factors
        )

    def problems(
        self, free: SinglePhase, state: State, target: Tensor, objective: Objective
    ) -> list[tuple[str, float, SinglePhase]]:
        """Return (name, weight of ∂E/∂θ, problem) of every phase.

        Args:
            free: the free problem.
            state: its equilibrium.
            target: (B, *output shape).
            objective: nudges the output.
        """
        raise NotImplementedError

    def _errors(self, problem: SinglePhase, state: State, target: Tensor, objective: Objective) -> dict[int, Tensor]:
        """∂C/∂a of the layers outside the dynamics, none if the output is inside them."""
        outside = problem.network.readout(problem.depth)
        return problem.errors(state, objective.gradient(state[-1], target)) if outside else {}

    def sign(self, x: Tensor) -> Tensor | None:
        """Return +1 or −1, () on the device, which multiplies the nudge and its weight; None for +1."""
        return None

    def validate_readouts(self, network: Network) -> None:
        """Check that no layer inside the dynamics is above one outside them, whose error no contrast would give.

        Raises:
            ConfigurationError: if there is one.
        """
        for edge in network.edges:
            if edge.feedback and edge.source and network.readout(edge.source):
                below, above = (network.layers[k - 1].name for k in (edge.source, edge.target))
                raise ConfigurationError(
                    f"{self.name}: {below} is outside the dynamics (feedback=False) and {above} above it inside them; "
                    "leave out feedback=False, or take equilibrium_propagation"
                )

    def factors(self, network: Network, gamma: Gain) -> list[Gain]:
        """Return the factor of each edge's contrast, γ^(d_k − d_L) for an edge into layer k.

        E_γ weighs layer k by γ^(d_k − 1), hence also the contrast of an edge into it, and the output's error enters
        with the weight of the output.
        """
        top = network.output.depth
        return [gamma ** (network.depth(edge.target) - top) for edge in network.edges]


class TwoPhase(Phases, name="two_phase"):
    """Equilibrium propagation with separately stored phases: positive, negative, centered or random sign.

    At γ < 1 the displacement of a layer is attenuated by γ^(L−k) relative to the output, which the factors γ^(k−L)
    undo; the result is no dyad, and equals one only as β → 0.

    Attributes:
        beta: β, the strength of a nudge.
        kind: the two nudges that are contrasted.

    Reference:
        Scellier & Bengio 2017; Laborieux et al. 2021; Scellier et al. 2023.
    """

    beta: float = 0.1
    kind: PhaseContrast = PhaseContrast.CENTERED

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta > 0, self, "beta", "> 0; the sign is chosen by kind")

    def validate_nudge(self, objective: Objective, output: Potential = Identity()) -> None:  # noqa: B008 (a constant)
        if self.kind is not PhaseContrast.POSITIVE:
            objective.validate_nudge(-self.beta, 0.0, output)

    def problems(
        self, free: SinglePhase, state: State, target: Tensor, objective: Objective
    ) -> list[tuple[str, float, SinglePhase]]:
        frozen = objective.gradient(state[-1], target) if objective.nudge is objectives.Nudge.FROZEN else None
        sign = self.sign(free.x)

        def at(beta: float, name: str) -> SinglePhase:
            nudge = PhaseNudge(beta, objective, target, frozen, sign)
            return SinglePhase(free.network, free.x, free.gamma, free.ledger, name, nudge=nudge)

        beta = -self.beta if self.kind is PhaseContrast.NEGATIVE else self.beta
        nudged = at(beta, "nudged")
        if self.kind is PhaseContrast.CENTERED:
            return [("nudged", 0.5 / beta, nudged), ("nudged_down", -0.5 / beta, at(-beta, "nudged_down"))]
        return [("free", -1 / beta, free), ("nudged", 1 / beta, nudged)]

    def sign(self, x: Tensor) -> Tensor | None:
        """Return the sign of `random_sign`, a function of the batch's own bits, so that a resumed run draws the same;
        the device is not read.
        """
        if self.kind is not PhaseContrast.RANDOM_SIGN:
            return None
        return batch_sign(x)


class Clamping(Phases):
    """Phases that clamp the output."""

    @property
    def alignment(self) -> float:
        return 0.5

    def clamp(self, free: SinglePhase, value: Tensor, name: str) -> SinglePhase:
        if free.network.readout(free.depth):
            raise ConfigurationError(f"{self.name}: an output outside the dynamics (feedback=False) cannot be clamped")
        return SinglePhase(free.network, free.x, free.gamma, free.ledger, name, clamp=value.to(free.x.dtype))


class TwoPhaseContrastiveHebbian(Clamping, name="two_phase_contrastive_hebbian"):
    """Free and clamped phase at any γ, contrasts weighted by γ^(k−L): close to back-propagation for small γ.

    The factors make it no dyad at γ < 1.

    Reference:
        Movellan 1991 (γ = 1); Xie & Seung 2003.
    """

    def problems(
        self, free: SinglePhase, state: State, target: Tensor, objective: Objective
    ) -> list[tuple[str, float, SinglePhase]]:
        return [("free", -1.0, free), ("clamped", 1.0, self.clamp(free, target, "clamped"))]


class CoupledLearning(Clamping, name="coupled_learning"):
    """The output held a fraction β of the way from its free value towards the target: o_free − β∇C.

    Attributes:
        beta: β.
        kind: the two phases that are contrasted, as for `two_phase`.

    Reference:
        Stern et al. 2021.
    """

    beta: float = 0.1
    kind: PhaseContrast = PhaseContrast.CENTERED

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta > 0, self, "beta", "> 0; the sign is chosen by kind")
        require(self.kind is not PhaseContrast.RANDOM_SIGN, self, "kind", "positive, negative or centered")

    def problems(
        self, free: SinglePhase, state: State, target: Tensor, objective: Objective
    ) -> list[tuple[str, float, SinglePhase]]:
        step, beta = objective.gradient(state[-1], target) * self.beta, self.beta
        up = self.clamp(free, state[-1] - step, "nudged")
        down = self.clamp(free, state[-1] + step, "nudged_down")
        if self.kind is PhaseContrast.CENTERED:
            return [("nudged", 0.5 / beta, up), ("nudged_down", -0.5 / beta, down)]
        if self.kind is PhaseContrast.POSITIVE:
            return [("free", -1 / beta, free), ("nudged", 1 / beta, up)]
        return [("free", 1 / beta, free), ("nudged_down", -1 / beta, down)]
