"""Any acyclic network: what holds for chains holds for every graph of layers, skips, read-outs and widths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from energy.couplings import Convolution, Coupling, Dense, Skip
from energy.ledger import Ledger, backprop_multiply_adds
from energy.network import Network
from energy.objectives import CrossEntropy, Objective, SquaredError, one_hot
from energy.pooling import AveragePool, MaxPool
from energy.potentials import Identity, Potential, Sigmoid, Softplus, Tanh
from energy.relax import Relaxation, SinglePhase, Sweep, Synchronous, Zebra, solve
from energy.rules import Contrast
from energy.settle import Backprop, DualPropagation, EquilibriumPropagation, Implicit, Settler, TwoPhase
from energy.state import State

SMOOTH = (Tanh(), Sigmoid(), Softplus(), Identity())
BATCH = 3
QUICK = settings(max_examples=15, deadline=None, derandomize=True)
FEW = settings(max_examples=6, deadline=None, derandomize=True)


def filled(network: Network, seed: int, norm: float = 0.4) -> Network:
    """Weights of the given spectral norm, divided among the edges into a layer, and random biases."""
    generator = torch.Generator().manual_seed(seed)
    network.double()
    with torch.no_grad():
        for edge in network.edges:
            for parameter in edge.coupling.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
                if parameter.ndim > 1:
                    size = torch.linalg.matrix_norm(parameter.flatten(1), 2) * len(network.into(edge.target))
                    parameter.mul_(norm / size)
    return network


@st.composite
def graphs(draw: Any, *, readouts: bool = True) -> Network:
    """Two to five layers of two to five units, each reading one to three of those below."""
    network, depth = Network((draw(st.integers(2, 4)),)), draw(st.integers(2, 5))
    for target in range(1, depth + 1):
        below = draw(st.lists(st.integers(0, target - 1), min_size=1, max_size=3, unique=True))
        below = below if target > 1 else [0]
        size = 3 if target == depth else draw(st.integers(2, 5))
        couplings: dict[int, Coupling] = {
            k: Dense(network.shape(k)[0], size, bias=draw(st.booleans())) for k in sorted(below)
        }
        potential: Potential = Identity() if target == depth else draw(st.sampled_from(SMOOTH))
        feedback = target < depth or not readouts or draw(st.booleans())
        network.add(couplings, potential, feedback=feedback)
    return filled(network, draw(st.integers(0, 99)))


@st.composite
def images(draw: Any) -> Network:
    """A convolution, an optional residual block, a pooled convolution and a dense output."""
    network, channels = Network((2, 6, 6)), draw(st.sampled_from([2, 3]))
    first = network.add(Convolution(2, channels, 3, padding=1), Tanh())
    if draw(st.booleans()):
        inner = network.add(Convolution(channels, channels, 3, padding=1), Tanh())
        first = network.add({inner: Convolution(channels, channels, 3, padding=1), first: Skip()}, Tanh())
    pool = draw(st.sampled_from([MaxPool(2), AveragePool(2), AveragePool(3, 1), None]))
    stride, dilation = draw(st.sampled_from([(1, 1), (2, 1), (1, 2)]))
    network.add(
        {first: Convolution(channels, 4, 3, stride=stride, padding=2, dilation=dilation, pool=pool)}, Softplus()
    )
    units = torch.Size(network.shape(len(network.layers))).numel()
    network.add(Dense(units, 3), Identity())
    return filled(network, draw(st.integers(0, 99)))


def batch(network: Network) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn((BATCH, *network.input_shape), generator=generator, dtype=torch.float64)
    return x, one_hot(torch.arange(BATCH) % 3, 3, torch.float64)


def gradients(settler: Settler, network: Network, objective: Objective, ledger: Ledger | None = None) -> list[Tensor]:
    return Contrast().gradients(network, settler.settle(network, *batch(network), objective, ledger))


def backpropagated(network: Network, objective: Objective) -> list[Tensor]:
    """The gradient of the summed objective of one bottom-up pass, by autograd; zero for what leads nowhere."""
    x, target = batch(network)
    loss = objective.value(network(x), target).sum()
    return list(torch.autograd.grad(loss, list(network.parameters()), materialize_grads=True, allow_unused=True))


def unrolled(network: Network, gamma: float, objective: Objective, steps: int = 150) -> list[Tensor]:
    """The gradient through s ← f(J(s)) iterated from zero, by autograd."""
    x, target = batch(network)
    states = [x.new_zeros(BATCH, *layer.shape) for layer in network.layers]
    for _ in range(steps):
        everything = [x, *states]
        states = [
            layer.potential.response(received(network, everything, k, gamma))
            for k, layer in enumerate(network.layers, start=1)
        ]
    loss = objective.value(states[-1], target).sum()
    return list(torch.autograd.grad(loss, list(network.parameters()), materialize_grads=True, allow_unused=True))


def received(network: Network, everything: list[Tensor], layer: int, gamma: float) -> Tensor:
    """J(s) of one layer, written out for dense couplings."""
    parts = []
    for edge in network.into(layer):
        weight, bias = edge.coupling.get_parameter("weight"), dict(edge.coupling.named_parameters()).get("bias")
        parts.append(torch.nn.functional.linear(everything[edge.source], weight, bias))
    parts += [
        gamma**edge.span * everything[edge.target] @ edge.coupling.get_parameter("weight")
        for edge in network.out_of(layer)
        if edge.feedback
    ]
    return torch.stack(parts).sum(0)


def worst(found: list[Tensor], wanted: list[Tensor]) -> float:
    gaps = [float((a - b).abs().max()) for a, b in zip(found, wanted, strict=True)]
    return max(gaps) / max(1.0, *(float(b.abs().max()) for b in wanted))


@QUICK
@given(graphs(), st.sampled_from([CrossEntropy(), SquaredError()]))
def test_dual_propagation_in_the_limit_is_back_propagation(network: Network, objective: Objective) -> None:
    assert worst(gradients(DualPropagation(beta=0.0), network, objective), backpropagated(network, objective)) < 1e-12
    assert worst(gradients(Backprop(), network, objective), backpropagated(network, objective)) < 1e-12


@FEW
@given(images(), st.sampled_from([CrossEntropy(), SquaredError()]))
def test_the_same_of_images(network: Network, objective: Objective) -> None:
    assert worst(gradients(DualPropagation(beta=0.0), network, objective), backpropagated(network, objective)) < 1e-12


@QUICK
@given(graphs(), st.sampled_from([0.0, 1.0, 0.5, 0.3]))
def test_the_error_of_a_nudge_falls_with_it(network: Network, alpha: float) -> None:
    """O(β) at most, for every α: a hundredth of the nudge leaves at most some fiftieth of the error."""
    wanted = backpropagated(network, CrossEntropy())
    errors = [
        worst(gradients(DualPropagation(beta=beta, alpha=alpha), network, CrossEntropy()), wanted)
        for beta in (1e-2, 1e-4)
    ]
    assert errors[1] < max(1e-10, errors[0] / 50)


@QUICK
@given(graphs(), st.sampled_from([DualPropagation(), Backprop(), EquilibriumPropagation(gamma=0.5)]))
def test_learning_writes_the_mean_of_what_settling_gives(network: Network, settler: Settler) -> None:
    wanted = gradients(settler, network, SquaredError())
    Contrast().learn(network, settler, *batch(network), SquaredError())
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient / BATCH, rtol=0, atol=1e-14)


@QUICK
@given(graphs())
def test_a_step_costs_what_back_propagation_costs(network: Network) -> None:
    """Every coupling up and into a product, and down unless it reads the input: 3U − U₁ per sample."""
    for settler in (DualPropagation(), Backprop()):
        ledger = Ledger()
        gradients(settler, network, CrossEntropy(), ledger)
        assert ledger.multiply_adds == BATCH * backprop_multiply_adds(network)
    every = sum(edge.coupling.get_parameter("weight").numel() for edge in network.edges)
    bottom = sum(edge.coupling.get_parameter("weight").numel() for edge in network.edges if edge.source == 0)
    assert backprop_multiply_adds(network) == 3 * every - bottom


@FEW
@given(graphs(), st.sampled_from([0.3, 1.0]))
def test_the_implicit_gradient_is_that_of_the_iteration(network: Network, gamma: float) -> None:
    relax = Sweep(max_steps=400, tolerance=1e-13)
    settler = Implicit(gamma=gamma, relax=relax, nudged=relax)
    found = gradients(settler, network, SquaredError())
    assert worst(found, unrolled(network, gamma, SquaredError())) < 1e-9


@FEW
@given(graphs(readouts=False), st.sampled_from([0.3, 1.0]))
def test_stored_phases_tend_to_the_same_gradient(network: Network, gamma: float) -> None:
    relax = Sweep(max_steps=400, tolerance=1e-14)
    settler = TwoPhase(gamma=gamma, beta=1e-4, relax=relax, nudged=relax)
    found = gradients(settler, network, SquaredError())
    assert worst(found, unrolled(network, gamma, SquaredError())) < 1e-4


@FEW
@given(graphs(), st.sampled_from([0.0, 0.5, 1.0]))
def test_every_relaxation_ends_at_one_equilibrium(network: Network, gamma: float) -> None:
    x, ends = batch(network)[0], []
    ways: list[Relaxation] = [Sweep(), Sweep(momentum=0.5), Zebra(), Synchronous(damping=0.2)]
    for way in ways:
        relax = type(way)(**{**vars(way), "max_steps": 800, "tolerance": 1e-13})
        problem = SinglePhase(network, x, gamma, Ledger())
        solution = solve(problem, problem.initial_state(), relax)
        assert bool(solution.converged.all())
        ends.append(solution.state)
        drives = network.drive(x, solution.state, gamma)
        for layer, drive, state in zip(network.layers, drives, solution.state, strict=True):
            torch.testing.assert_close(layer.potential.response(drive), state, rtol=0, atol=1e-10)
    for state in ends[1:]:
        for one, other in zip(ends[0], state, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@FEW
@given(graphs(readouts=False))
def test_the_drive_is_minus_the_slope_of_the_couplings(network: Network) -> None:
    """J(s) = −∂/∂s of the energy less its potentials, at γ = 1 and any state."""
    x = batch(network)[0]
    generator = torch.Generator().manual_seed(1)
    states = [torch.rand(BATCH, *layer.shape, generator=generator).double() * 0.8 + 0.1 for layer in network.layers]
    leaves = [state.clone().requires_grad_() for state in states]
    total = network.energy(x, State(leaves)).sum()
    total = (
        total
        - torch.stack(
            [layer.potential.value(leaf).sum() for layer, leaf in zip(network.layers, leaves, strict=True)]
        ).sum()
    )
    slopes = torch.autograd.grad(total, leaves)
    for slope, drive in zip(slopes, network.drive(x, State(states)), strict=True):
        torch.testing.assert_close(drive, -slope, rtol=0, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_a_layer_that_leads_nowhere_learns_nothing_and_disturbs_nothing(gamma: float) -> None:
    def build(*, spur: bool) -> Network:
        network = Network((3,))
        first = network.add(Dense(3, 4), Tanh())
        if spur:
            network.add({first: Dense(4, 2)}, Tanh(), feedback=False)
        network.add({first: Dense(4, 3)}, Identity())
        return filled(network, 4)

    plain, more = build(spur=False), build(spur=True)
    with torch.no_grad():
        for mine, theirs in zip(more.edges[::2], plain.edges, strict=True):
            for one, other in zip(mine.coupling.parameters(), theirs.coupling.parameters(), strict=True):
                one.copy_(other)
    relax = Sweep(max_steps=300, tolerance=1e-13)
    settler = Implicit(gamma=gamma, relax=relax, nudged=relax)
    wanted, found = gradients(settler, plain, SquaredError()), gradients(settler, more, SquaredError())
    assert worst([*found[:2], *found[4:]], wanted) < 1e-11
    assert not any(bool(gradient.any()) for gradient in found[2:4])
