"""γ = 0: how fast dual propagation meets back-propagation as β → 0, and where it is exact."""

from __future__ import annotations

import pytest
import torch

from energy.network import Network
from energy.objectives import Nudge, Objective, SquaredError
from energy.potentials import HardSigmoid, Identity, LeakyReLU, Potential, ReLU, Sigmoid, Softplus, Tanh
from energy.relax.dyad import NudgeForm
from energy.settle.backprop import Backprop
from energy.settle.dyadic import DualPropagation, Implicit
from energy.settle.settler import Settler
from tests.settle import nets
from tests.settle.oracles import autograd, gap, learn, slope

SMOOTH = {"tanh": Tanh(), "sigmoid": Sigmoid(), "softplus": Softplus()}
NETWORKS = {
    "mlp": lambda hidden: nets.mlp(hidden, gain=1.3),
    "cnn_max": lambda hidden: nets.cnn(hidden, nets.POOLS["max"], gain=1.3),
    "graph": lambda hidden: nets.skips(hidden, gain=1.3),
}
OBJECTIVES = {"proximal": nets.PROXIMAL, "frozen": nets.FROZEN, "live": nets.LIVE, "cross_entropy": nets.CROSS}


def error(
    network: Network,
    objective: Objective,
    *,
    alpha: float,
    beta: float,
    form: NudgeForm = NudgeForm.ADJOINT,
    sweeps: int = 1,
) -> float:
    x, target = nets.batch(network)
    settler = DualPropagation(alpha=alpha, beta=beta, form=form, nudged=nets.once(sweeps))
    return gap(learn(settler, network, x, target, objective), autograd(network, x, target, objective))


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("hidden", SMOOTH.values(), ids=SMOOTH)
@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_the_secant_is_of_second_order_when_centered_and_of_first_when_not(
    build: nets.Build, hidden: Potential, objective: Objective
) -> None:
    network = build(hidden)
    for alpha, order in ((0.0, 1), (0.5, 2), (1.0, 1)):
        for form in NudgeForm:
            found = slope(lambda b, a=alpha, f=form: error(network, objective, alpha=a, beta=b, form=f), (1e-2, 1e-3))
            assert found == pytest.approx(order, abs=0.1), (alpha, form)


def test_the_interior_of_the_adjoint_family_is_of_first_order_away_from_one_half() -> None:
    """r₊ ≠ r₋ leaves the average of f′ off centre, at every α but ½."""
    network = nets.mlp(Tanh(), gain=1.3)
    found = slope(lambda b: error(network, nets.FROZEN, alpha=0.25, beta=b), (1e-2, 1e-3))
    assert found == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("settler", [Backprop(), Implicit(gamma=0.0), DualPropagation(beta=0.0)], ids=lambda s: s.name)
@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_the_limit_itself_is_back_propagation(build: nets.Build, settler: Settler) -> None:
    for objective in (nets.FROZEN, nets.PROXIMAL, nets.CROSS):
        network = build(Tanh())
        x, target = nets.batch(network)
        assert gap(learn(settler, network, x, target, objective), autograd(network, x, target, objective)) < 1e-14


def kink_distance(network: Network, objective: Objective, kinks: tuple[float, ...]) -> float:
    """min |u − kink| / |∂C/∂u| over the hidden units of a batch: below this β no unit's dyad straddles a kink."""
    x, target = nets.batch(network)
    least, states, drives = float("inf"), [x], []
    for k, layer in enumerate(network.layers, start=1):
        drives.append(sum(edge.coupling(states[edge.source]) for edge in network.into(k)))
        states.append(layer.potential.response(drives[-1]))
    errors = torch.autograd.grad(objective.value(states[-1], target).sum(), states[1:-1])
    for drive, h in zip(drives[:-1], errors, strict=True):
        for kink in kinks:
            least = min(least, float(((drive.detach() - kink).abs() / h.abs().clamp_min(1e-12)).min()))
    return least


@pytest.mark.parametrize(
    ("hidden", "kinks"),
    [(ReLU(), (0.0,)), (HardSigmoid(), (0.0, 1.0)), (LeakyReLU(slope=0.1), (0.0,))],
    ids=["relu", "hard_sigmoid", "leaky_relu"],
)
@pytest.mark.parametrize("build", [NETWORKS["mlp"], NETWORKS["cnn_max"]], ids=["mlp", "cnn"])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_piecewise_linear_units_are_exact_below_the_kink_threshold(
    build: nets.Build, hidden: Potential, kinks: tuple[float, ...], alpha: float
) -> None:
    """Below it every secant is the tangent, so one sweep with a frozen error is back-propagation to rounding."""
    network = build(hidden)
    threshold = kink_distance(network, nets.FROZEN, kinks)
    below = error(network, nets.FROZEN, alpha=alpha, beta=0.9 * threshold)
    above = error(network, nets.FROZEN, alpha=alpha, beta=1e4 * threshold)
    assert below < 1e-13
    assert above > 1e-4


@pytest.mark.parametrize("hidden", [ReLU(), Tanh()], ids=["relu", "tanh"])
def test_the_saddle_away_from_one_half_stays_of_first_order_even_below_the_kink_threshold(hidden: Potential) -> None:
    """Its mean is f(u) + (2α − 1) f′(u) βh: the error leaks into the forward signal, which a further sweep then
    carries."""
    network = nets.mlp(hidden, gain=1.3)
    threshold = kink_distance(network, nets.LIVE, (0.0,)) if isinstance(hidden, ReLU) else 1e-2
    for alpha in (0.0, 0.25, 1.0):

        def at(beta: float, alpha: float = alpha) -> float:
            return error(network, nets.LIVE, alpha=alpha, beta=beta, form=NudgeForm.SADDLE, sweeps=2)

        assert slope(at, (threshold / 10, threshold / 100)) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("beta", [-2.0, 0.1, 1.0, 7.0])
@pytest.mark.parametrize("build", [nets.mlp, nets.skips], ids=["chain", "graph"])
def test_linear_networks_with_a_linearized_output_are_exact_at_any_beta(
    build: nets.Build, alpha: float, beta: float
) -> None:
    network = build(Identity())
    assert error(network, nets.FROZEN, alpha=alpha, beta=beta) < 1e-14
    if alpha in {0.0, 0.5, 1.0}:
        assert error(network, nets.LIVE, alpha=alpha, beta=beta) < 1e-14


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_the_saddle_is_exact_on_linear_networks_only_at_one_half(beta: float) -> None:
    network = nets.mlp(Identity())
    assert error(network, nets.FROZEN, alpha=0.5, beta=beta, form=NudgeForm.SADDLE) < 1e-14
    assert error(network, nets.FROZEN, alpha=0.0, beta=beta, form=NudgeForm.SADDLE) > 1e-2 * beta


@pytest.mark.parametrize("beta", [0.1, 1.0, 1.9])
def test_the_proximal_output_scales_a_linear_networks_gradient_by_its_closed_form(beta: float) -> None:
    """δ_L = (y − u)/((1 + β₊)(1 − β₋)), all below is linear in it, and the hidden means are those of the forward
    pass."""
    network = nets.mlp(Identity())
    x, target = nets.batch(network)
    for alpha in (0.0, 0.5):  # adjoint: β₊ = (1 − α)β, β₋ = αβ
        found = learn(DualPropagation(alpha=alpha, beta=beta), network, x, target, nets.PROXIMAL)
        scale = (1 + (1 - alpha) * beta) * (1 - alpha * beta)
        assert gap([g * scale for g in found], autograd(network, x, target, nets.PROXIMAL)) < 1e-14


def test_beta_is_per_sample_and_does_not_know_the_batch() -> None:
    """Objectives are summed: the gradient of a batch is the sum of its samples' gradients at any β."""
    network = nets.mlp(ReLU(), gain=1.3)
    x, target = nets.batch(network, samples=5)
    for settler in (DualPropagation(beta=1.0), DualPropagation(beta=1.0, alpha=0.0, nudged=nets.once(3))):
        together = learn(settler, network, x, target, nets.LIVE)
        apart = [learn(settler, network, x[n : n + 1], target[n : n + 1], nets.LIVE) for n in range(5)]
        assert gap(together, [torch.stack(parts).sum(0) for parts in zip(*apart, strict=True)]) < 1e-14


def test_any_objective_of_ones_own_is_linearized() -> None:
    class Quartic(SquaredError, name=""):
        nudge: Nudge = Nudge.FROZEN

        def value(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return (output - target).pow(4).sum(1) / 4

        def gradient(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return (output - target).pow(3)

    network = nets.mlp(Tanh(), gain=1.3)
    assert slope(lambda b: error(network, Quartic(), alpha=0.5, beta=b), (1e-2, 1e-3)) == pytest.approx(2, abs=0.1)
