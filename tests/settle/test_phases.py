"""Stored phases: bounds of the objective, Xie–Seung's limit, coupled learning in closed form, the kinds of contrast."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.couplings import Dense
from energy.network import Network
from energy.objectives import Objective
from energy.potentials import HardSigmoid, Identity, Potential, Sigmoid, Tanh
from energy.settle.dyadic import ContrastiveHebbian
from energy.settle.settled import Settled, SettledPhases
from energy.settle.settler import Settler
from energy.settle.two_phase import CoupledLearning, PhaseContrast, TwoPhase, TwoPhaseContrastiveHebbian
from tests.settle import nets
from tests.settle.oracles import autograd, cosines, equilibrium, exact, gap, learn, move, slope

EXACT: dict[str, Any] = {"relax": nets.FIXED, "nudged": nets.FIXED}


def phases(settled: Settled) -> list[Tensor]:
    assert isinstance(settled, SettledPhases)
    return [tensor for phase in settled.phases for tensor in phase.state]


class TestBounds:
    """With F(β) = min_s E(s) + βC(s), concave in β: [F(β) − F(0)]/β ≤ C(s⁰) for β > 0 and ≥ C(s⁰) for β < 0."""

    @staticmethod
    def secants(network: Network, kind: PhaseContrast, beta: float, gamma: float) -> tuple[Tensor, Tensor]:
        x, target = nets.batch(network)
        settled = TwoPhase(kind=kind, beta=beta, gamma=gamma, **EXACT).settle(network, x, target, nets.PROXIMAL)
        assert isinstance(settled, SettledPhases)
        free = State0(network, x, gamma)
        (nudged,) = [s for name, s in settled.solutions.items() if name == "nudged"]
        signed = beta if kind is PhaseContrast.POSITIVE else -beta
        cost = nets.PROXIMAL.value(nudged.state[-1], target)
        scale = gamma ** (network.output.depth - 1)  # E_γ weighs the output layer, and its nudge with it
        total = network.energy(x, nudged.state, gamma) + signed * scale * cost
        return ((total - free) / (signed * scale)).detach(), nets.PROXIMAL.value(settled.output, target)

    @pytest.mark.parametrize("beta", [0.05, 0.4])
    @pytest.mark.parametrize("gamma", [0.4, 1.0])
    @pytest.mark.parametrize("hidden", [Identity(), HardSigmoid(), Tanh()], ids=lambda p: p.name)
    def test_positive_bounds_from_below_and_negative_from_above(
        self, hidden: Potential, gamma: float, beta: float
    ) -> None:
        network = nets.mlp(hidden, norm=0.5)
        lower, cost = self.secants(network, PhaseContrast.POSITIVE, beta, gamma)
        upper, _ = self.secants(network, PhaseContrast.NEGATIVE, beta, gamma)
        assert bool((lower < cost).all())
        assert bool((cost < upper).all())

    def test_the_one_sided_gradients_descend_their_bounds(self) -> None:
        """∂θ of [F(β) − F(0)]/β by finite differences of the bound itself: the estimator's exact object, at a
        large β."""
        for kind in (PhaseContrast.POSITIVE, PhaseContrast.NEGATIVE):
            network = nets.mlp(Tanh(), norm=0.5)
            x, target = nets.batch(network)
            stream = torch.Generator().manual_seed(1)
            parameters = list(network.parameters())
            direction = [torch.randn(p.shape, generator=stream, dtype=p.dtype) for p in parameters]
            gradient = learn(TwoPhase(kind=kind, beta=0.4, **EXACT), network, x, target, nets.PROXIMAL)
            slopes = sum(float((g * d).sum()) for g, d in zip(gradient, direction, strict=True))
            values = []
            for step in (1e-5, -2e-5):
                move(parameters, direction, step)
                values.append(float(self.secants(network, kind, 0.4, 1.0)[0].sum()))
            assert slopes == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6)


def State0(network: Network, x: Tensor, gamma: float) -> Tensor:
    from energy.state import State

    return network.energy(x, State(equilibrium(network, x, gamma)), gamma)


class TestKinds:
    def test_positive_and_negative_average_to_centered(self) -> None:
        network = nets.mlp(Tanh(), norm=0.5)
        x, target = nets.batch(network)
        grads = {
            kind: learn(TwoPhase(kind=kind, beta=0.3, **EXACT), network, x, target, nets.FROZEN)
            for kind in PhaseContrast
        }
        mean = [(p + n) / 2 for p, n in zip(grads[PhaseContrast.POSITIVE], grads[PhaseContrast.NEGATIVE], strict=True)]
        assert gap(mean, grads[PhaseContrast.CENTERED]) < 1e-11

    def test_the_random_sign_is_one_of_the_two_and_takes_both(self) -> None:
        network = nets.mlp(Tanh(), norm=0.5)
        seen = set()
        for seed in range(8):
            x, target = nets.batch(network, samples=2, seed=seed)
            found = phases(
                TwoPhase(kind=PhaseContrast.RANDOM_SIGN, beta=0.3, relax=nets.once(3), nudged=nets.once()).settle(
                    network, x, target, nets.FROZEN
                )
            )
            again = phases(
                TwoPhase(kind=PhaseContrast.RANDOM_SIGN, beta=0.3, relax=nets.once(3), nudged=nets.once()).settle(
                    network, x, target, nets.FROZEN
                )
            )
            assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
            for kind in (PhaseContrast.POSITIVE, PhaseContrast.NEGATIVE):
                other = phases(
                    TwoPhase(kind=kind, beta=0.3, relax=nets.once(3), nudged=nets.once()).settle(
                        network, x, target, nets.FROZEN
                    )
                )
                if gap(found, other) == 0:
                    seen.add(kind)
        assert seen == {PhaseContrast.POSITIVE, PhaseContrast.NEGATIVE}

    def test_the_random_sign_is_fair_even_on_images_with_an_empty_border(self) -> None:
        """Batches that differ anywhere may draw differently; the order of the samples does not matter."""
        settler = TwoPhase(kind=PhaseContrast.RANDOM_SIGN)
        stream = torch.Generator().manual_seed(0)
        signs = []
        for _ in range(400):
            x = torch.zeros(4, 1, 12, 12)
            x[:, :, 6:] = torch.randint(256, (4, 1, 6, 12), generator=stream) / 255
            signs.append(settler.sign(x))
            assert settler.sign(x.flip(0)) == signs[-1]
        assert 150 < signs.count(1.0) < 250  # five standard deviations

    def test_every_perturbed_phase_starts_from_the_free_state(self) -> None:
        """One sweep from a settled free state with a zero error moves nothing."""
        network = nets.mlp(Tanh(), norm=0.5)
        x, _ = nets.batch(network)
        settler = TwoPhase(beta=0.3, relax=nets.FIXED, nudged=nets.once())
        free = settler.predict(network, x)
        settled = settler.settle(network, x, free.output, nets.FROZEN)
        assert isinstance(settled, SettledPhases)
        assert free.solution is not None
        for phase in settled.phases:
            assert gap(list(phase.state), list(free.solution.state)) < 1e-13

    @pytest.mark.parametrize(
        "objective", [nets.FROZEN, nets.PROXIMAL, nets.LIVE, nets.CROSS], ids=["frozen", "prox", "live", "ce"]
    )
    def test_no_error_no_gradient(self, objective: Objective) -> None:
        network = nets.mlp(HardSigmoid(), norm=0.5)
        x, _ = nets.batch(network)
        settler = TwoPhase(beta=0.3, **EXACT)
        output = settler.predict(network, x).output
        target = output.softmax(-1) if objective is nets.CROSS else output
        wanted = exact(network, x, target, objective, 1.0)
        assert max(float(g.abs().max()) for g in wanted) < 1e-12
        assert max(float(g.abs().max()) for g in learn(settler, network, x, target, objective)) < 1e-12


class TestContrastiveHebbian:
    @pytest.mark.parametrize("hidden", [Tanh(), Sigmoid()], ids=lambda p: p.name)
    def test_weak_feedback_makes_it_back_propagation(self, hidden: Potential) -> None:
        """Xie & Seung 2003: with the factors γ^(k−L) the contrast differs from the gradient of ½‖s − y‖² by O(γ)."""
        network = nets.mlp(hidden, gain=1.0)
        x, target = nets.batch(network)
        wanted = autograd(network, x, target, nets.FROZEN)

        def at(gamma: float) -> list[Tensor]:
            return learn(TwoPhaseContrastiveHebbian(gamma=gamma, **EXACT), network, x, target, nets.FROZEN)

        assert slope(lambda gamma: gap(at(gamma), wanted), (1e-2, 1e-3)) == pytest.approx(1, abs=0.15)
        worst = [min(cosines(network, at(gamma), wanted)) for gamma in (0.1, 0.01, 0.001)]
        assert worst == sorted(worst)
        assert worst[-1] > 1 - 1e-5

    def test_its_gradient_is_the_derivative_of_the_energy_gap(self) -> None:
        """It descends E(clamped) − E(free), which is no function of the output alone."""
        from energy.state import State

        network = nets.mlp(Tanh(), norm=0.5)
        x, target = nets.batch(network)
        found = learn(ContrastiveHebbian(**EXACT), network, x, target, nets.FROZEN)
        stream = torch.Generator().manual_seed(1)
        parameters = list(network.parameters())
        direction = [torch.randn(p.shape, generator=stream, dtype=p.dtype) for p in parameters]
        values = []
        for step in (1e-5, -2e-5):
            move(parameters, direction, step)
            clamped, free = equilibrium(network, x, 1.0, lambda _: target), equilibrium(network, x, 1.0)
            values.append(float((network.energy(x, State(clamped)) - network.energy(x, State(free))).sum().detach()))
        along = sum(float((g * d).sum()) for g, d in zip(found, direction, strict=True))
        assert along == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6)

    def test_at_its_target_it_learns_nothing(self) -> None:
        network = nets.mlp(Tanh(), norm=0.5)
        x, _ = nets.batch(network)
        for settler in (ContrastiveHebbian(**EXACT), TwoPhaseContrastiveHebbian(**EXACT)):
            output = settler.predict(network, x).output
            assert max(float(g.abs().max()) for g in learn(settler, network, x, output, nets.FROZEN)) < 1e-12


def chain(first: float, second: float) -> Network:
    network = Network((1,))
    network.add(Dense(1, 1, bias=False), Identity())
    network.add(Dense(1, 1, bias=False), Identity())
    network.double()
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), (first, second), strict=True):
            parameter.fill_(value)
    return network


@pytest.mark.parametrize(
    ("kind", "curvature"), [(PhaseContrast.POSITIVE, 1), (PhaseContrast.NEGATIVE, -1), (PhaseContrast.CENTERED, 0)]
)
@pytest.mark.parametrize("beta", [0.01, 0.5])
def test_coupled_learning_on_a_linear_chain(kind: PhaseContrast, curvature: int, beta: float) -> None:
    """x — s — o, all linear, γ = 1: o = w₂w₁x/(1 − w₂²), s = w₁x + w₂o. Held at o ± βd, d = y − o, the hidden unit
    moves by ±βw₂d:
    g₁ = −w₂dx,  g₂ = −d(s + w₂o) − κβw₂d², κ = 1, −1, 0 for positive, negative, centred."""
    w1, w2, x, y = 0.7, 0.4, 1.3, -0.6
    o = w2 * w1 * x / (1 - w2**2)
    s, d = w1 * x + w2 * o, y - o
    settler = CoupledLearning(kind=kind, beta=beta, **EXACT)
    inputs, target = torch.tensor([[x]]).double(), torch.tensor([[y]]).double()
    inputs.fill_(x)
    target.fill_(y)
    found = learn(settler, chain(w1, w2), inputs, target, nets.FROZEN)
    assert float(found[0]) == pytest.approx(-w2 * d * x, rel=1e-10)
    assert float(found[1]) == pytest.approx(-d * (s + w2 * o) - curvature * beta * w2 * d**2, rel=1e-10)


@pytest.mark.parametrize(
    "settler",
    [
        TwoPhaseContrastiveHebbian(),
        ContrastiveHebbian(),
        CoupledLearning(),
    ],
    ids=lambda s: s.name,
)
def test_a_readout_cannot_be_clamped(settler: Settler) -> None:
    network = nets.mlp(Tanh(), readout=True)
    x, target = nets.batch(network)
    with pytest.raises(ConfigurationError, match="cannot be clamped"):
        settler.settle(network, x, target, nets.FROZEN)


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        (TwoPhase, {"beta": 0.0}, "beta"),
        (TwoPhase, {"beta": -0.1}, "beta"),
        (TwoPhase, {"gamma": 0.0}, "gamma"),
        (CoupledLearning, {"beta": 0.0}, "beta"),
        (CoupledLearning, {"kind": PhaseContrast.RANDOM_SIGN}, "kind"),
        (ContrastiveHebbian, {"beta": 0.5}, "beta"),
        (ContrastiveHebbian, {"alpha": 0.0}, "alpha"),
    ],
)
def test_ranges(kind: type[Settler], fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        kind(**fields)


@pytest.mark.parametrize("beta", [1.0, 1.5])
def test_the_negative_proximal_step_is_singular_at_one(beta: float) -> None:
    """G − βC has a minimum only for β < 1."""
    network = nets.mlp(HardSigmoid(), norm=0.5)
    x, target = nets.batch(network)
    with pytest.raises(ConfigurationError, match="beta"):
        TwoPhase(beta=beta).settle(network, x, target, nets.PROXIMAL)
    TwoPhase(beta=beta, kind=PhaseContrast.POSITIVE).settle(network, x, target, nets.PROXIMAL)
