"""Equilibrium propagation for any energy: free and nudged minima of E(x, s, θ), and the difference of ∂E/∂θ there.

    ∂L/∂θ ≈ [∂E/∂θ(s^β₂) − ∂E/∂θ(s^β₁)]/(β₂ − β₁),      s^β = argmin_s E(x, s, θ) + β C(s_L)

Reference:
    Scellier & Bengio 2017 (any energy); Laborieux et al. 2021 (centered).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from energy import objectives
from energy.component import ConfigurationError, require
from energy.energy_network import EnergyNetwork
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.potentials import Identity, Potential
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import PhaseNudge
from energy.relax.solution import Solution
from energy.relax.solver import solve
from energy.relax.synchronous import Synchronous
from energy.settle.settled import Prediction, Settled
from energy.settle.settler import Needs, Settler, validate_batch
from energy.settle.two_phase import PhaseContrast
from energy.state import State


@dataclass(kw_only=True)
class SettledEnergies(Settled):
    """Minima of an energy, each with the weight of its ∂E/∂θ in the gradient."""

    minima: list[tuple[State, float]]


class EnergyTwoPhase(Settler, name="energy_two_phase"):
    """Settle the energy of an `EnergyNetwork` freely, then nudged, restarting from the free state.

    `gamma` takes no part.

    Attributes:
        relax, nudged: the relaxations of the two phases, which need a response only.
        beta: β, the strength of a nudge.
        kind: the two phases that are contrasted.

    Reference:
        Scellier & Bengio 2017 (any energy); Laborieux et al. 2021 (centered).
    """

    rates: ClassVar[bool] = False
    relax: Relaxation = field(default_factory=lambda: Synchronous(damping=0.75, max_steps=200, tolerance=1e-3))
    nudged: Relaxation = field(default_factory=lambda: Synchronous(damping=0.75, max_steps=60, tolerance=1e-3))
    beta: float = 0.1
    kind: PhaseContrast = PhaseContrast.CENTERED

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.gamma == 0, self, "gamma", "0: an energy of one's own has no feedback gain")
        require(self.beta > 0, self, "beta", "> 0; the sign is chosen by kind")
        require(self.kind is not PhaseContrast.RANDOM_SIGN, self, "kind", "positive, negative or centered")

    def needs(self) -> Needs:
        return {"objective": "squared_error", "optimizer": "sgd"}

    def validate_nudge(self, objective: Objective, output: Potential = Identity()) -> None:  # noqa: B008 (a constant)
        if self.kind is not PhaseContrast.POSITIVE:
            objective.validate_nudge(-self.beta, 0.0, output)

    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        target, ledger = validate_batch(network, x, target, objective), ledger or Ledger()
        network = require_energy(network)
        free = self._solve(network, x, network.zero_state(x), None, "free", ledger)
        output = free.state[-1]
        frozen = objective.gradient(output, target) if objective.nudge is objectives.Nudge.FROZEN else None
        solutions, minima = {"free": free}, []
        for name, sign, weight in self._phases():
            if sign:
                nudge = PhaseNudge(sign * self.beta, objective, target, frozen)
                solutions[name] = self._solve(network, x, free.state, nudge, name, ledger)
            minima.append((solutions[name].state, weight))
        return SettledEnergies(x=x, output=output, ledger=ledger, solutions=solutions, minima=minima)

    def _phases(self) -> list[tuple[str, int, float]]:
        """(name, sign of the nudge, weight of ∂E/∂θ)."""
        weight = 1 / self.beta
        if self.kind is PhaseContrast.CENTERED:
            return [("nudged", 1, weight / 2), ("nudged_down", -1, -weight / 2)]
        if self.kind is PhaseContrast.POSITIVE:
            return [("nudged", 1, weight), ("free", 0, -weight)]
        return [("free", 0, weight), ("nudged_down", -1, -weight)]

    @torch.no_grad()
    def predict(self, network: Network, x: Tensor, ledger: Ledger | None = None) -> Prediction:
        network.validate_batch(x)
        network = require_energy(network)
        solution = self._solve(network, x, network.zero_state(x), None, "free", ledger or Ledger())
        return Prediction(solution.state[-1], solution)

    def _solve(
        self, network: EnergyNetwork, x: Tensor, state: State, nudge: PhaseNudge | None, phase: str, ledger: Ledger
    ) -> Solution:
        count = partial(ledger.apply, phase, network.response_multiply_adds)
        problem = network.problem(x, nudge=nudge, count=count)
        problem.phase = phase
        solution = solve(problem, state, self.relax if nudge is None else self.nudged)
        ledger.sweeps[phase] += solution.taken
        return solution


def require_energy(network: Network) -> EnergyNetwork:
    """Return the network as an `EnergyNetwork`.

    Raises:
        ConfigurationError: for a network of couplings.
    """
    if isinstance(network, EnergyNetwork):
        return network
    raise ConfigurationError(
        "settler=energy_two_phase: needs a model that builds an EnergyNetwork; for layers and couplings take two_phase"
    )
