"""Methods that settle separate states and subtract their energy gradients: what the literature ran.

    ∂L/∂θ ≈ [∂E/∂θ(state 2) − ∂E/∂θ(state 1)]/(β₂ − β₁),      ∂E/∂W_k = −s_k s_{k−1}ᵀ

None of them is a dyad: each phase has its own pooling switches and its own minimum, and the difference is formed from
stored states."""

from __future__ import annotations

import enum
from dataclasses import field

import torch
from torch import Tensor

from energy.component import ConfigurationError, require
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Nudge, Objective
from energy.relax.problem import Single
from energy.relax.relaxation import Relaxation
from energy.relax.solver import Solution, solve
from energy.relax.sweep import Sweep
from energy.settle.settler import Phase, Settled, SettledPhases, Settler, checked
from energy.state import State


class Kind(enum.Enum):
    """Which two nudges are contrasted."""

    POSITIVE = "free and +β"
    NEGATIVE = "−β and free"
    CENTRED = "−β and +β"
    RANDOM_SIGN = "free and ±β, the sign drawn for each batch from its inputs"


class Phases(Settler):
    """Settle freely, then once for each perturbed phase, always restarting from the free state."""

    gamma: float = 1.0
    nudged: Relaxation = field(default_factory=lambda: Sweep(max_steps=20, tolerance=1e-3))

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.gamma > 0, self, "gamma", "in (0, 1]: without feedback a nudge moves no layer but the output")

    @torch.no_grad()
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        target = checked(network, x, target, objective)
        ledger = ledger or Ledger()
        free, state, solution = self.free(network, x, ledger)
        assert solution is not None
        solutions: dict[str, Solution] = {"free": solution}
        phases = []
        for name, weight, problem in self.problems(free, state, target, objective):
            if problem is not free:
                problem.adopt(free)
                solutions[name] = solve(problem, state, self.nudged)
            phases.append(self.phase(solutions[name].state, weight, problem, target, objective))
        return SettledPhases(
            x=free.x,
            output=state[-1],
            ledger=ledger,
            solutions=solutions,
            points=free.points,
            phases=phases,
            factors=self.factors(network),
        )

    def problems(
        self, free: Single, state: State, target: Tensor, objective: Objective
    ) -> list[tuple[str, float, Single]]:
        """(name, weight of ∂E/∂θ, problem) of every phase."""
        raise NotImplementedError

    def phase(self, state: State, weight: float, problem: Single, target: Tensor, objective: Objective) -> Phase:
        error = objective.gradient(state[-1], target) if problem.network.readout(problem.depth) else None
        return Phase(state=state, weight=weight, points=problem.points, error=error)

    def factors(self, network: Network) -> list[float]:
        """E_γ weighs layer k by γ^(k−1), so the contrast of an edge into it does too, and the output's error arrives so
        weighted.
        """
        top = network.output.depth
        return [self.gamma ** (network.depth(edge.target) - top) for edge in network.edges]


class TwoPhase(Phases, name="two_phase"):
    """Equilibrium propagation with separately stored phases: positive, negative, centred or random sign.

    Source: Scellier & Bengio 2017; Laborieux et al. 2021; Scellier et al. 2023. At γ < 1 the displacement of a layer is
    attenuated by γ^(L−k) relative to the output, which the factors γ^(k−L) undo; the result is no dyad, and equals one
    only as β → 0."""

    beta: float = 0.1
    kind: Kind = Kind.CENTRED

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta > 0, self, "beta", "> 0; the sign is chosen by kind")

    def admit(self, objective: Objective) -> None:
        if self.kind is not Kind.POSITIVE:
            objective.admit(-self.beta, 0.0)

    def problems(
        self, free: Single, state: State, target: Tensor, objective: Objective
    ) -> list[tuple[str, float, Single]]:
        frozen = objective.gradient(state[-1], target) if objective.nudge is Nudge.FROZEN else None

        def at(beta: float, name: str) -> Single:
            return Single(
                free.network,
                free.x,
                self.gamma,
                free.ledger,
                name,
                beta=beta,
                objective=objective,
                target=target,
                frozen=frozen,
            )

        beta = self.beta
        if self.kind is Kind.CENTRED:
            return [("nudged", 0.5 / beta, at(beta, "nudged")), ("nudged_down", -0.5 / beta, at(-beta, "nudged_down"))]
        signed = self._sign(free.x) * beta
        return [("free", -1 / signed, free), ("nudged", 1 / signed, at(signed, "nudged"))]

    def _sign(self, x: Tensor) -> float:
        """+1 or −1; the random sign is a function of the batch's own bits, so that a resumed run draws the same."""
        if self.kind is Kind.RANDOM_SIGN:
            bits = int(x.float().contiguous().view(torch.int32).sum(dtype=torch.int64))  # exact, in whatever order
            return 1.0 if (bits * 0x9E3779B97F4A7C15) >> 32 & 1 else -1.0
        return -1.0 if self.kind is Kind.NEGATIVE else 1.0


class Clamping(Phases):
    """Phases that hold the output at a value."""

    def hold(self, free: Single, value: Tensor, name: str) -> Single:
        if free.network.readout(free.depth):
            raise ConfigurationError(f"{self.label}: an output outside the dynamics (feedback=False) cannot be clamped")
        return Single(free.network, free.x, self.gamma, free.ledger, name, clamp=value.to(free.x.dtype))


class TwoPhaseContrastiveHebbian(Clamping, name="two_phase_contrastive_hebbian"):
    """Free and clamped phase at any γ, contrasts weighted by γ^(k−L) (Movellan 1991 at γ = 1; Xie & Seung 2003): close
    to back-propagation for small γ. The factors are what makes it no dyad at γ < 1.
    """

    def problems(
        self, free: Single, state: State, target: Tensor, objective: Objective
    ) -> list[tuple[str, float, Single]]:
        return [("free", -1.0, free), ("clamped", 1.0, self.hold(free, target, "clamped"))]


class CoupledLearning(Clamping, name="coupled_learning"):
    """The output held a fraction β of the way from its free value towards the target: o_free − β∇C (Stern et al. 2021).

    `kind` chooses the contrast as for two-phase equilibrium propagation.
    """

    beta: float = 0.1
    kind: Kind = Kind.CENTRED

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta > 0, self, "beta", "> 0; the sign is chosen by kind")
        require(self.kind is not Kind.RANDOM_SIGN, self, "kind", "positive, negative or centred")

    def problems(
        self, free: Single, state: State, target: Tensor, objective: Objective
    ) -> list[tuple[str, float, Single]]:
        step, beta = objective.gradient(state[-1], target) * self.beta, self.beta
        up = self.hold(free, state[-1] - step, "nudged")
        down = self.hold(free, state[-1] + step, "nudged_down")
        if self.kind is Kind.CENTRED:
            return [("nudged", 0.5 / beta, up), ("nudged_down", -0.5 / beta, down)]
        if self.kind is Kind.POSITIVE:
            return [("free", -1 / beta, free), ("nudged", 1 / beta, up)]
        return [("free", 1 / beta, free), ("nudged_down", -1 / beta, down)]
