"""γ = 0 at finite β: idempotence, symmetries, gates, block updates, failure modes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from energy.component import ConfigurationError
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective
from energy.potentials import Gated, HardSigmoid, Identity, LeakyReLU, Potential, ReLU, Sigmoid, Softplus, Tanh
from energy.relax.dyad import Dyad, NudgeForm, Nudging
from energy.relax.single_phase import SinglePhase
from energy.relax.synchronous import Synchronous
from energy.settle.dyadic import DualPropagation, Dyadic, EquilibriumPropagation
from energy.settle.feedforward import Feedforward
from energy.settle.settled import SettledDyad
from energy.state import State
from tests.settle import nets
from tests.settle.oracles import autograd, gap, learn

HIDDEN = {"relu": ReLU(), "hard_sigmoid": HardSigmoid(), "tanh": Tanh(), "softplus": Softplus()}
BUILDS = {
    "mlp": nets.mlp,
    "cnn": lambda hidden, **rest: nets.cnn(hidden, nets.POOLS["max"], **rest),
    "graph": nets.skips,
}


def settle(network: Network, objective: Objective = nets.FROZEN, *, sweeps: int = 1, **fields: Any) -> SettledDyad:
    x, target = nets.batch(network)
    form = NudgeForm.SADDLE if fields.pop("saddle", 0) else NudgeForm.ADJOINT
    settler = DualPropagation(**fields, form=form, nudged=nets.once(sweeps))
    settled = settler.settle(network, x, target, objective)
    assert isinstance(settled, SettledDyad)
    return settled


def deltas(settled: SettledDyad) -> list[Tensor]:
    return [d for d in settled.delta if d is not None]


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize(
    "objective", [nets.FROZEN, nets.LIVE, nets.PROXIMAL, nets.CROSS], ids=["frozen", "live", "prox", "ce"]
)
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_one_sweep_is_the_fixed_point_of_the_adjoint_at_its_ends(
    build: nets.Build, hidden: Potential, alpha: float, objective: Objective
) -> None:
    """α = 0 puts the mean at s⁻ = f(u), α = 1 at s⁺ = f(u): bit for bit the forward pass below the output,
    whatever β and h."""
    network = build(hidden, gain=1.5)
    x, _ = nets.batch(network)
    forward = network.activity(x)
    first = settle(network, objective, alpha=alpha, beta=0.9)
    more = settle(network, objective, sweeps=7, alpha=alpha, beta=0.9)
    for mean, rest, wanted in zip(first.mean, more.mean, forward, strict=True):
        assert torch.equal(mean, rest)
        assert torch.equal(mean, wanted)
    for delta, rest in zip(deltas(first), deltas(more), strict=True):
        assert torch.equal(delta, rest)


@pytest.mark.parametrize("hidden", [ReLU(), Tanh()], ids=["relu", "tanh"])
def test_further_sweeps_move_every_other_member_of_the_family(hidden: Potential) -> None:
    network = nets.mlp(hidden, gain=2.0)
    for alpha, saddle in ((0.5, 0), (0.0, 1), (1.0, 1), (0.25, 0)):
        one = settle(network, nets.LIVE, alpha=alpha, beta=1.0, saddle=saddle)
        many = settle(network, nets.LIVE, alpha=alpha, beta=1.0, saddle=saddle, sweeps=3)
        assert gap(deltas(many), deltas(one)) > 1e-3, (alpha, saddle)


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("form", NudgeForm)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5])
def test_swapping_the_replicas_and_the_sign_of_beta_changes_nothing(
    build: nets.Build, hidden: Potential, form: NudgeForm, alpha: float
) -> None:
    """(α, β, s⁺, s⁻) → (1 − α, −β, s⁻, s⁺) leaves F, hence every gradient, as it was; with switches taken at m,
    several sweeps too."""
    network = build(hidden, gain=1.2)
    x, target = nets.batch(network)
    for objective in (nets.PROXIMAL, nets.LIVE, nets.CROSS):
        there = DualPropagation(alpha=alpha, beta=0.6, form=form, nudged=nets.once(3))
        mirror = DualPropagation(alpha=1 - alpha, beta=-0.6, form=form, nudged=nets.once(3))
        found, other = (learn(s, network, x, target, objective) for s in (there, mirror))
        assert gap(other, found) < 1e-12


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
def test_saddle_and_adjoint_are_one_at_one_half(hidden: Potential, gamma: float) -> None:
    network = nets.mlp(hidden, gain=0.8)
    x, target = nets.batch(network)
    both = [
        learn(
            EquilibriumPropagation(gamma=gamma, beta=0.7, form=form, nudged=nets.once(4)),
            network,
            x,
            target,
            nets.PROXIMAL,
        )
        for form in NudgeForm
    ]
    assert all(torch.equal(a, b) for a, b in zip(*both, strict=True))


@pytest.mark.parametrize("hidden", [*HIDDEN.values(), Sigmoid(), LeakyReLU(slope=0.2)], ids=lambda p: p.name)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("beta", [-3.0, 1e-6, 0.3, 30.0])
def test_the_gate_is_an_average_of_the_slope(hidden: Gated, alpha: float, beta: float) -> None:
    """0 ≤ δ/h ≤ Lip(f) and δ never points against h, in every layer of a settled dyad."""
    network = nets.mlp(hidden, gain=2.0, sizes=(6, 9, 8, 7, 3))
    settled = settle(network, nets.LIVE, alpha=alpha, beta=beta)
    linear = settled.linear
    for layer in range(1, len(network.layers)):
        post = settled.delta[layer]
        assert post is not None
        above = linear[layer]
        assert above is not None
        h = above.adjoint(post)
        delta = settled.delta[layer - 1]
        assert delta is not None
        gate = delta / h
        assert bool(((gate >= 0) & (gate <= hidden.lipschitz * (1 + 1e-12))).all())


@pytest.mark.parametrize("gamma", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
def test_no_error_no_difference(hidden: Potential, gamma: float) -> None:
    """A target equal to the free output: δ ≡ 0 and a zero gradient, exactly where the error is exactly zero."""
    network = nets.mlp(hidden, gain=0.7)
    x, _ = nets.batch(network)
    settler = EquilibriumPropagation(gamma=gamma, beta=0.4, relax=nets.FIXED, nudged=nets.once(3))
    target = settler.predict(network, x).output
    settled = settler.settle(network, x, target, nets.FROZEN)
    assert isinstance(settled, SettledDyad)
    assert all(bool((d == 0).all()) for d in deltas(settled))
    assert all(bool((g == 0).all()) for g in learn(settler, network, x, target, nets.FROZEN))


def test_permuted_samples_give_permuted_states_and_the_same_gradient() -> None:
    for gamma in (0.0, 1.0):
        network = nets.cnn(HardSigmoid(), nets.POOLS["max"], gain=0.8)
        x, target = nets.batch(network, samples=5)
        order = torch.tensor([3, 0, 4, 1, 2])
        settler = EquilibriumPropagation(gamma=gamma, beta=0.4, relax=nets.once(30), nudged=nets.once(20))
        found, other = (
            settler.settle(network, x, target, nets.LIVE),
            settler.settle(network, x[order], target[order], nets.LIVE),
        )
        assert isinstance(found, SettledDyad)
        assert isinstance(other, SettledDyad)
        for a, b in zip((*found.mean, *deltas(found)), (*other.mean, *deltas(other)), strict=True):
            torch.testing.assert_close(a[order], b, rtol=1e-12, atol=1e-13)
        there = learn(settler, network, x, target, nets.LIVE)
        assert gap(learn(settler, network, x[order], target[order], nets.LIVE), there) < 1e-13


def test_permuted_hidden_units_give_permuted_gradients() -> None:
    """Renaming the units of layer 2 permutes rows of W₂, b₂ and columns of W₃ in weights and gradients alike."""
    order = torch.tensor([4, 2, 0, 3, 1])
    for gamma in (0.0, 1.0):
        network, renamed = (nets.mlp(Tanh(), gain=0.8, sizes=(6, 7, 5, 4, 3)) for _ in range(2))
        with torch.no_grad():
            for name, parameter in renamed.named_parameters():
                index, kind = name.removeprefix("couplings.").split(".")
                if index == "1":
                    parameter.copy_(parameter[order].clone())
                elif index == "2" and kind == "weight":
                    parameter.copy_(parameter[:, order].clone())
        x, target = nets.batch(network)
        settler = EquilibriumPropagation(gamma=gamma, beta=0.4, relax=nets.FIXED, nudged=nets.once(20))
        found = learn(settler, network, x, target, nets.LIVE)
        found[2], found[3], found[4] = found[2][order], found[3][order], found[4][:, order]
        assert gap(learn(settler, renamed, x, target, nets.LIVE), found) < 1e-13


class TestBlocks:
    """The saddle form at F's own level: F(s⁺, s⁻), written here from its definition, min over s⁺ and max over s⁻."""

    @staticmethod
    def objective(
        network: Network, x: Tensor, target: Tensor, plus: State, minus: State, alpha: float, beta: float
    ) -> float:
        total, below = torch.zeros(()).to(x), x
        for k, layer in enumerate(network.layers):
            difference = (plus[k] - minus[k]) / beta
            drive = network.edges[k].coupling(below)
            total = total + (layer.potential.value(plus[k]) - layer.potential.value(minus[k])).sum() / beta
            total = total - (difference * drive).sum()
            below = alpha * plus[k] + (1 - alpha) * minus[k]
        cost = alpha * nets.PROXIMAL.value(plus[-1], target) + (1 - alpha) * nets.PROXIMAL.value(minus[-1], target)
        return float((total + cost.sum()).detach())

    @pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
    @pytest.mark.parametrize("hidden", [Identity(), ReLU(), HardSigmoid(), Tanh()], ids=lambda p: p.name)
    def test_a_visit_never_raises_f_by_the_upper_replica_nor_lowers_it_by_the_lower(
        self, hidden: Potential, alpha: float
    ) -> None:
        network, beta = nets.mlp(hidden, gain=1.0), 0.7
        x, target = nets.batch(network)
        free = SinglePhase(network, x, 0.0, Ledger())
        state = free.initial_state()
        nudging = Nudging(objective=nets.PROXIMAL, target=target, beta=beta, alpha=alpha, form=NudgeForm.SADDLE)
        dyad = Dyad(network, x, 0.0, Ledger(), nudging)
        both = dyad.initial_state(state, free)
        depth = len(network.layers)

        def replicas(state: State) -> tuple[State, State]:
            mean, delta = State(state.tensors[:depth]), State(state.tensors[depth:])
            return mean + delta * ((1 - alpha) * beta), mean - delta * (alpha * beta)

        def value(plus: State, minus: State) -> float:
            return self.objective(network, x, target, plus, minus, alpha, beta)

        order = [*range(depth, 0, -1), *range(1, depth + 1)] * 3
        for k in order:
            plus, minus = replicas(both)
            both = dyad.update_layers(both, [k])
            plus_after, minus_after = replicas(both)
            rounding = 1e-11 * (1 + abs(value(plus, minus)))
            # the two blocks of a layer do not see each other: every other layer sees the mean only through J,
            # which a visit holds
            assert value(plus.replace({k - 1: plus_after[k - 1]}), minus) <= value(plus, minus) + rounding
            assert value(plus, minus.replace({k - 1: minus_after[k - 1]})) >= value(plus, minus) - rounding


class TestFailures:
    @pytest.mark.parametrize(
        ("form", "alpha", "beta"),
        [
            (NudgeForm.SADDLE, 0.0, 1.0),
            (NudgeForm.SADDLE, 0.5, 2.0),
            (NudgeForm.ADJOINT, 1.0, 1.0),
            (NudgeForm.ADJOINT, 0.5, 2.5),
            (NudgeForm.ADJOINT, 0.0, -1.0),
            (NudgeForm.ADJOINT, 0.5, math.nan),
        ],
    )
    def test_a_singular_proximal_step_is_refused(self, form: NudgeForm, alpha: float, beta: float) -> None:
        """G − β₋C is convex only for β₋ < 1, and G + β₊C for β₊ > −1."""
        network = nets.mlp(ReLU())
        x, target = nets.batch(network)
        with pytest.raises(ConfigurationError, match="beta"):
            DualPropagation(alpha=alpha, beta=beta, form=form).settle(network, x, target, nets.PROXIMAL)

    @pytest.mark.parametrize(("form", "alpha"), [(NudgeForm.SADDLE, 1.0), (NudgeForm.ADJOINT, 0.0)])
    def test_the_other_end_admits_any_positive_beta(self, form: NudgeForm, alpha: float) -> None:
        network = nets.mlp(ReLU())
        x, target = nets.batch(network)
        settled = DualPropagation(alpha=alpha, beta=50.0, form=form).settle(network, x, target, nets.PROXIMAL)
        assert bool(torch.isfinite(settled.output).all())

    def test_repeated_sweeps_of_the_asymmetric_saddle_blow_up_and_say_so(self) -> None:
        """A live error closes a loop of gain ~ β‖W‖²; with the error frozen, or in the adjoint form, there is no
        such loop."""
        network = nets.mlp(ReLU(), gain=3.0, bias=0.0)
        x, target = nets.batch(network)
        relax = nets.Sweep(max_steps=300, tolerance=1e-8)
        wild = DualPropagation(alpha=0.0, beta=0.9, form=NudgeForm.SADDLE, nudged=relax).settle(
            network, x, target, nets.LIVE
        )
        tame = DualPropagation(alpha=0.0, beta=0.9, nudged=relax).settle(network, x, target, nets.LIVE)
        assert wild.solutions["nudged"].outcome.name == "DIVERGED"
        assert wild.solutions["nudged"].layer in {layer.name for layer in network.layers}
        assert tame.solutions["nudged"].outcome.name == "CONVERGED"

    def test_an_objective_that_the_output_does_not_admit(self) -> None:
        network = nets.mlp(ReLU(), output=Tanh())
        x, target = nets.batch(network)
        for objective in (nets.PROXIMAL, nets.CROSS):
            with pytest.raises(ConfigurationError, match="Tanh"):
                DualPropagation().settle(network, x, target, objective)


def test_the_public_fields_have_ranges() -> None:
    for fields in (
        {"alpha": -0.1},
        {"alpha": 1.1},
        {"alpha": math.nan},
        {"beta": math.inf},
        {"gamma": 1.5},
        {"gamma": -1.0},
    ):
        with pytest.raises(ConfigurationError, match=next(iter(fields))):
            DualPropagation(**fields)  # pyright: ignore[reportArgumentType]
    assert issubclass(DualPropagation, Dyadic)


def test_feedforward_teaches_the_output_layer_alone_and_exactly() -> None:
    """Without feedback ∂C/∂W_L is still the product that back-propagation forms at the top; below, nothing."""
    network = nets.mlp(Tanh(), output=Sigmoid())
    x, target = nets.batch(network)
    found, wanted = learn(Feedforward(), network, x, target, nets.FROZEN), autograd(network, x, target, nets.FROZEN)
    assert gap(found[-2:], wanted[-2:]) < 1e-14
    assert all(bool((g == 0).all()) for g in found[:-2])


def test_all_layers_at_once_need_as_many_steps_as_there_are_layers() -> None:
    """The error descends one layer an all-at-once step: δ of layer k is zero until step L − k + 1, and exact from
    then on."""
    network = nets.mlp(Tanh(), gain=1.3)
    x, target = nets.batch(network)
    wanted = autograd(network, x, target, nets.FROZEN)
    depth = len(network.layers)
    for steps in range(1, depth + 1):
        relax = Synchronous(max_steps=steps, tolerance=0.0)
        settled = DualPropagation(alpha=0.0, beta=1e-7, nudged=relax).settle(network, x, target, nets.FROZEN)
        assert isinstance(settled, SettledDyad)
        for k, delta in enumerate(settled.delta, start=1):
            assert delta is not None
            assert bool((delta == 0).all()) == (k < depth - steps + 1)
    whole = DualPropagation(alpha=0.0, beta=1e-7, nudged=Synchronous(max_steps=depth, tolerance=0.0))
    assert gap(learn(whole, network, x, target, nets.FROZEN), wanted) < 1e-6
