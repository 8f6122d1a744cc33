"""Methods that settle one dyad: dual propagation (γ = 0), equilibrium propagation (γ = 1), all between, and their
limits.
"""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar, Final

import torch
from torch import Tensor

from energy.component import require
from energy.errors import FieldError
from energy.feedback import Feedback, Tied
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Nudge, Objective
from energy.potentials import Identity, Potential
from energy.relax.contraction import ContractBy, attach_contraction
from energy.relax.dyad import ClampedDyad, Dyad, HeldDyad, NudgeForm, Nudging
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Solution
from energy.relax.sweep import Sweep
from energy.relax.visits import attach_visits
from energy.settle.final_phase import run_to_layers
from energy.settle.settled import Settled, SettledDyad
from energy.settle.settler import FEEDBACK, Needs, Settler, validate_batch
from energy.state import State

MOMENTUM: Final = 0.9  # of both phases of equilibrium propagation


class Dyadic(Settler):
    """Settle the mean (`relax`, for γ > 0), then mean and difference together (`nudged`). See `energy.relax.dyad`.

    Attributes:
        alpha: α, the weight of s⁺ in the mean.
        beta: β, the total nudge per sample.
        form: the split of the nudge between the replicas.
        freeze_mean: hold the free mean while the difference is settled.
        keep_contracting: the bound on the loop gain while training; 0 for none.
        contract_by: the numbers that are scaled down to hold it, `gamma` or `weights`.
        warm_starts: the number of samples whose last visit the free phase starts from; 0 for none
            (`energy.relax.visits`).
        nudged: the relaxation of mean and difference.
        feedback: the weights that carry the difference down (`energy.feedback`); the mean reads the weights themselves.
    """

    replicas: ClassVar[type[Dyad]] = Dyad
    alpha: float = 0.5
    beta: float = 0.1
    form: NudgeForm = NudgeForm.ADJOINT
    freeze_mean: bool = False
    keep_contracting: float = 0.0
    contract_by: ContractBy = ContractBy.GAMMA
    warm_starts: int = 0
    nudged: Relaxation = field(default_factory=lambda: Sweep(max_steps=20, tolerance=1e-2))
    feedback: Feedback = field(default_factory=Tied)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.alpha <= 1, self, "alpha", "in [0, 1]")
        require(abs(self.beta) < float("inf"), self, "beta", "finite")
        require(0 <= self.keep_contracting < float("inf"), self, "keep_contracting", "a loop gain of at least 0")
        require(self.warm_starts >= 0, self, "warm_starts", ">= 0")

    def needs(self) -> Needs:
        return FEEDBACK if self.gamma else {}

    @property
    def alignment(self) -> float:
        return 1.0 if isinstance(self.feedback, Tied) else -1.0

    def attach_feedback(self, network: Network, *, seed: int = 0) -> None:
        self.feedback.attach(network, seed=seed)
        if self.keep_contracting:
            attach_contraction(network)
        attach_visits(network, self.warm_starts if self.gamma else 0)

    def validate_nudge(self, objective: Objective, output: Potential = Identity()) -> None:  # noqa: B008 (a constant)
        r_plus = self.form.r_plus(self.alpha)
        objective.validate_nudge(r_plus * self.beta, (1 - r_plus) * self.beta, output)

    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        return self._settle(network, x, target, objective, ledger, once=False).retained()

    def settle_once(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        if type(self).settle is not Dyadic.settle:  # a subclass settles otherwise
            return self.settle(network, x, target, objective, ledger)
        return self._settle(network, x, target, objective, ledger, once=True)

    @torch.no_grad()
    def _settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None, once: bool
    ) -> SettledDyad:
        target, ledger = validate_batch(network, x, target, objective), ledger or Ledger()
        if self.keep_contracting and self.gamma:
            attach_contraction(network).hold(network, x, self.gamma, self.keep_contracting, self.contract_by)
        with network.normalizing():
            dyad, state, output, solutions = self.nudge(network, x, target, objective, ledger)
            solution, final = run_to_layers(dyad, state, self.nudged, share=once)
        solutions["nudged"] = solution
        return SettledDyad(x=dyad.x, output=output, ledger=ledger, solutions=solutions, final=final, gamma=dyad.gamma)

    def nudge(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger
    ) -> tuple[Dyad, State, Tensor, dict[str, Solution]]:
        """Settle freely, and set up the nudged problem.

        Args:
            network, x, target, objective, ledger: as for `settle`.

        Returns:
            The nudged problem, its initial state with δ = 0, the free output, and the solutions so far by phase.
        """
        free, state, solution = self.free(network, x, ledger, warm=bool(self.warm_starts))
        output = state[-1]
        state = free.bottom_up(state) if self.freeze_mean else state
        frozen = objective.gradient(output, target) if objective.nudge is Nudge.FROZEN else None
        dyad = self.dyad(free, self.nudging(network, target, objective, frozen))
        return dyad, dyad.initial_state(state, free), output, {} if solution is None else {"free": solution}

    def nudging(self, network: Network, target: Tensor, objective: Objective, frozen: Tensor | None) -> Nudging:
        """Return the nudge of this method.

        Args:
            network: its feedback weights carry the difference down.
            target: y, (B, *output shape).
            objective: C.
            frozen: ∇C at the free output, if the nudge is linearized there.
        """
        feedback = self.feedback.attached(network)
        return Nudging(
            objective, target, beta=self.beta, alpha=self.alpha, form=self.form, frozen=frozen, feedback=feedback
        )

    def dyad(self, free: SinglePhase, nudging: Nudging) -> Dyad:
        """Return the nudged problem that follows a free one."""
        kind = HeldDyad if self.freeze_mean else self.replicas
        return kind(free.network, free.x, free.gamma, free.ledger, nudging)


class DualPropagation(Dyadic, name="dual_propagation"):
    """γ = 0: one bottom-up pass, one top-down sweep, the multiply-adds of back-propagation and no tape.

    Exact fixed point for the adjoint form with α ∈ {0, 1}; a gap of O(β²) for α = ½. `nudged.max_steps` > 1 repeats the
    sweep.

    Reference:
        Høier, Staudt & Zach, ICML 2023; Høier & Zach, ICML 2024.
    """

    nudged: Relaxation = field(default_factory=lambda: Sweep(max_steps=1, tolerance=0.0))


class EquilibriumPropagation(Dyadic, name="equilibrium_propagation"):
    """γ = 1, α = ½: centered equilibrium propagation at ±β/2, both phases settled as one dyad.

    Any γ in (0, 1] gives the exact gradient of that network's equilibrium as β → 0.

    By default the mean is settled with momentum and held, and δ settled about it, to tolerances at which the worst
    layer was measured to have a cosine of about 0.95 with the exact gradient unless weights are large
    (docs/performance.md). `freeze_mean=false` settles mean and difference together, which equals two relaxations at
    ±β/2.

    Reference:
        Scellier & Bengio 2017; Laborieux et al. 2021 (centered).
    """

    gamma: float = 1.0
    beta: float = 0.02
    freeze_mean: bool = True
    relax: Relaxation = field(
        default_factory=lambda: Sweep(max_steps=60, tolerance=3e-2, check_every=1, momentum=MOMENTUM)
    )
    nudged: Relaxation = field(
        default_factory=lambda: Sweep(max_steps=20, tolerance=0.1, check_every=1, momentum=MOMENTUM)
    )


class ContrastiveHebbian(Dyadic, name="contrastive_hebbian"):
    """γ = 1, α = ½, β = 1: the output of one replica clamped to the target, the other free, settled as one dyad.

    The objective takes no part in the dynamics; it is only reported.

    Reference:
        Movellan 1991.
    """

    replicas: ClassVar[type[Dyad]] = ClampedDyad
    gamma: float = 1.0
    beta: float = 1.0
    relax: Relaxation = field(default_factory=lambda: Sweep(max_steps=60, tolerance=1e-3, momentum=MOMENTUM))
    nudged: Relaxation = field(default_factory=lambda: Sweep(max_steps=20, tolerance=1e-2, momentum=MOMENTUM))

    def __post_init__(self) -> None:
        super().__post_init__()
        clamps = self.beta == 1 and self.alpha == 0.5
        require(clamps, self, "beta", "1, with alpha = 0.5: a clamp has no strength to choose")
        require(not self.freeze_mean, self, "freeze_mean", "false: a clamp moves the mean")

    @property
    def alignment(self) -> float:
        return min(0.5, super().alignment)

    def validate_nudge(self, objective: Objective, output: Potential = Identity()) -> None:  # noqa: B008 (a constant)
        """Accept any objective, since it takes no part in the dynamics."""


class Implicit(Dyadic, name="implicit"):
    """The reference: the exact gradient of the objective through the equilibrium at any γ, by iterating its adjoint.

    The dyad at β = 0: m = f(J(m)) and δ = f′(J(m))·[J′(m)ᵀδ − ∇C], the forward fixed point and its adjoint.

    Reference:
        Almeida 1987; Pineda 1987.
    """

    gamma: float = 1.0
    beta: float = 0.0
    relax: Relaxation = field(default_factory=lambda: Sweep(max_steps=300, tolerance=1e-6))
    nudged: Relaxation = field(default_factory=lambda: Sweep(max_steps=300, tolerance=1e-6))

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta == 0, self, "beta", "0")
        if not isinstance(self.feedback, Tied):
            raise FieldError(self.name, f"feedback={self.feedback.name}: must be tied: the gradient is exact")
