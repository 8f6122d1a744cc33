"""Planted defects of settlers: each check notices its own, and says in one line which and whose."""

import dataclasses
from typing import Any

import pytest
from torch import Tensor

from energy.feedback import Random
from energy.ledger import Ledger
from energy.network import Network
from energy.objectives import Objective, SquaredError
from energy.settle.backprop import Backprop
from energy.settle.dyadic import ContrastiveHebbian, DualPropagation, EquilibriumPropagation, Implicit
from energy.settle.settled import Settled, SettledDyad, SettledPhases, SettledTape
from energy.settle.settler import Settler
from energy.settle.spiking import SettledOnline, SettledSpikes, Spiking, TemporalCredit
from energy.settle.surrogate import SurrogateBackprop
from energy.settle.two_phase import CoupledLearning, TwoPhase, TwoPhaseContrastiveHebbian
from energy.testing import (
    check_settler,
)
from tests.contracts.noticing import noticed


def factors(kind: str, settled: SettledDyad) -> list[float]:
    hidden = len(settled.delta) - 1
    return {
        "all negated": [-1.0] * (hidden + 1),
        "hidden negated": [-1.0] * hidden + [1.0],
        "output negated": [1.0] * hidden + [-1.0],
        "doubled": [2.0] * (hidden + 1),
        "one dropped": [0.0] + [1.0] * hidden,
    }[kind]


def scaled(settled: SettledDyad, by: list[float]) -> SettledDyad:
    """The difference of every layer times a factor of its own."""
    layers = (
        one._replace(delta=None if one.delta is None else one.delta * by[one.layer - 1]) for one in settled.layers()
    )
    return dataclasses.replace(settled, final=tuple(layers))


def spoil(settled: Settled, kind: str) -> Settled:
    """What was settled, with its difference turned into something else."""
    if isinstance(settled, SettledDyad):
        return scaled(settled, factors(kind, settled))
    if isinstance(settled, SettledPhases):
        by = {"all negated": -1.0, "doubled": 2.0}[kind]
        return dataclasses.replace(
            settled, phases=[dataclasses.replace(one, weight=one.weight * by) for one in settled.phases]
        )
    if isinstance(settled, SettledTape):
        assert settled.negative_loss is not None
        by = {"all negated": -1.0, "doubled": 2.0}[kind]
        return dataclasses.replace(settled, negative_loss=settled.negative_loss * by)
    if isinstance(settled, SettledSpikes):
        signs = {"all negated": (-1.0, -1.0), "hidden negated": (-1.0, 1.0), "doubled": (2.0, 2.0)}[kind]
        delta = [d * (signs[1] if k == len(settled.delta) - 1 else signs[0]) for k, d in enumerate(settled.delta)]
        return dataclasses.replace(settled, delta=delta)
    assert isinstance(settled, SettledOnline)
    return dataclasses.replace(settled, products=[-one for one in settled.products])


def spoilt(base: type[Settler], kind: str) -> Any:
    def settle(self: Any, *args: Any, **kwargs: Any) -> Settled:
        return spoil(base.settle(self, *args, **kwargs), kind)

    return type("Spoilt", (base,), {"settle": settle, "settle_once": settle})


DYADS = ("all negated", "hidden negated", "output negated", "doubled", "one dropped")


@pytest.mark.parametrize("kind", DYADS)
@pytest.mark.parametrize("base", [DualPropagation, EquilibriumPropagation, Implicit])
def test_a_dyad_that_is_not_the_gradient(base: type[Settler], kind: str) -> None:
    noticed(check_settler, spoilt(base, kind)(), r"gradient of (first|second|output) .*(against autograd|cosine)")


@pytest.mark.parametrize("base", [TwoPhase, Backprop, SurrogateBackprop])
@pytest.mark.parametrize("kind", ["all negated", "doubled"])
def test_phases_and_tapes_that_are_not_the_gradient(base: type[Settler], kind: str) -> None:
    noticed(check_settler, spoilt(base, kind)(), r"gradient of (first|second|output) .*(against autograd|cosine)")


@pytest.mark.parametrize("kind", ["all negated", "hidden negated", "doubled"])
def test_spikes_that_are_not_the_gradient(kind: str) -> None:
    noticed(check_settler, spoilt(Spiking, kind)(), "gradient of .* after 5 steps against autograd")


def test_spikes_credited_by_traces_still_go_downhill() -> None:
    assert check_settler(Spiking(credit=TemporalCredit.CAUSAL)) == []
    noticed(
        check_settler, spoilt(Spiking, "all negated")(credit=TemporalCredit.CAUSAL), "gradient of output .* has cosine"
    )


@pytest.mark.parametrize("kind", ["all negated", "hidden negated", "output negated"])
def test_a_clamped_dyad_that_goes_uphill(kind: str) -> None:
    noticed(check_settler, spoilt(ContrastiveHebbian, kind)(), "has cosine -.*with the exact one: must be at least")


@pytest.mark.parametrize("base", [TwoPhaseContrastiveHebbian, CoupledLearning])
def test_clamped_phases_that_go_uphill(base: type[Settler]) -> None:
    noticed(check_settler, spoilt(base, "all negated")(), "has cosine -.*with the exact one: must be at least")


@pytest.mark.parametrize("kind", ["hidden negated", "one dropped"])
def test_hidden_layers_under_wires_of_their_own(kind: str) -> None:
    """With random wires no sign is wrong in itself; with the weights as wires it is."""
    noticed(check_settler, spoilt(DualPropagation, kind)(feedback=Random()), "gradient of first")


class GainIgnored(DualPropagation):
    def settle(self, *args: Any, **kwargs: Any) -> Settled:
        return DualPropagation().settle(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        return DualPropagation().predict(*args, **kwargs)


class OrderLost(DualPropagation):
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        return super().settle(network, x, target.flip(0), objective, ledger)


class ObjectiveIgnored(DualPropagation):
    def settle(
        self, network: Network, x: Tensor, target: Tensor, objective: Objective, ledger: Ledger | None = None
    ) -> Settled:
        return super().settle(network, x, target, SquaredError(), ledger)


class Apart(DualPropagation):
    """Settles otherwise where it is learnt from."""

    def settle_once(self, *args: Any, **kwargs: Any) -> Settled:
        settled = super().settle_once(*args, **kwargs)
        assert isinstance(settled, SettledDyad)
        return scaled(settled, [1.0001] * 3)


class Nothing(Settler):
    def settle(self, *args: Any, **kwargs: Any) -> Any:
        return None


class Raising(Settler):
    def settle(self, *args: Any, **kwargs: Any) -> Any:
        raise KeyError("a\nb")


class Bare(DualPropagation):
    def predict(self, network: Network, x: Tensor, ledger: Ledger | None = None) -> Any:
        return network(x)


class ShortOutput(DualPropagation):
    def settle(self, *args: Any, **kwargs: Any) -> Settled:
        return dataclasses.replace(super().settle(*args, **kwargs), output=[1.0])


@pytest.mark.parametrize(
    ("settler", "words"),
    [
        (GainIgnored(gamma=1.0), "free output at gamma=1 .* against the equilibrium"),
        (GainIgnored(), "free output at gamma=0.5 .* against the equilibrium"),
        (OrderLost(), "gradient of"),
        (ObjectiveIgnored(), "gradient of .* with cross_entropy against autograd"),
        (Apart(), "learn gives other gradients than settle: settle_once must give what settle gives"),
        (Nothing(), "settle returns a NoneType: must be a Settled"),
        (Raising(), r"settle\(network, x, target, objective, ledger\) must return .*KeyError"),
        (Bare(), r"predict\(network, x, ledger\) must return a Prediction"),
        (ShortOutput(), "settled.output is a list: must be one tensor"),
        (Settler(), "must define settle"),
    ],
)
def test_settlers(settler: Settler, words: str) -> None:
    noticed(check_settler, settler, words)


class Perturbed(DualPropagation):
    """A method that is no gradient, and says so."""

    @property
    def alignment(self) -> float:
        return -1.0

    def settle(self, *args: Any, **kwargs: Any) -> Settled:
        return spoil(super().settle(*args, **kwargs), "hidden negated")


def test_a_method_that_claims_no_gradient_is_held_to_its_output_layer_alone() -> None:
    assert check_settler(Perturbed()) == []
    noticed(check_settler, spoilt(Perturbed, "all negated")(), "gradient of output .* has cosine -1")
