"""Predictive coding as it is: the equilibrium of activities, or of errors, under a clamped output."""

from __future__ import annotations

from dataclasses import field

import torch
from torch import Tensor

from energy.component import require
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Nudge, Objective
from energy.relax.dyad import Nudging
from energy.relax.prediction_errors import ErrorDyad
from energy.relax.predictive import SiteUpdate
from energy.relax.predictive_states import PredictiveStates
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import PhaseNudge
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.top_down import final_layers
from energy.settle.final_phase import run_to_layers
from energy.settle.settled import Settled, SettledDyad
from energy.settle.settler import Needs, Settler, solve_layers, validate_batch

GAUSSIAN: Needs = {"objective": "squared_error"}


class PredictiveCoding(Settler, name="predictive_coding"):
    """Iterative predictive coding: clamp the output to the target, descend E in the activities, then learn −∂E/∂W.

        E = ½ Σ_{k<L} ‖s_k − f_k(u_k)‖² + C(f_L(u_L); y)

    from the bottom-up pass. With squared error the last term is ½‖y − f_L(u_L)‖², as the output's activity is y. The
    update is a sum of local products f′(u_k)ε_k s_jᵀ.

    It is not back-propagation: at the minimum the errors have spread over the layers. Its errors are those of
    back-propagation if predictions and slopes are held at the bottom-up pass (Millidge, Tschantz & Buckley 2022), and
    after T steps of length η → 0 those of layer L − j are in direction, times binom(T, j) η^j.

    T synchronous steps cost U + 2T(U − U₁) + U, with U multiply-adds of a bottom-up pass and U₁ of them at the input;
    back-propagation costs 3U − U₁.

    Attributes:
        nudged: the relaxation of the clamped phase; by default T = `max_steps` gradient steps of length 1 − `damping`.
        site: the interval that activities are held to, if any.

    Reference:
        Rao & Ballard 1999; Whittington & Bogacz 2017; Pinchetti et al. 2022 (objectives other than squared error).
    """

    nudged: Relaxation = field(default_factory=lambda: Synchronous(damping=0.8, max_steps=20, tolerance=0.0))
    site: SiteUpdate = SiteUpdate.UNCONSTRAINED

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.gamma == 0, self, "gamma", "0: the feedback of a predictive-coding network is its errors'")

    def needs(self) -> Needs:
        return GAUSSIAN

    @property
    def alignment(self) -> float:
        return 0.5

    @torch.no_grad()
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        target, ledger = validate_batch(network, x, target, objective), ledger or Ledger()
        nudge = PhaseNudge(1.0, objective, target)
        with network.normalizing():
            free, mean, _ = self.free(network, x, ledger)
            problem = PredictiveStates(network, free.x, ledger, "clamped", nudge=nudge, clamped=True, site=self.site)
            solution = solve_layers(problem, problem.initial_state(mean, free), self.nudged)
            state, layers = solution.state, range(1, problem.depth + 1)
            for k in layers:
                problem.receive_from_below(state, k)
            slopes = [problem.slope(state, k) for k in layers]
        final = tuple(final_layers(network, problem.messages.linear, state, slopes))
        solutions = {"clamped": solution}
        return SettledDyad(x=free.x, output=mean[-1], ledger=ledger, solutions=solutions, final=final, gamma=0.0)


class ErrorPredictiveCoding(Settler, name="error_predictive_coding"):
    """Error-optimized predictive coding: descend ½‖ε‖² + βC(s_L(ε)) in the errors ε_k = s_k − f_k(u_k).

    A step is a pass up and a pass down, ε ← ε − η(ε + β∂C/∂s), from ε = 0. The update is a sum of local products
    f′(u_k)ε_k s_jᵀ over β(1 − (1 − η)^T), with the activities of the pass that ε came from.

    One step is back-propagation exactly, its length included, at any β and η. More approach the equilibrium of
    predictive coding under the nudge βC, whose contrast is back-propagation's as β → 0 with a bias of O(β).

    T steps cost U + (2T − 1)(U − U₁) + U, with U multiply-adds of a bottom-up pass and U₁ of them at the input;
    back-propagation costs 3U − U₁.

    Attributes:
        beta: β, the weight of the objective.
        rate: η; a quadratic objective is descended if it is below 2/(1 + β‖∂²C/∂ε²‖).
        nudged: sweeps, T = `max_steps`, or to a tolerance.

    Reference:
        Goemaere et al. 2025 (arXiv:2505.20137).
    """

    beta: float = 0.1
    rate: float = 0.5
    nudged: Sweep = field(default_factory=lambda: Sweep(max_steps=4, tolerance=0.0))

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.gamma == 0, self, "gamma", "0: the feedback of a predictive-coding network is its errors'")
        require(0 < self.beta < float("inf"), self, "beta", "> 0 and finite")
        require(0 < self.rate <= 1, self, "rate", "in (0, 1]")
        plain = type(self.nudged).step is Sweep.step and self.nudged.momentum == 0
        require(plain, self, "nudged", "a sweep without momentum: a step is a pass up and a pass down")

    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        return self._settle(network, x, target, objective, ledger, once=False).retained()

    def settle_once(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        return self._settle(network, x, target, objective, ledger, once=True)

    @property
    def scale(self) -> float:
        """1/(1 − (1 − η)^T); 1 for a solve to a tolerance, at whose end ε has its full length."""
        return 1.0 if self.nudged.tolerance else 1 / (1 - (1 - self.rate) ** self.nudged.max_steps)

    @torch.no_grad()
    def _settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None, once: bool
    ) -> SettledDyad:
        target, ledger = validate_batch(network, x, target, objective), ledger or Ledger()
        with network.normalizing():
            free, mean, _ = self.free(network, x, ledger)
            frozen = objective.gradient(mean[-1], target) if objective.nudge is Nudge.FROZEN else None
            nudging = Nudging(objective, target, beta=self.beta, frozen=frozen)
            problem = ErrorDyad(network, free.x, ledger, nudging, rate=self.rate, scale=self.scale)
            start = problem.initial_state(mean, free)
            solution, final = run_to_layers(problem, start, self.nudged, share=once)
        solutions = {"nudged": solution}
        return SettledDyad(x=free.x, output=mean[-1], ledger=ledger, solutions=solutions, final=final, gamma=0.0)
