"""A solution says what was measured and nothing else, and each sample's output is its own."""

import torch

from energy.couplings import Dense
from energy.ledger import Ledger
from energy.network import Network
from energy.potentials import HardSigmoid, Identity
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Solution
from energy.relax.solver import solve
from energy.relax.sweep import Sweep
from energy.settle.dyadic import EquilibriumPropagation
from energy.stream import stream


def network() -> Network:
    made = Network((6,))
    made.add(Dense(6, 12), HardSigmoid())
    made.add(Dense(12, 4), Identity())
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.copy_(0.25 * torch.randn(parameter.shape, generator=stream(0, name)))
    return made.double()


X = torch.randn(24, 6, generator=stream(1, "x"), dtype=torch.float64) * torch.linspace(0.1, 4, 24).double()[:, None]


def solved(relax: Sweep) -> Solution:
    problem = SinglePhase(network(), X, 1.0, Ledger())
    return solve(problem, problem.initial_state(), relax)


def test_a_fixed_number_of_steps_measures_no_residual() -> None:
    found = solved(Sweep(max_steps=8, tolerance=0.0))
    assert str(found).endswith("8 steps, residual not measured") and "0 of" not in str(found)
    assert bool(found.residual.isnan().all())
    assert str(solved(Sweep(tolerance=1e-6, check_every=1))).endswith("24 of 24 samples converged")


def test_a_sample_settles_alike_alone_and_in_company() -> None:
    settler = EquilibriumPropagation()
    together = settler.predict(network(), X)
    assert together.solution is not None
    steps = together.solution.steps
    assert int(steps.min()) < int(steps.max())  # or there would be nothing to see
    for rows in ([k] for k in range(24)):
        alone = settler.predict(network(), X[rows])
        torch.testing.assert_close(alone.alone, together.alone[rows], rtol=1e-12, atol=1e-13)
    stopped = settler.predict(network(), X[:1]).output
    assert not torch.allclose(stopped, together.output[:1], rtol=1e-6)  # it ran on in company


def test_without_a_solve_the_output_is_the_output() -> None:
    found = EquilibriumPropagation(gamma=0.0).predict(network(), X)
    assert found.solution is None and found.alone is found.output
