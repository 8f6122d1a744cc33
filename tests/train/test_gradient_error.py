"""One cause is made to dominate on purpose, and the budget of the error must charge it."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from energy.analysis.error_parts import error_parts
from energy.analysis.gradient_error import ADVICE, GradientError, gradient_error
from energy.component import ConfigurationError
from energy.couplings import Convolution, Dense
from energy.couplings.normalization import BatchNorm
from energy.errors import NonFiniteError
from energy.feedback import Random
from energy.network import Network
from energy.objectives import Objective
from energy.pooling import AdaptiveMaxPool, MaxPool, Pool
from energy.potentials import HardSigmoid, Identity, Tanh
from energy.relax.sweep import Sweep
from energy.rules.contrast import Contrast
from energy.rules.softhebb import SoftHebb
from energy.settle.backprop import Backprop
from energy.settle.dyadic import ContrastiveHebbian, DualPropagation, EquilibriumPropagation, Implicit
from energy.settle.energy_phases import EnergyTwoPhase
from energy.settle.predictive_ep import PredictiveCodingEP
from energy.settle.settler import Settler
from energy.settle.spiking import Spiking
from energy.settle.two_phase import CoupledLearning, PhaseContrast, TwoPhase
from energy.stream import stream
from energy.testing import small
from tests.settle import nets
from tests.settle.oracles import exact, gap

REST = Sweep(max_steps=400, tolerance=1e-12, check_every=1)
ONE = nets.once(1)
SETTLED = EquilibriumPropagation(beta=1e-3, relax=REST, nudged=REST)
FAR = 6.0  # a target this far away changes winners

Batch = tuple[Network, Tensor, Tensor]


def chain(norm: float = 0.45, dtype: torch.dtype = torch.float64) -> Batch:
    network = nets.mlp(Tanh(), sizes=(6, 8, 8, 4), norm=norm, bias=0.3)
    x, target = nets.batch(network, samples=8)
    return network.to(dtype), x.to(dtype), target.to(dtype)


def narrow() -> Batch:
    """Weights in float32 under activities in bfloat16."""
    network, x, target = chain(dtype=torch.float32)
    return network, x.bfloat16(), target.bfloat16()


def pooled(pool: Pool) -> Batch:
    """Units between their bounds: linear but for the winners, so that the contrast of ±β is exact until one changes."""
    network = nets.pooled(HardSigmoid(), pool, norm=0.2)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.full_like(parameter, 0.5) if name.endswith("bias") else parameter)
    x, target = nets.batch(network, samples=8)
    return network, x, FAR * target


def found(settler: Settler, given: Batch, objective: Objective = nets.FROZEN) -> GradientError:
    return gradient_error(given[0], settler, Contrast(), objective, given[1], given[2])


def check_dominant(result: GradientError, cause: str, least: float = 0.9) -> None:
    """The named cause has nearly all of the error, of the whole and of every layer, and the shares add up."""
    assert result.cause == cause and result.advice == ADVICE[cause]
    for one in (result, *result.layers.values()):
        assert one.relative_error is not None and one.relative_error > 1e-3 and one.cause == cause
        shares = {name: part.share for name, part in one.parts.items() if part.share is not None}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-9)
        assert shares[cause] == max(shares.values()) >= least
        assert _size(one.parts["unexplained"]) <= 0.1 * one.relative_error


def _size(part: Any) -> float:
    assert part.size is not None
    return part.size


NUDGED = replace(SETTLED, beta=1.5)
CASES: dict[str, tuple[str, Settler, Callable[[], Batch], Objective]] = {
    "nudge of a dyad": ("nudge", NUDGED, chain, nets.LIVE),
    "nudge of two phases": ("nudge", TwoPhase(beta=0.5, relax=REST, nudged=REST), chain, nets.LIVE),
    "nudge of one phase": (
        "nudge",
        TwoPhase(beta=0.5, kind=PhaseContrast.POSITIVE, relax=REST, nudged=REST),
        chain,
        nets.FROZEN,
    ),
    "mean, of one sweep": ("mean", replace(SETTLED, relax=ONE), lambda: chain(0.6), nets.FROZEN),
    "mean, of two sweeps": ("mean", replace(SETTLED, relax=nets.once(2)), lambda: chain(0.6), nets.FROZEN),
    "difference": ("difference", replace(SETTLED, nudged=ONE), lambda: chain(0.6), nets.FROZEN),
    "nudged phases": ("difference", TwoPhase(beta=1e-3, relax=REST, nudged=ONE), lambda: chain(0.6), nets.FROZEN),
    "switches": ("switches", TwoPhase(beta=0.5, relax=REST, nudged=REST), lambda: pooled(MaxPool(2)), nets.FROZEN),
    "adaptive switches": (
        "switches",
        TwoPhase(beta=0.5, relax=REST, nudged=REST),
        lambda: pooled(AdaptiveMaxPool(2)),
        nets.FROZEN,
    ),
    "rounding": (
        "rounding",
        TwoPhase(beta=1e-7, relax=REST, nudged=REST),
        lambda: chain(dtype=torch.float32),
        nets.FROZEN,
    ),
    "rounding in bfloat16": (
        "rounding",
        replace(SETTLED, beta=1e-3),
        narrow,
        nets.FROZEN,
    ),
    "clamp": ("clamp", ContrastiveHebbian(relax=REST, nudged=REST), lambda: chain(0.6), nets.FROZEN),
}


@pytest.mark.parametrize("name", CASES)
def test_the_dominating_cause_is_charged(name: str) -> None:
    cause, settler, given, objective = CASES[name]
    check_dominant(found(settler, given(), objective), cause)


@pytest.mark.parametrize("name", CASES)
def test_the_parts_add_up_to_the_distance_from_a_dense_solve(name: str) -> None:
    """The exact gradient is that of a linear solve in float64, which knows nothing of relaxations."""
    _, settler, given_batch, objective = CASES[name]
    network, x, target = given_batch()
    split = error_parts(network, settler, Contrast(), objective, x, target)
    given = Contrast().gradients(network, settler.settle(network, x, target, objective))
    total = [torch.stack(one).sum(0) for one in zip(*split.parts.values(), strict=True)]
    for e, g, wanted in zip(total, given, split.exact, strict=True):
        torch.testing.assert_close(e, g.double() - wanted, rtol=1e-12, atol=1e-12)
    dense = exact(network.double(), x.double(), target.double(), objective, 1.0)
    assert gap(split.exact, dense) < 1e-9


def test_two_causes_are_both_charged() -> None:
    result = found(replace(NUDGED, relax=ONE), chain(1.0), nets.LIVE)
    for cause in ("mean", "nudge"):
        assert _size(result.parts[cause]) > 0.1 > 1000 * _size(result.parts["unexplained"])
    sides = found(TwoPhase(beta=0.5, kind=PhaseContrast.POSITIVE, relax=REST, nudged=REST), pooled(MaxPool(2)))
    assert min(_size(sides.parts[cause]) for cause in ("switches", "nudge")) > 0.02


@pytest.mark.parametrize(
    "settler", [Implicit(relax=REST, nudged=REST), Implicit(gamma=0.3, relax=REST, nudged=REST), Backprop()]
)
def test_an_exact_gradient_has_no_cause(settler: Settler) -> None:
    result = found(settler, chain())
    assert result.cause is None and result.advice == "" and all(one.cause is None for one in result.layers.values())
    assert result.relative_error is not None and result.relative_error < 1e-9
    assert "No cause is worth a change." in str(result)


def test_the_part_of_the_nudge_falls_with_the_square_of_beta() -> None:
    sizes = [_size(found(DualPropagation(beta=beta), chain()).parts["nudge"]) for beta in (0.1, 0.01)]
    assert sizes[0] / sizes[1] == pytest.approx(100, rel=0.05)
    one_sided = [_size(found(DualPropagation(beta=b, alpha=0.0), chain()).parts["nudge"]) for b in (0.1, 0.01)]
    assert one_sided[0] / one_sided[1] == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize(
    "settler", [DualPropagation(beta=1e-3, feedback=Random()), replace(SETTLED, feedback=Random())]
)
def test_feedback_alignment_is_charged_to_its_weights(settler: Settler) -> None:
    given = chain()
    settler.attach_feedback(given[0], seed=0)
    result = found(settler, given)
    assert result.cause == "feedback_weights"
    assert _size(result.parts["unexplained"]) < 1e-3
    shares = {name: part.share for name, part in result.layers["layer1"].parts.items() if part.share is not None}
    assert shares["feedback_weights"] > 0.9


def test_coupled_learning_is_charged_to_its_clamp_at_any_beta() -> None:
    result = found(CoupledLearning(beta=1e-3, relax=REST, nudged=REST), chain(0.7))
    assert result.cause == "clamp" and result.relative_error is not None
    assert _size(result.parts["unexplained"]) < 0.01 * result.relative_error


def test_what_no_remedy_explains_is_said() -> None:
    """Predictive coding has a nudge to lower; a target that is not the objective's is no cause in the list."""
    result = found(PredictiveCodingEP(beta=2.0), chain())
    assert result.cause == "nudge" and _size(result.parts["unexplained"]) < 0.1 * _size(result.parts["nudge"])

    class Halved(Backprop, name=""):
        def settle(self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Any = None) -> Any:
            return super().settle(network, x, 0.5 * target, objective, ledger)

    other = found(Halved(), chain())
    assert other.cause == "unexplained" and other.parts["unexplained"].share == pytest.approx(1)
    assert "no setting of this settler" in str(other)


def test_an_energy_of_ones_own_is_judged() -> None:
    rest = replace(EnergyTwoPhase().relax, max_steps=600, tolerance=1e-12)
    settler = EnergyTwoPhase(beta=0.3, kind=PhaseContrast.POSITIVE, relax=rest, nudged=rest)
    check_dominant(found(settler, (small.coding(), *small.batch()), nets.FROZEN), "nudge")


def bistable() -> Batch:
    """Two units that hold each other up or down, pushed by sums that cancel to a few digits of float32: rounding
    decides the side of some samples, and only one of the sides is that of float64."""
    network = Network((64,))
    network.add(Dense(64, 1), Tanh())
    network.add(Dense(1, 2), Tanh())
    network.double()
    weight = torch.randn(1, 64, generator=stream(0, "weight")).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.get_parameter("couplings.0.weight").copy_(weight)
        network.get_parameter("couplings.1.weight").fill_(1.5)
    x = torch.randn(48, 64, generator=stream(1, "x")).double()
    x = (x - (x @ weight.T) * weight / weight.square().sum()).float()
    target = torch.rand(48, 2, generator=stream(2, "target"))
    return network.float(), x, target


def test_samples_that_rounding_leads_to_another_equilibrium_have_a_part_of_their_own() -> None:
    network, x, target = bistable()
    settler = EquilibriumPropagation(beta=1e-3, relax=REST, nudged=REST)
    narrow_output = settler.predict(network, x).output.double()
    wide_output = settler.predict(network.double(), x.double()).output
    network.float()
    up_or_down = narrow_output.abs().amin(1) > 0.5  # the others are still between the two
    moved = (narrow_output * wide_output).amin(1) < 0
    assert 3 < int((moved & up_or_down).sum()) < int(up_or_down.sum()) - 3
    check_dominant(found(settler, (network, x[up_or_down], target[up_or_down])), "other_equilibrium")
    moved |= ~up_or_down
    stays = found(settler, (network, x[~moved], target[~moved]))
    assert "other_equilibrium" not in stays.parts and stays.relative_error is not None
    assert stays.relative_error < 0.01


@pytest.mark.parametrize("training", [False, True])
def test_nothing_of_the_network_changes(training: bool) -> None:
    network, x, target = chain(1.2)
    network.train(training)
    settler = EquilibriumPropagation(keep_contracting=0.3, warm_starts=64)
    settler.attach_feedback(network, seed=0)
    Contrast().learn(network, settler, x, target, nets.FROZEN)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    slopes = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    found(settler, (network, x, target))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    after = [p.grad for p in network.parameters() if p.grad is not None]
    assert slopes and all(torch.equal(one, other) for one, other in zip(after, slopes, strict=True))
    assert network.training is training


def test_the_result_is_plain_and_reads_as_a_table() -> None:
    result = found(NUDGED, chain())
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["cause"] == "nudge" and set(plain["layers"]) == {"layer1", "layer2", "layer3"}
    assert plain["parts"]["nudge"]["share"] == pytest.approx(1, abs=0.1)
    text = str(result)
    for word in ("a finite nudge (nudge)", "lower settler.beta", "whole", "layer1", "unexplained"):
        assert word in text
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.cause = "mean"  # pyright: ignore[reportAttributeAccessIssue] (that it cannot be set is tested)


def test_a_reference_that_cannot_settle_is_said() -> None:
    """A loop gain of (1 − 1e-6)²: no budget brings it to rest."""
    network = Network((6,))
    network.add(Dense(6, 4), Identity())
    network.add(Dense(4, 4), Identity())
    network.double()
    with torch.no_grad():
        network.get_parameter("couplings.0.weight").copy_(torch.randn(4, 6, generator=stream(0, "weight")))
        network.get_parameter("couplings.1.weight").copy_((1 - 1e-6) * torch.eye(4))
    x, target = nets.batch(network)
    result = found(EquilibriumPropagation(relax=nets.once(5), nudged=nets.once(5)), (network, x, target))
    assert result.reference["free"] == "budget" and "has not settled (free: budget" in str(result)


def test_what_has_no_error_is_refused() -> None:
    network, x, target = chain()
    with pytest.raises(ConfigurationError, match="rule=softhebb: descends no objective"):
        gradient_error(network, Backprop(), SoftHebb(), nets.FROZEN, x, target)
    with pytest.raises(ConfigurationError, match="spikes have no equilibrium"):
        gradient_error(network, Spiking(), Contrast(), nets.FROZEN, x, target)
    with torch.no_grad():
        network.get_parameter("couplings.1.weight").fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="not finite"):
        gradient_error(network, SETTLED, Contrast(), nets.FROZEN, x, target)


def test_a_rule_of_ones_own_has_a_part() -> None:
    class Doubled(Contrast, name=""):
        exact = False

        def gradients(self, network: Network, settled: Any) -> list[Tensor]:
            return [2 * tensor for tensor in super().gradients(network, settled)]

    network, x, target = chain()
    result = gradient_error(network, Backprop(), Doubled(), nets.FROZEN, x, target)
    assert result.cause == "rule" and result.relative_error == pytest.approx(1)
    assert "learning rate makes up for" in str(result)


def test_switches_are_held_behind_a_normalization_too() -> None:
    network = Network((2, 4, 4))
    network.add(Convolution(2, 4, 3, padding=1), HardSigmoid())
    network.add(BatchNorm(Convolution(4, 4, 3, padding=1, bias=False), 4, pool=MaxPool(2)), HardSigmoid())
    network.add(Dense(16, 3), Identity())
    nets.draw(network, 0.5, 0, bias=0.5)
    x, target = nets.batch(network, samples=8)
    result = found(TwoPhase(beta=0.3, relax=REST, nudged=REST), (network, x, FAR * target))
    assert result.relative_error is not None and _size(result.parts["switches"]) > 0.01
    assert _size(result.parts["unexplained"]) < 0.1 * result.relative_error


def test_units_at_their_bounds_leave_no_exact_gradient_to_compare_with() -> None:
    network = nets.mlp(HardSigmoid(), sizes=(6, 8, 8, 4), norm=0.45)
    x, target = nets.batch(network)
    with torch.no_grad():
        network.get_parameter("couplings.1.bias").fill_(1e3)
    result = found(SETTLED, (network, x, target))
    assert result.layers["layer1"].relative_error is None and "none" in str(result)
