"""The energy of a graph and its drive: one is the derivative of the other, at every gain, with and without skips."""

import math

import pytest
import torch
from torch import Tensor, nn

from energy.couplings import Convolution, Coupling, Dense, Module, Skip
from energy.ledger import Ledger
from energy.network import Network
from energy.pooling import AveragePool, MaxPool
from energy.potentials import HardSigmoid, Identity, Potential, ReLU, Sigmoid, Softmax, Softplus, Tanh
from energy.relax.single_phase import SinglePhase
from energy.relax.solution import Outcome
from energy.relax.solver import solve
from energy.relax.sweep import Sweep
from energy.state import State
from energy.stream import stream

GAMMAS = (1.0, 0.5, 0.2)


def draw(*shape: int, key: str = "x") -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=stream(0, f"test/{key}"))


def filled(network: Network, scale: float = 0.3) -> Network:
    network.double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(scale * draw(*parameter.shape, key=name) / max(1, parameter[0].numel()) ** 0.5)
    return network


def graph() -> Network:
    """Convolutions, both poolings, a skip over two layers, a skip without weights, a curved coupling, a dense read of
    two layers."""
    network = Network((2, 6, 6))
    stem = network.add(Convolution(2, 3, 3, padding=1, pool=MaxPool(2)), Tanh())
    inner = network.add(Convolution(3, 3, 3, padding=1), Softplus())
    block = network.add({inner: Convolution(3, 3, 1), stem: Skip()}, Sigmoid())
    curved = network.add(Module(nn.Sequential(nn.Flatten(), nn.Linear(27, 4), nn.Tanh())), Tanh())
    network.add({curved: Dense(4, 3), stem: Dense(27, 3), block: Dense(27, 3)}, Identity())
    return filled(network, 1.0)


def states(network: Network, batch: int = 3) -> State:
    """A point inside every box."""
    drives = [draw(batch, *layer.shape, key=layer.name) for layer in network.layers]
    return State(layer.potential.response(a) for layer, a in zip(network.layers, drives, strict=True))


@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_drive_is_the_slope_of_the_energy(gamma: float) -> None:
    """∂[E_γ − Σ γ^(d−1) G]/∂s_k = −γ^(d_k − 1) J_k, so an edge over `span` layers speaks down with γ^span."""
    network = graph()
    x = draw(3, 2, 6, 6)
    state = states(network).map(lambda t: t.requires_grad_())
    alone = sum(
        (gamma ** (layer.depth - 1) * layer.potential.value(s) for layer, s in zip(network.layers, state, strict=True)),
        torch.zeros(3, dtype=torch.float64),
    )
    slopes = torch.autograd.grad((network.energy(x, state, gamma) - alone).sum(), state.tensors)
    for layer, slope, drive in zip(network.layers, slopes, network.drive(x, state, gamma), strict=True):
        torch.testing.assert_close(-slope / gamma ** (layer.depth - 1), drive.detach())


def test_depth_is_the_longest_path_and_gains_its_differences() -> None:
    network = graph()
    assert [layer.depth for layer in network.layers] == [1, 2, 3, 4, 5]
    spans = {(e.source, e.target): e.span for e in network.edges}
    assert spans == {(0, 1): 1, (1, 2): 1, (2, 3): 1, (1, 3): 2, (3, 4): 1, (4, 5): 1, (1, 5): 4, (3, 5): 2}
    for edge in network.edges:
        assert edge.gain(0.5) == (0.5**edge.span if edge.source else 0)
        assert edge.gain(0.0) == 0
        assert edge.gain(1.0) == (1 if edge.source else 0)


def test_layers_of_one_color_are_not_joined() -> None:
    for network in (graph(), chain(Tanh())):
        colors = SinglePhase(network, torch.zeros(1, *network.input_shape), 1.0, Ledger()).colors
        assert sorted(k for group in colors for k in group) == list(range(1, len(network.layers) + 1))
        for group in colors:
            assert not any(e.source in group and e.target in group for e in network.edges)
    assert len(colors) == 2  # a chain needs two


def chain(potential: Potential, scale: float = 0.3) -> Network:
    network = Network((4,))
    for k in range(3):
        network.add(Dense(4 if k == 0 else 5, 5), potential)
    network.add(Dense(5, 2), Identity())
    return filled(network, scale)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("potential", [Tanh(), Sigmoid(), Softplus(), Identity()])
def test_the_energy_is_flat_at_an_equilibrium(potential: Potential, gamma: float) -> None:
    network, x = chain(potential), draw(3, 4)
    problem = SinglePhase(network, x, gamma, Ledger())
    solution = solve(problem, problem.initial_state(), Sweep(max_steps=500, tolerance=1e-14, check_every=1))
    assert solution.outcome is Outcome.CONVERGED
    state = solution.state.map(lambda t: t.clone().requires_grad_())
    for slope in torch.autograd.grad(network.energy(x, state, gamma).sum(), state.tensors):
        assert float(slope.abs().max()) < 1e-12


def test_in_a_box_the_energy_only_rises_inwards() -> None:
    """Karush–Kuhn–Tucker: flat inside, not falling towards the inside at a bound."""
    network, x = chain(HardSigmoid(), 1.5), draw(40, 4, key="many")
    problem = SinglePhase(network, x, 1.0, Ledger())
    solution = solve(problem, problem.initial_state(), Sweep(max_steps=2000, tolerance=1e-14, check_every=1))
    assert solution.outcome is Outcome.CONVERGED
    state = solution.state.map(lambda t: t.clone().requires_grad_())
    slopes = torch.autograd.grad(network.energy(x, state, 1.0).sum(), state.tensors)
    units = torch.cat([t.detach().flatten() for t in state.tensors[:-1]])
    slope = torch.cat([t.flatten() for t in slopes[:-1]])
    low, high = units == 0, units == 1
    inside = ~low & ~high
    assert min(int(low.sum()), int(high.sum()), int(inside.sum())) > 20  # each case does occur
    assert float(slope[inside].abs().max()) < 1e-12
    assert bool((slope[low] >= -1e-12).all())
    assert bool((slope[high] <= 1e-12).all())


def test_the_bottom_up_pass_is_the_equilibrium_without_feedback() -> None:
    network, x = graph(), draw(3, 2, 6, 6)
    state = network.activity(x)
    drives = network.drive(x, state, 0.0)
    for layer, s, a in zip(network.layers, state, drives, strict=True):
        torch.testing.assert_close(s, layer.potential.response(a))
    torch.testing.assert_close(network(x), state[-1])


def test_energy_by_hand() -> None:
    """1 – 1 – 1 with w₁ = 2, b₁ = ½, w₂ = 3: E = s₁²/2 − s₁(2x + ½) + γ(s₂²/2 − 3 s₁ s₂)."""
    network = Network((1,))
    network.add(Dense(1, 1), Identity())
    network.add(Dense(1, 1), Identity())
    network.double()
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), (2.0, 0.5, 3.0, 0.0), strict=True):
            parameter.fill_(value)
    x, s, t = (torch.full((1, 1), v, dtype=torch.float64) for v in (1.5, -0.7, 0.4))
    for gamma in (1.0, 0.25):
        expected = 0.7**2 / 2 + 0.7 * 3.5 + gamma * (0.4**2 / 2 + 3 * 0.7 * 0.4)
        assert network.energy(x, State((s, t)), gamma).item() == pytest.approx(expected)
    assert network.drive(x, State((s, t)), 0.25)[0].item() == pytest.approx(3.5 + 0.25 * 3 * 0.4)


def test_a_readout_is_outside_the_dynamics() -> None:
    network = Network((4,))
    network.add(Dense(4, 5), Tanh())
    network.add(Dense(5, 3), Identity(), feedback=False)
    filled(network)
    x, state = draw(2, 4), states(network, 2)
    moved = state.replace({1: state[1] + 1})
    assert network.readout(2) and not network.readout(1)
    torch.testing.assert_close(network.energy(x, state), network.energy(x, moved))
    torch.testing.assert_close(network.drive(x, state)[0], network.drive(x, moved)[0])
    assert network.edges[1].gain(1.0) == 0


def test_permuted_units_give_permuted_states() -> None:
    """Renaming the units of a hidden layer changes nothing else."""
    network, x, order = chain(Tanh()), draw(3, 4), torch.tensor([2, 0, 4, 1, 3])
    before = network.activity(x)
    first, second = network.get_parameter("couplings.0.weight"), network.get_parameter("couplings.1.weight")
    with torch.no_grad():
        first.copy_(first[order].clone())
        bias = network.get_parameter("couplings.0.bias")
        bias.copy_(bias[order].clone())
        second.copy_(second[:, order].clone())
    after = network.activity(x)
    torch.testing.assert_close(after[0], before[0][:, order])
    torch.testing.assert_close(after[-1], before[-1])


@pytest.mark.parametrize("gamma", [0.0, -1.0, math.nan])
def test_the_energy_needs_a_gain(gamma: float) -> None:
    network = chain(Tanh())
    with pytest.raises(ValueError, match=r"gamma=.*above 0"):
        network.energy(draw(3, 4), states(network), gamma)


@pytest.mark.parametrize(
    ("x", "target", "words"),
    [
        (torch.zeros(3, 5), None, r"x has shape \(3, 5\): must be \(B, 4\) with B ≥ 1"),
        (torch.zeros(4), None, r"x has shape \(4,\)"),
        (torch.zeros(0, 4), None, r"B ≥ 1"),
        (torch.zeros(3, 4, dtype=torch.uint8), None, r"x is torch.uint8: must be floating point"),
        (torch.zeros(3, 4), torch.zeros(3), r"target has shape \(3,\): must be \(B, 2\)"),
        (torch.zeros(3, 4), torch.zeros(3, 3), r"target has shape \(3, 3\)"),
        (torch.zeros(3, 4), torch.zeros(2, 2), r"target has 2 samples and x 3"),
        (torch.zeros(3, 4), torch.zeros(3, 2, dtype=torch.int64), r"target is torch.int64"),
    ],
)
def test_wrong_batches(x: Tensor, target: Tensor | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        chain(Tanh()).validate_batch(x, target)


def test_wrong_graphs() -> None:
    network = Network((4,))
    network.add(Dense(4, 5), ReLU())
    cases: list[tuple[Coupling | dict[int, Coupling], str]] = [
        (Dense(4, 3), r"cannot read a layer of shape \(5,\)"),
        ({1: Dense(5, 3), 0: Dense(4, 2)}, r"couplings into layer 2 disagree on its shape"),
        ({3: Dense(5, 3)}, r"layer 2 reads layers \[3\]: each must be one of 0 … 1"),
        ({-1: Dense(5, 3)}, r"layer 2 reads layers \[-1\]"),
        ({}, r"layer 2 reads layers \[\]"),
    ]
    for couplings, words in cases:
        with pytest.raises(ValueError, match=words):
            network.add(couplings, ReLU())
    assert len(network.layers) == len(network.edges) == len(network.couplings) == 1  # nothing half added


def test_average_pooling_and_softmax_take_part() -> None:
    """Softmax below the output, on a pooled image: the energy is still the one whose slope is the drive."""
    network = Network((1, 4, 4))
    network.add(Convolution(1, 2, 3, padding=1, pool=AveragePool(2)), Tanh())
    network.add(Dense(8, 4), Softmax())
    network.add(Dense(4, 2), Identity())
    filled(network, 1.0)
    x = draw(3, 1, 4, 4)
    problem = SinglePhase(network, x, 1.0, Ledger())
    solution = solve(problem, problem.initial_state(), Sweep(max_steps=500, tolerance=1e-13, check_every=1))
    state = solution.state
    lowest = network.energy(x, state)
    for key in range(20):
        rival = state[1] + 0.05 * (draw(3, 4, key=f"rival{key}").softmax(-1) - state[1])
        assert bool((network.energy(x, state.replace({1: rival})) >= lowest - 1e-12).all())
