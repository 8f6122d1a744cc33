"""Small problems to check solvers on: contracting networks, whose equilibrium is unique at every γ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from energy.couplings import Dense
from energy.energy_network import EnergyNetwork
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import SquaredError, one_hot
from energy.potentials import Identity, Tanh, per_sample
from energy.relax.dyad import Dyad, Nudging
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Solution
from energy.relax.solver import solve
from energy.relax.sweep import Sweep
from energy.settle.energy_phases import EnergyTwoPhase
from energy.settle.settler import Settler
from energy.state import State
from energy.testing.claim import noise

BATCH = 5
EXACT = Sweep(max_steps=500, tolerance=1e-13, check_every=1)


def contracting(device: str = "cpu") -> Network:
    """Build 5 – 6 – 6 – 4 with a skip over the middle, tanh below a linear output.

    Every coupling has spectral norm 0.35.
    """
    network = Network((5,))
    first = network.add(Dense(5, 6), Tanh(), name="first")
    second = network.add(Dense(6, 6), Tanh(), name="second")
    network.add({second: Dense(6, 4), first: Dense(6, 4)}, Identity(), name="output")
    network.to(device, torch.float64)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(noise(name, *parameter.shape, device=device))
            if parameter.ndim == 2:
                parameter.mul_(0.35 / torch.linalg.matrix_norm(parameter, 2))
    return network


def coding(device: str = "cpu") -> EnergyNetwork:
    """Build the predictive-coding energy E = ½ Σ‖s_k − tanh(A_k s_{k−1})‖² on 5 – 6 – 4.

    Every A_k has spectral norm 0.35; the minimum is the feedforward pass.
    """
    theta = {"A1": noise("A1", 6, 5, device=device), "A2": noise("A2", 4, 6, device=device)}
    theta = {name: 0.35 * weight / torch.linalg.matrix_norm(weight, 2) for name, weight in theta.items()}
    return EnergyNetwork((5,), [6, 4], theta, _coding)


def _coding(x: Tensor, state: State, theta: Mapping[str, Tensor]) -> Tensor:
    below = (x, *state.tensors[:-1])
    errors = [s - torch.tanh(b @ weight.T) for s, b, weight in zip(state, below, theta.values(), strict=True)]
    return torch.stack([per_sample(error.square()) for error in errors]).sum(0) / 2


def subject(settler: Settler, device: str = "cpu") -> Network:
    """Return the small network to check a settler on."""
    return coding(device) if isinstance(settler, EnergyTwoPhase) else contracting(device)


def batch(device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Return (x, target) for `contracting`."""
    labels = torch.arange(BATCH, device=device) % 4
    return noise("x", BATCH, 5, device=device), one_hot(labels, 4, torch.float64)


@dataclass(frozen=True)
class SmallProblem:
    """One network and batch, to be settled by any relaxation, as one replica and as a dyad."""

    network: Network
    x: Tensor
    target: Tensor
    gamma: float = 1.0

    def permuted(self, order: Tensor) -> SmallProblem:
        return SmallProblem(self.network, self.x[order], self.target[order], self.gamma)

    def single(self, relax: Relaxation, ledger: Ledger | None = None) -> tuple[SinglePhase, Solution]:
        problem = SinglePhase(self.network, self.x, self.gamma, ledger if ledger is not None else Ledger())
        return problem, solve(problem, problem.initial_state(), relax)

    def dyad(self, relax: Relaxation, ledger: Ledger | None = None) -> tuple[Dyad, Solution]:
        free, settled = self.single(EXACT)
        frozen = settled.state[-1] - self.target
        problem = Dyad(
            self.network,
            self.x,
            self.gamma,
            ledger if ledger is not None else Ledger(),
            Nudging(SquaredError(), self.target, 0.1, frozen=frozen),
        )
        return problem, solve(problem, problem.initial_state(settled.state, free), relax)
