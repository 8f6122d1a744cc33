"""Any energy: its minima, the gradient by two of them, and a network that is nothing else."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.energy_network import EnergyNetwork
from energy.ledger import Ledger
from energy.models import MLP
from energy.objectives import CrossEntropy, SquaredError, one_hot
from energy.relax import Flow, Relaxation, Sweep, Synchronous, Zebra, solve
from energy.relax.custom import EnergyProblem
from energy.rules import Contrast
from energy.settle import DualPropagation, EnergyTwoPhase, TwoPhase, exact_settler
from energy.settle.two_phase import PhaseContrast
from energy.state import State

FAR = 20_000
TIGHT = Synchronous(damping=0.6, max_steps=FAR, tolerance=1e-12)


def predictive_coding(x: Tensor, state: State, theta: Mapping[str, Tensor]) -> Tensor:
    """½ Σ‖s_k − tanh(A_k s_{k−1})‖²: zero at the activity of one feedforward pass."""
    below = (x, *state)
    parts = [
        (s - torch.tanh(b @ a.T)).square().sum(1) / 2 for s, b, a in zip(state, below, theta.values(), strict=False)
    ]
    return torch.stack(parts).sum(0)


def network(*sizes: int, seed: int = 0, gain: float = 0.7) -> EnergyNetwork:
    generator = torch.Generator().manual_seed(seed)
    pairs = list(itertools.pairwise(sizes))
    theta = {
        f"A{k}": gain * torch.randn(n, m, generator=generator).double() / m**0.5 for k, (m, n) in enumerate(pairs, 1)
    }
    return EnergyNetwork((sizes[0],), sizes[1:], theta, predictive_coding)


def batch(width: int = 5, classes: int = 3, size: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(size, width, generator=generator, dtype=torch.float64)
    return x, one_hot(torch.arange(size) % classes, classes, torch.float64)


def feedforward(net: EnergyNetwork, x: Tensor) -> list[Tensor]:
    states = [x]
    for weight in net.parameters():
        states.append(torch.tanh(states[-1] @ weight.T))
    return states[1:]


def backpropagated(net: EnergyNetwork, x: Tensor, target: Tensor) -> list[Tensor]:
    loss = SquaredError().value(feedforward(net, x)[-1], target).sum()
    return list(torch.autograd.grad(loss, list(net.parameters())))


@pytest.mark.parametrize("relax", [TIGHT, Flow(max_steps=FAR, tolerance=1e-13)], ids=lambda relax: relax.name)
@pytest.mark.parametrize("sizes", [(5, 3), (5, 4, 3), (5, 6, 4, 3)])
def test_the_minimum_of_predictive_coding_is_the_feedforward_pass(relax: Relaxation, sizes: tuple[int, ...]) -> None:
    net, (x, _) = network(*sizes), batch()
    found = EnergyTwoPhase(relax=relax).predict(net, x)
    assert found.solution is not None and bool(found.solution.converged.all())
    for state, wanted in zip(found.solution.state, feedforward(net, x), strict=True):
        torch.testing.assert_close(state, wanted.detach(), rtol=0, atol=1e-10)
    assert float(net.energy_of(x, found.solution.state).detach().abs().max()) < 1e-20


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("sizes", [(5, 3), (5, 4, 3), (5, 6, 4, 3)])
def test_the_contrast_tends_to_back_propagation_as_the_square_of_the_nudge(sizes: tuple[int, ...], seed: int) -> None:
    """Centered at ±β it errs by O(β²): a tenth of the nudge, a hundredth of the error."""
    net, (x, target) = network(*sizes, seed=seed), batch()
    wanted, errors = backpropagated(net, x, target), []
    for beta in (3e-2, 3e-3):
        settled = EnergyTwoPhase(relax=TIGHT, nudged=TIGHT, beta=beta).settle(net, x, target, SquaredError())
        found = Contrast().gradients(net, settled)
        errors.append(max(float((a - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True)))
    assert errors[1] < 1e-3 and 70 < errors[0] / errors[1] < 140


@pytest.mark.parametrize(
    ("kind", "order"), [(PhaseContrast.POSITIVE, 1), (PhaseContrast.NEGATIVE, 1), (PhaseContrast.CENTERED, 2)]
)
def test_the_order_in_the_nudge_of_every_contrast(kind: PhaseContrast, order: int) -> None:
    net, (x, target) = network(5, 4, 3), batch()
    wanted, errors = backpropagated(net, x, target), []
    for beta in (1e-2, 1e-3):
        settler = EnergyTwoPhase(relax=TIGHT, nudged=TIGHT, beta=beta, kind=kind)
        found = Contrast().gradients(net, settler.settle(net, x, target, SquaredError()))
        errors.append(max(float((a - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True)))
    assert 0.8 < math.log10(errors[0] / errors[1]) / order < 1.2


def test_the_gradient_by_theta_is_that_of_finite_differences() -> None:
    """dC/dθ through the minimum, by moving θ and settling again."""
    net, (x, target) = network(5, 4, 3), batch()
    settler = EnergyTwoPhase(relax=TIGHT, nudged=TIGHT, beta=1e-4)
    found = Contrast().gradients(net, settler.settle(net, x, target, SquaredError()))
    for parameter, gradient in zip(net.parameters(), found, strict=True):
        for place in ((0, 0), (1, 2)):
            ends = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    parameter[place] += step
                ends.append(float(SquaredError().value(settler.predict(net, x).output, target).sum()))
                with torch.no_grad():
                    parameter[place] -= step
            assert abs((ends[0] - ends[1]) / 2e-5 - float(gradient[place])) < 1e-6


def test_the_quadratic_energy_in_closed_form() -> None:
    """E = ½ sᵀHs − sᵀWx: s = H⁻¹Wx, and with the nudge β/2‖s − y‖², (H + β)⁻¹(Wx + βy)."""
    generator = torch.Generator().manual_seed(3)
    w, root = (torch.randn(3, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    h = root @ root.T / 3 + torch.eye(3, dtype=torch.float64)

    def energy(x: Tensor, state: State, theta: Mapping[str, Tensor]) -> Tensor:
        (s,) = state
        return (s * (s @ h)).sum(1) / 2 - (s * (x @ theta["W"].T)).sum(1)

    net, (x, target) = EnergyNetwork((3,), [3], {"W": w}, energy), batch(3)
    relax = Synchronous(damping=0.9, max_steps=FAR, tolerance=1e-14)
    settler = EnergyTwoPhase(relax=relax, nudged=relax, beta=0.5, kind=PhaseContrast.POSITIVE)
    settled = settler.settle(net, x, target, SquaredError())
    torch.testing.assert_close(settled.output, torch.linalg.solve(h, (x @ w.T).T).T, rtol=0, atol=1e-11)
    free, nudged = settled.output, torch.linalg.solve(h + 0.5 * torch.eye(3).double(), (x @ w.T + 0.5 * target).T).T
    wanted = (free - nudged).T @ x / 0.5
    torch.testing.assert_close(Contrast().gradients(net, settled)[0], wanted, rtol=0, atol=1e-10)


def test_a_frozen_parameter_gets_no_gradient_and_one_that_is_not_read_gets_zero() -> None:
    def energy(x: Tensor, state: State, theta: Mapping[str, Tensor]) -> Tensor:
        return (state[0] - x @ theta["W"].T).square().sum(1) / 2

    net = EnergyNetwork((2,), [2], {"W": torch.eye(2), "unread": torch.ones(3)}, energy)
    x, target = torch.ones(4, 2), torch.zeros(4, 2)
    Contrast().learn(net, EnergyTwoPhase(), x, target, SquaredError())
    first, unread = net.parameters()
    assert first.grad is not None and bool(first.grad.any())
    assert unread.grad is not None and not bool(unread.grad.any())
    first.requires_grad_(False)
    Contrast().learn(net, EnergyTwoPhase(), x, target, SquaredError())
    assert first.grad is None


def test_learn_is_settling_and_applying_and_writes_the_mean() -> None:
    net, (x, target) = network(5, 4, 3), batch()
    settler = EnergyTwoPhase()
    wanted = Contrast().gradients(net, settler.settle(net, x, target, SquaredError()))
    Contrast().learn(net, settler, x, target, SquaredError())
    for parameter, gradient in zip(net.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient / len(x), rtol=0, atol=1e-15)


def test_what_it_costs_is_counted() -> None:
    """Of ½‖s − Wx‖² the products with W are run once per E, and once more per ∂E/∂W; ∂E/∂s needs Wx alone."""

    def energy(x: Tensor, state: State, theta: Mapping[str, Tensor]) -> Tensor:
        return (state[0] - x @ theta["W"].T).square().sum(1) / 2

    net, ledger = EnergyNetwork((7,), [3], {"W": torch.zeros(3, 7)}, energy), Ledger()
    assert (net.edges[0].multiply_adds, net.response_multiply_adds, net.gradient_multiply_adds) == (21, 21, 42)
    relax = Synchronous(damping=0.5, max_steps=4, tolerance=0.0)
    settler = EnergyTwoPhase(relax=relax, nudged=replace(relax, max_steps=2))
    x, target = torch.ones(5, 7), torch.zeros(5, 3)
    Contrast().gradients(net, settler.settle(net, x, target, SquaredError(), ledger))
    assert ledger.sweeps == {"free": 4, "nudged": 2, "nudged_down": 2}
    assert ledger.multiply_adds_by_phase == {
        "free": 4 * 5 * 21,
        "nudged": 2 * 5 * 21,
        "nudged_down": 2 * 5 * 21,
        "products": 2 * 5 * 42,
    }


def test_the_reference_is_the_limit_of_a_small_nudge() -> None:
    net, (x, target) = network(5, 4, 3), batch()
    exact = exact_settler(EnergyTwoPhase(beta=0.2, kind=PhaseContrast.POSITIVE), torch.float64)
    found = Contrast().gradients(net, exact.settle(net, x, target, SquaredError()))
    for mine, wanted in zip(found, backpropagated(net, x, target), strict=True):
        assert float((mine - wanted).norm() / wanted.norm()) < 1e-3


def test_states_keep_the_precision_of_the_input() -> None:
    net, (x, target) = network(5, 4, 3).float(), batch()
    settled = EnergyTwoPhase().settle(net, x.bfloat16(), target.bfloat16(), SquaredError())
    assert settled.output.dtype == torch.bfloat16
    assert all(gradient.dtype == torch.float32 for gradient in Contrast().gradients(net, settled))


def test_images_are_states_too() -> None:
    def energy(x: Tensor, state: State, theta: Mapping[str, Tensor]) -> Tensor:
        hidden, output = state
        below = torch.nn.functional.conv2d(x, theta["kernel"], padding=1)
        top = hidden.flatten(1) @ theta["W"].T
        return (hidden - below).square().flatten(1).sum(1) / 2 + (output - top).square().sum(1) / 2

    theta = {"kernel": torch.randn(2, 1, 3, 3) / 3, "W": torch.randn(3, 32) / 8}
    net = EnergyNetwork((1, 4, 4), [(2, 4, 4), 3], theta, energy)
    settled = EnergyTwoPhase().settle(net, torch.randn(2, 1, 4, 4), one_hot(torch.arange(2), 3), SquaredError())
    assert [tuple(s.shape) for s in settled.solutions["free"].state] == [(2, 2, 4, 4), (2, 3)]


@pytest.mark.parametrize("relax", [Sweep(), Zebra()], ids=lambda relax: relax.name)
def test_relaxations_layer_by_layer_refuse_it(relax: Relaxation) -> None:
    net, (x, _) = network(5, 3), batch()
    with pytest.raises(ConfigurationError, match=f"relax={relax.name}: must be flow or synchronous"):
        EnergyTwoPhase(relax=relax).predict(net, x)


def test_methods_of_layers_refuse_an_energy_and_it_refuses_layers() -> None:
    net, (x, target) = network(5, 3), batch()
    for settler in (DualPropagation(), TwoPhase()):
        with pytest.raises(ConfigurationError, match="energy_two_phase"):
            settler.settle(net, x, target, SquaredError())
    layers = MLP(sizes=[4]).build((5,), 3, seed=0).double()
    with pytest.raises(ConfigurationError, match="take two_phase"):
        EnergyTwoPhase().settle(layers, x, target, SquaredError())


@pytest.mark.parametrize("wrong", [lambda x, s, t: s[0].sum(), lambda x, s, t: s[0], lambda x, s, t: 1.0])
def test_an_energy_that_is_no_number_per_sample_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="must be a tensor of one number per sample"):
        EnergyNetwork((2,), [2], {"W": torch.eye(2)}, wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"gamma": 0.5}, "gamma"), ({"beta": 0.0}, "beta"), ({"kind": PhaseContrast.RANDOM_SIGN}, "kind")],
)
def test_fields_out_of_range_are_named(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        EnergyTwoPhase(**fields)  # type: ignore[arg-type]


def test_wrong_shapes_are_refused() -> None:
    net, (x, target) = network(5, 3), batch()
    for inputs, targets in ((x[:, :-1], target), (x, target[:, :-1]), (x, target[:-1]), (x[:0], target[:0])):
        with pytest.raises(ValueError, match="must"):
            EnergyTwoPhase().settle(net, inputs, targets, SquaredError())


def test_the_weights_are_its_state_dict_and_it_prints_itself() -> None:
    net = network(5, 4, 3)
    assert list(net.state_dict()) == ["couplings.0.A1", "couplings.0.A2"]
    assert "states: layer1 4, output 3" in str(net) and "32 in all" in str(net)


def test_a_problem_alone_is_solved_without_a_network() -> None:
    """E = ½(s − x)² + ¼s⁴: the root of s³ + s = x."""

    def energy(x: Tensor, state: State, theta: Mapping[str, Tensor]) -> Tensor:
        return ((state[0] - x).square() / 2 + state[0].pow(4) / 4).sum(1)

    x = torch.tensor([[2.0], [10.0]], dtype=torch.float64)
    problem = EnergyProblem(energy, x, {})
    found = solve(problem, State([torch.zeros_like(x)]), Flow(time=0.1, max_steps=FAR, tolerance=1e-13))
    torch.testing.assert_close(found.state[0].flatten(), torch.tensor([1.0, 2.0]).double(), rtol=0, atol=1e-10)
    assert problem.name(0) == "state 0" and problem.batch == 2


def test_an_objective_that_is_frozen_is_nudged_by_its_gradient_at_the_free_output() -> None:
    """Cross-entropy: what is learnt is its gradient for a small nudge."""
    net, (x, target) = network(5, 4, 3), batch()
    settler = EnergyTwoPhase(relax=TIGHT, nudged=TIGHT, beta=1e-3)
    found = Contrast().gradients(net, settler.settle(net, x, target, CrossEntropy()))
    loss = CrossEntropy().value(feedforward(net, x)[-1], target).sum()
    for mine, wanted in zip(found, torch.autograd.grad(loss, list(net.parameters())), strict=True):
        assert float((mine - wanted).norm() / wanted.norm()) < 1e-5
