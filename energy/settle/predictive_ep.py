"""Equilibrium propagation on predictive-coding networks."""

from __future__ import annotations

from dataclasses import field

import torch
from torch import Tensor

from energy.component import require
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Nudge, Objective
from energy.potentials import Identity, Potential
from energy.relax.dyad import Nudging
from energy.relax.predictive import PredictiveDyad, SiteUpdate
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Solution
from energy.relax.sweep import Sweep
from energy.settle.final_phase import run_to_layers
from energy.settle.settled import Settled, SettledDyad, SettledDyads
from energy.settle.settler import Settler, validate_batch
from energy.settle.two_phase import PhaseContrast, batch_sign
from energy.state import State


class PredictiveCodingEP(Settler, name="predictive_coding_ep"):
    """Equilibrium propagation on E = ½ Σ‖s_k − f_k(u_k)‖²: a bottom-up pass, then one nudged equilibrium or two.

    The bottom-up pass is the free equilibrium, at which E = 0 and ∂E/∂θ = 0. So −∂(E + βC)/∂θ/β at a single nudged
    equilibrium is the whole contrast, a sum of local products δ_k s_jᵀ with δ_k = f′(u_k)ε_k/β. At any β it is the
    gradient of L_β = [E + βC]/β at that equilibrium (`site=projected`), and as β → 0 that of back-propagation, with a
    bias of O(β) for one sign and of O(β²) for the mean of both. At β > 0 its direction differs too.

    With U multiply-adds of a bottom-up pass, U₁ of them at the input, and n signs, K sweeps cost
    U + n[(2K − 1)(U − U₁) + U], K steps of `zebra` at most U + n[2K(U − U₁) + U], and back-propagation 3U − U₁. So one
    sweep at one sign has the price of back-propagation; the default has less than three times that, and with
    `kind=random_sign` less than 5/3.

    Attributes:
        beta: β, the strength of the nudge.
        kind: positive, negative and random_sign need one equilibrium, centered two.
        site: the site update. `projected` descends E; `modified` lets units below threshold stay there, which the
            reference found to be the more stable one.
        nudged: the relaxation of the nudged phase. The first sweep reaches every layer and leaves O(β) of the way to
            the equilibrium; the schedule of the reference is `zebra` with `max_steps` 5 or 10 and `tolerance` 0.

    Reference:
        Kerjan, Høier & Scellier 2026 (arXiv:2606.03584).
    """

    beta: float = 0.02
    kind: PhaseContrast = PhaseContrast.CENTERED
    site: SiteUpdate = SiteUpdate.MODIFIED
    nudged: Relaxation = field(default_factory=lambda: Sweep(max_steps=2, tolerance=0.0))

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.gamma == 0, self, "gamma", "0: the feedback of a predictive-coding network is its errors'")
        require(0 < self.beta < float("inf"), self, "beta", "> 0 and finite; the sign is chosen by kind")

    def validate_nudge(self, objective: Objective, output: Potential = Identity()) -> None:  # noqa: B008 (a constant)
        if self.kind is not PhaseContrast.POSITIVE:
            objective.validate_nudge(-self.beta, 0.0, Identity())

    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        settled = self._settle(network, x, target, objective, ledger, once=False)
        for dyad in settled.dyads if isinstance(settled, SettledDyads) else [settled]:
            dyad.retained()
        return settled

    def settle_once(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        return self._settle(network, x, target, objective, ledger, once=True)

    @torch.no_grad()
    def _settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None, once: bool
    ) -> SettledDyad | SettledDyads:
        target, ledger = validate_batch(network, x, target, objective), ledger or Ledger()
        solutions: dict[str, Solution] = {}
        dyads: list[SettledDyad] = []
        with network.normalizing():
            free, state, _ = self.free(network, x, ledger)
            output = state[-1]
            for problem in self.problems(free, state, target, objective):
                start = problem.initial_state(state, free)
                solutions[problem.phase], final = run_to_layers(problem, start, self.nudged, share=once)
                dyads.append(SettledDyad(x=free.x, output=output, ledger=ledger, final=final, gamma=0.0))
        if len(dyads) == 1:
            dyads[0].solutions = solutions
            return dyads[0]
        return SettledDyads(x=free.x, output=output, ledger=ledger, solutions=solutions, dyads=dyads)

    def problems(self, free: SinglePhase, state: State, target: Tensor, objective: Objective) -> list[PredictiveDyad]:
        """Return the nudged problems.

        Args:
            free: the free problem.
            state: its bottom-up state.
            target: (B, *output shape).
            objective: nudges the output.
        """
        frozen = objective.gradient(state[-1], target) if objective.nudge is Nudge.FROZEN else None
        sign = batch_sign(free.x) if self.kind is PhaseContrast.RANDOM_SIGN else None

        def at(beta: float, phase: str) -> PredictiveDyad:
            nudging = Nudging(objective, target, beta=beta, frozen=frozen)
            return PredictiveDyad(free.network, free.x, free.ledger, nudging, phase, site=self.site, sign=sign)

        up, down = (self.beta, "nudged"), (-self.beta, "nudged_down")
        if self.kind is PhaseContrast.CENTERED:
            return [at(*up), at(*down)]
        return [at(*down) if self.kind is PhaseContrast.NEGATIVE else at(*up)]
