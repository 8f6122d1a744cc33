"""The laws of the rate: exact on linear chains, close on networks with bounds and pooling, in float64.

An affine chain with input and biases at zero has its equilibrium at zero, so that the states are the deviations
themselves, and their ratios have all their digits however small they are.
"""

from __future__ import annotations

import math

import pytest
import torch

from energy.couplings import Dense
from energy.ledger import Ledger
from energy.network import Network
from energy.potentials import Identity
from energy.relax.convergence import expected_steps
from energy.relax.flow import Flow, Method
from energy.relax.relaxation import Relaxation
from energy.relax.single_phase import SinglePhase
from energy.relax.spectrum import spectrum
from energy.relax.sweep import Sweep
from energy.relax.synchronous import Synchronous
from energy.relax.zebra import Zebra
from energy.state import State
from energy.stream import stream
from tests.relax.linearized import dense_jacobian, equilibrium, hopfield, late_rate, residuals
from tests.settle import nets

ZERO = torch.zeros(1, 6, dtype=torch.float64)


def chain(radius: float, sizes: tuple[int, ...] = (6, 7, 5, 8, 4), seed: int = 0) -> Network:
    """Linear units without biases whose synchronous step at γ = 1 has this spectral radius."""
    network = Network(sizes[:1])
    for k in range(len(sizes) - 1):
        network.add(Dense(sizes[k], sizes[k + 1], bias=False), Identity())
    nets.draw(network, 1.0, seed)
    now = dense_radius(network, 1.0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(radius / now)
    return network


def nothing(network: Network) -> State:
    return State(torch.zeros(1, *layer.shape, dtype=torch.float64) for layer in network.layers)


def dense_radius(network: Network, gamma: float) -> float:
    return float(torch.linalg.eigvals(dense_jacobian(network, ZERO, nothing(network), gamma, 0)).abs().max())


@torch.no_grad()
def measured(network: Network, relax: Relaxation, gamma: float) -> float:
    """The spectral radius of one step as a dense matrix: a batch of unit vectors, whose messages were sent before."""
    sizes = [layer.shape[0] for layer in network.layers]
    units = torch.eye(sum(sizes), dtype=torch.float64)
    problem = SinglePhase(network, ZERO.expand(len(units), -1), gamma, Ledger())
    state = sent(problem, State(units.split(sizes, 1)))
    after, _ = relax.step(problem, state, None)
    return float(torch.linalg.eigvals(torch.cat(after.tensors, 1)).abs().max())


def sent(problem: SinglePhase, state: State) -> State:
    """The state, once every layer has received what is sent down by it: a sweep begins with its upward half."""
    for layer in range(1, len(state) + 1):
        problem.receive_from_above(state, layer)
    return state


def predicted(network: Network, relax: Relaxation, gamma: float) -> float:
    found = spectrum(network, ZERO, nothing(network), gamma, steps=100, tolerance=1e-10)
    rate = relax.contraction_rate(found.lowest, found.highest)
    assert rate is not None
    return float(rate)


@pytest.mark.parametrize("gamma", [1.0, 0.5, 0.1, 0.05])
@pytest.mark.parametrize("radius", [0.3, 0.7, 0.95])
def test_laws_on_a_linear_chain(radius: float, gamma: float) -> None:
    """Young's theorem against dense eigenvalues: √γ ρ₀ all at once, γρ₀² color after color."""
    network = chain(radius)
    now = dense_radius(network, gamma)
    assert now == pytest.approx(math.sqrt(gamma) * radius, rel=1e-9)
    for relax, law in (
        (Synchronous(), math.sqrt(gamma) * radius),
        (Synchronous(damping=0.4), 0.4 + 0.6 * math.sqrt(gamma) * radius),
        (Zebra(), gamma * radius**2),
        (Flow(time=0.7, method=Method.EULER), 1 - 0.7 * (1 - now)),
        (Flow(time=0.5), sum((0.5 * (now - 1)) ** k / math.factorial(k) for k in range(5))),
        (Flow(time=0.5, method=Method.MIDPOINT), sum((0.5 * (now - 1)) ** k / math.factorial(k) for k in range(3))),
    ):
        assert predicted(network, relax, gamma) == pytest.approx(law, rel=1e-7), relax
        assert measured(network, relax, gamma) == pytest.approx(law, rel=1e-6), relax


def test_damping_that_turns_back_is_slower_at_the_other_end() -> None:
    """At 1 − d near 2/(1 + ρ) the least eigenvalue decides, which the radius alone would not tell."""
    relax = Flow(time=1.6, method=Method.EULER)
    network = chain(0.5)
    law = abs(1 - 1.6 * 1.5)
    assert predicted(network, relax, 1.0) == pytest.approx(law, rel=1e-7)
    assert measured(network, relax, 1.0) == pytest.approx(law, rel=1e-6)


@pytest.mark.parametrize("gamma", [1.0, 0.4, 0.1])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("radius", [0.4, 0.8, 0.97])
def test_a_sweep_is_never_slower_than_its_bound(radius: float, seed: int, gamma: float) -> None:
    network = chain(radius, seed=seed)
    plain = predicted(network, Sweep(), gamma)
    assert plain == pytest.approx(gamma * radius**2, rel=1e-7)
    assert measured(network, Sweep(), gamma) <= plain * (1 + 1e-9)
    two = chain(radius, (6, 7, 5), seed)
    assert measured(two, Sweep(), gamma) == pytest.approx(predicted(two, Sweep(), gamma), rel=1e-6)


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("momentum", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("radius", [0.5, 0.8, 0.95, 0.985])
def test_momentum_is_within_its_bound(radius: float, momentum: float) -> None:
    """Over many steps, since a sample that turns begins anew: the fall from the first step to the last."""
    relax = Sweep(momentum=momentum)
    for seed in range(3):
        network = chain(radius, seed=seed)
        problem, drawn = SinglePhase(network, ZERO, 1.0, Ledger()), stream(5, "deviation")
        state = State(torch.randn(t.shape, generator=drawn, dtype=torch.float64) for t in nothing(network))
        with torch.no_grad():
            memory, sizes, state = None, list[float](), sent(problem, state)
            while len(sizes) < 300 and not (sizes and sizes[-1] < 1e-100):
                state, memory = relax.step(problem, state, memory)
                sizes.append(float(state.dot(state).sqrt()))
        rate = (sizes[-1] / sizes[0]) ** (1 / (len(sizes) - 1))
        assert rate <= predicted(network, relax, 1.0) * 1.01


def test_nesterovs_recursion_at_one_eigenvalue() -> None:
    """The bound is the radius of [[λ(1 + μ), −λμ], [1, 0]], by its eigenvalues; λ = ρ²."""
    for momentum in (0.0, 0.3, 0.9):
        for size in (0.05, 0.3, 0.8, 0.99):
            matrix = torch.tensor([[size * (1 + momentum), -size * momentum], [1.0, 0.0]], dtype=torch.float64)
            end = torch.tensor([size**0.5], dtype=torch.float64)
            wanted = float(torch.linalg.eigvals(matrix).abs().max())
            assert float(Sweep(momentum=momentum).contraction_rate(-end, 0.5 * end)) == pytest.approx(wanted, rel=1e-12)


def test_a_relaxation_without_a_law_says_nothing() -> None:
    assert Relaxation().contraction_rate(torch.zeros(1), torch.zeros(1)) is None


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("gamma", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
@pytest.mark.parametrize("scale", [0.577, 1.0, 1.7])
def test_bounds_and_pooling_keep_the_law(scale: float, seed: int, gamma: float) -> None:
    """On a deep Hopfield network a zebra step contracts by ρ² at that γ: the median sample within 10 %, or 20 % where
    the residual is at rounding after so few steps that faster modes are still in it.
    """
    network = hopfield(scale, seed)
    x = torch.randn(6, 3, 16, 16, generator=stream(5, "x"), dtype=torch.float64)
    problem = SinglePhase(network, x, gamma, Ledger())
    seen = residuals(problem, Zebra(), problem.initial_state(), 400, 1e-12)
    found = late_rate(seen, 1e-12)
    law = spectrum(network, x, equilibrium(network, x, gamma), gamma, steps=200).radius.square()
    assert float((found / law).median()) == pytest.approx(1.0, abs=0.1 if len(seen) > 30 else 0.2)


@pytest.mark.parametrize("gamma", [1.0, 0.3])
@pytest.mark.parametrize(
    "relax", [Zebra(), Synchronous(), Synchronous(damping=0.3), Flow(time=0.8)], ids=lambda relax: str(relax)
)
def test_the_steps_of_a_linear_chain_are_expected(relax: Relaxation, gamma: float) -> None:
    """From a late residual to two steps; from an early one, in which faster modes are left, to a tenth too many."""
    network, x = chain(0.9), torch.randn(5, 6, generator=stream(6, "x"), dtype=torch.float64)
    problem = SinglePhase(network, x, gamma, Ledger())
    seen = torch.stack(residuals(problem, relax, problem.initial_state(), 600, 1e-9))
    rate = torch.tensor(predicted(network, relax, gamma), dtype=torch.float64).expand(5)
    taken = (seen > 1e-8).sum(0) + 1
    for first, most in ((3 * int(taken.min()) // 4, 2.0), (len(network.layers), 0.1 * float(taken.max()))):
        off = first + expected_steps(rate, 1e-8, seen[first - 1]) - taken
        assert int(off.min()) >= -3 and float(off.max()) <= most


def test_expected_steps_at_the_edges() -> None:
    rate = torch.tensor([0.5, 0.5, 1.0, 1.2, 0.0, math.nan], dtype=torch.float64)
    residual = torch.tensor([8.0, 0.5, 2.0, 0.5, 2.0, 2.0], dtype=torch.float64)
    found = expected_steps(rate, 1.0, residual)
    assert found[:5].tolist() == [3.0, 0.0, math.inf, 0.0, 1.0] and bool(found[5].isnan())
    assert bool(expected_steps(rate[:1], 0.0, residual[:1]).isinf())
