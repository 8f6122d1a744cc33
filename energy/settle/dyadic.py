"""Methods that settle one dyad: dual propagation (γ = 0), equilibrium propagation (γ = 1), all between, and their
limits.
"""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import ClassVar, Final

import torch
from torch import Tensor

from energy.component import ConfigurationError, require
from energy.feedback import Feedback, Tied
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Nudge, Objective
from energy.potentials import Identity, Potential
from energy.relax.contraction import hold
from energy.relax.dyad import ClampedDyad, Dyad, Form, HeldDyad
from energy.relax.problem import Single
from energy.relax.relaxation import Relaxation
from energy.relax.solver import Solution, solve
from energy.relax.sweep import Sweep
from energy.settle.settler import FEEDBACK, Harvest, Needs, Settled, SettledDyad, Settler, UsedUp, checked
from energy.state import State

MOMENTUM: Final = 0.9  # of both phases of equilibrium propagation


class Dyadic(Settler):
    """Settle the mean (`relax`, where γ > 0), then mean and difference together (`nudged`).

    alpha weighs s⁺ in the mean; form says how the nudge is shared; beta is the total nudge of a sample; hold keeps the
    mean where it has settled freely while the difference is settled. See `energy.relax.dyad`. feedback says which wires
    carry the difference down (`energy.feedback`); the mean hears the weights in any case."""

    replicas: ClassVar[type[Dyad]] = Dyad
    alpha: float = 0.5
    beta: float = 0.1
    form: Form = Form.ADJOINT
    hold: bool = False
    keep_contracting: float = 0.0
    nudged: Relaxation = field(default_factory=lambda: Sweep(max_steps=20, tolerance=1e-2))
    feedback: Feedback = field(default_factory=Tied)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.alpha <= 1, self, "alpha", "in [0, 1]")
        require(abs(self.beta) < float("inf"), self, "beta", "finite")
        require(0 <= self.keep_contracting < float("inf"), self, "keep_contracting", "a loop gain of at least 0")

    def needs(self) -> Needs:
        return FEEDBACK if self.gamma else {}

    @property
    def alignment(self) -> float:
        return 1.0 if isinstance(self.feedback, Tied) else -1.0

    def wire(self, network: Network, *, seed: int = 0) -> None:
        self.feedback.wire(network, seed=seed)
        if self.keep_contracting:
            hold(network)

    def admit(self, objective: Objective, output: Potential = Identity()) -> None:  # noqa: B008 (a constant)
        plus = self.form.plus(self.alpha)
        objective.admit(plus * self.beta, (1 - plus) * self.beta, output)

    @torch.no_grad()
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        return self._settle(network, x, target, objective, ledger or Ledger(), None)

    @torch.no_grad()
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
        return self._settle(network, x, target, objective, ledger or Ledger(), to)

    def _settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger, to: Harvest | None
    ) -> Settled:
        target = checked(network, x, target, objective)
        if self.keep_contracting and self.gamma:
            hold(network).scale_feedback(network, x, self.gamma, self.keep_contracting)
        with network.normalizing():
            return self._settled(network, x, target, objective, ledger, to)

    def _settled(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger, to: Harvest | None
    ) -> Settled:
        """Both phases, what comes to rest being handed `to` a harvest if there is one."""
        dyad, state, output, solutions = self.nudge(network, x, target, objective, ledger)
        handed: list[int] = []
        if to is not None:
            to.gamma = dyad.gamma

            def hand(state: State, layer: int) -> None:
                to.take(layer, dyad.mean(state, layer), dyad.delta(state, layer), dyad.points, dyad.spreads)
                dyad.empty(state, network.done_at(layer))
                handed.append(layer)

            dyad.rest = hand
        ended = solve(dyad, state, self.nudged, keep=False)
        dyad.rest = None  # it refers to the dyad, and a ring is not freed at once
        used, states = UsedUp(), ended.state.tensors
        return SettledDyad(
            x=dyad.x,
            output=output,
            ledger=ledger,
            solutions={**solutions, "nudged": dataclasses.replace(ended, state=State(()))},
            points=dyad.points,
            mean=used if handed else State(states[: dyad.depth]),
            delta=used if handed else list(states[dyad.depth :]),  # type: ignore[arg-type]
            gamma=dyad.gamma,
        )

    def nudge(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger
    ) -> tuple[Dyad, State, Tensor, dict[str, Solution]]:
        """Settle freely; the nudged problem, the dyad closed on the free state, the free output, and how that went."""
        free, state, solution = self.free(network, x, ledger)
        output = state[-1]
        state = free.climb(state) if self.hold else state
        frozen = objective.gradient(output, target) if objective.nudge is Nudge.FROZEN else None
        dyad = self.dyad(free, target, objective, frozen)
        return dyad, dyad.start(state, free), output, {} if solution is None else {"free": solution}

    def dyad(self, free: Single, target: Tensor, objective: Objective, frozen: Tensor | None) -> Dyad:
        """The nudged problem above a free one."""
        return (HeldDyad if self.hold else self.replicas)(
            free.network,
            free.x,
            free.gamma,
            free.ledger,
            objective=objective,
            target=target,
            beta=self.beta,
            alpha=self.alpha,
            form=self.form,
            frozen=frozen,
            wiring=self.feedback.wiring(free.network),
        )


class DualPropagation(Dyadic, name="dual_propagation"):
    """γ = 0: one bottom-up pass, one top-down sweep, the multiply-adds of back-propagation and no tape.

    Exact fixed point for the adjoint form with α ∈ {0, 1}; a gap of O(β²) for α = ½. `nudged.max_steps` > 1 repeats the
    sweep. Source: Høier, Staudt & Zach, ICML 2023; Høier & Zach, ICML 2024."""

    nudged: Relaxation = field(default_factory=lambda: Sweep(max_steps=1, tolerance=0.0))


class EquilibriumPropagation(Dyadic, name="equilibrium_propagation"):
    """γ = 1, α = ½: centred equilibrium propagation at ±β/2, both phases settled as one dyad. Any γ in (0, 1] gives the
    exact gradient of that network's equilibrium as β → 0. Source: Scellier & Bengio 2017; Laborieux et al. 2021
    (centred).

    By default the mean is settled with momentum and held, and δ settled about it, to tolerances at which the worst
    layer was measured to have a cosine of about 0.95 with the exact gradient where weights are not large
    (docs/performance.md). `hold=false` settles mean and difference together, which equals two relaxations at ±β/2."""

    gamma: float = 1.0
    beta: float = 0.02
    hold: bool = True
    relax: Relaxation = field(
        default_factory=lambda: Sweep(max_steps=60, tolerance=3e-2, check_every=1, momentum=MOMENTUM)
    )
    nudged: Relaxation = field(
        default_factory=lambda: Sweep(max_steps=20, tolerance=0.1, check_every=1, momentum=MOMENTUM)
    )


class ContrastiveHebbian(Dyadic, name="contrastive_hebbian"):
    """γ = 1, α = ½, β = 1: the output of one replica clamped to the target, the other free, settled as one dyad
    (Movellan 1991).

    The objective takes no part in the dynamics; it is only reported.
    """

    replicas: ClassVar[type[Dyad]] = ClampedDyad
    gamma: float = 1.0
    beta: float = 1.0
    relax: Relaxation = field(default_factory=lambda: Sweep(max_steps=60, tolerance=1e-3, momentum=MOMENTUM))
    nudged: Relaxation = field(default_factory=lambda: Sweep(max_steps=20, tolerance=1e-2, momentum=MOMENTUM))

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.beta == 1 and self.alpha == 0.5, self, "beta", "1, with alpha = 0.5: a clamp has no strength to choose"
        )
        require(not self.hold, self, "hold", "false: a clamp moves the mean")

    @property
    def alignment(self) -> float:
        return min(0.5, super().alignment)

    def admit(self, objective: Objective, output: Potential = Identity()) -> None:  # noqa: B008 (a constant)
        """A clamp puts no condition on an objective that takes no part."""


class Implicit(Dyadic, name="implicit"):
    """The reference: the exact gradient of the objective through the equilibrium at any γ, by iterating its adjoint.

    The dyad at β = 0, where m = f(J(m)) and δ = f′(J(m))·[J′(m)ᵀδ − ∇C]: forward fixed point and adjoint
    (Almeida–Pineda)."""

    gamma: float = 1.0
    beta: float = 0.0
    relax: Relaxation = field(default_factory=lambda: Sweep(max_steps=300, tolerance=1e-6))
    nudged: Relaxation = field(default_factory=lambda: Sweep(max_steps=300, tolerance=1e-6))

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta == 0, self, "beta", "0")
        if not isinstance(self.feedback, Tied):
            raise ConfigurationError(
                f"{self.label}.feedback={self.feedback.label}: must be tied: the gradient is exact"
            )
