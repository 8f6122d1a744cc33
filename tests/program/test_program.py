"""A recorded step is the plain one: gradients, states, solutions, buffers and costs, bit for bit, batch after batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest
import torch

from energy.couplings import Convolution, Dense
from energy.network import Network
from energy.objectives import Objective
from energy.potentials import Identity, ReLU
from energy.relax import Flow, Sweep, Synchronous, Zebra
from energy.rules import Contrast, Oja, PerLayer, SoftHebb, Variant
from energy.rules.rule import Rule
from energy.settle import Backprop, DualPropagation, EquilibriumPropagation, Feedforward, TwoPhase
from energy.settle.settler import Settler
from tests.contracts.test_components import example
from tests.program.cases import DTYPES, NETWORKS, SETTLERS, VARIANTS, batches, blocks, registered, short, subject
from tests.program.pairs import Pair, plainly
from tests.rules.test_memory import BCM
from tests.settle import nets

OTHERS = {
    "equilibrium_propagation": ("sign", "kolen_pollack"),
    "coupled": ("POSITIVE",),
}  # quick ones of a second settler
QUICK = [
    pytest.param(name, marks=pytest.mark.slow)
    if any(name.startswith(settler) and name.split()[1] not in few for settler, few in OTHERS.items())
    else name
    for name in VARIANTS
]
KINDS = [pytest.param(kind, marks=pytest.mark.slow) for kind in NETWORKS if kind != "mlp"]
OBJECTIVES = {"proximal": nets.PROXIMAL, "live": nets.LIVE, "cross": nets.CROSS, "live cross": nets.CROSS_LIVE}
RELAXATIONS = {
    "sweep": Sweep(max_steps=3, tolerance=1e-9, check_every=1),
    "momentum": Sweep(max_steps=5, tolerance=1e-9, check_every=2, momentum=0.5),
    "synchronous": Synchronous(damping=0.3, max_steps=3, tolerance=1e-9, check_every=1),
    "zebra": Zebra(max_steps=3, tolerance=1e-9, check_every=1),
    "flow": Flow(max_steps=3, tolerance=1e-9, check_every=1),
}


def recorded(network: Network, settler: Settler, rule: Rule, given: Iterable[Any], *objective: Objective) -> None:
    """Check a step on several batches against the plain one, and that it was recorded, once."""
    rule.attach(network)
    pair = Pair(network, settler, rule, *objective)
    pair.run(*given)
    assert pair.recorded == 1


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", SETTLERS)
def test_every_settler(name: str, dtype: torch.dtype) -> None:
    network = subject(SETTLERS[name])
    recorded(network, SETTLERS[name], Contrast(), batches(network, dtype))


@pytest.mark.parametrize("name", QUICK)
def test_every_variant(name: str) -> None:
    network = subject(VARIANTS[name])
    recorded(network, VARIANTS[name], Contrast(), batches(network, torch.float32))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_in_other_precisions(name: str, dtype: torch.dtype) -> None:
    network = subject(VARIANTS[name])
    recorded(network, VARIANTS[name], Contrast(), batches(network, dtype))


def on(kind: str, settler: Settler, dtype: torch.dtype) -> None:
    """Check a settler on a kind of network; the program refuses one that the settler refuses, in its words."""
    if settler.name == "energy_two_phase":
        pytest.skip("settles energies")
    network = subject(settler, kind)
    given = batches(network, dtype)
    refusal = plainly(network, settler, Contrast(), *given[0])
    if refusal is None:
        return recorded(network, settler, Contrast(), given)
    pair = Pair(network, settler, Contrast())
    with pytest.raises(type(refusal)) as raised:
        pair.program.learn(pair.traced, settler, *given[0], pair.objective)
    assert str(raised.value) == str(refusal)
    return None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SETTLERS)
def test_every_settler_on_other_networks(name: str, kind: str) -> None:
    on(kind, SETTLERS[name], torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SETTLERS)
def test_every_settler_on_other_networks_in_other_precisions(name: str, kind: str, dtype: torch.dtype) -> None:
    on(kind, SETTLERS[name], dtype)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pooled", "skips"])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_on_other_networks(name: str, kind: str) -> None:
    on(kind, VARIANTS[name], torch.float32)


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("settler", [DualPropagation(alpha=0.0), short(EquilibriumPropagation()), Backprop()])
def test_objectives(settler: Settler, name: str) -> None:
    network = subject(settler)
    try:
        settler.validate_nudge(OBJECTIVES[name], network.output.potential)
    except ValueError:
        pytest.skip("refused")
    recorded(network, settler, Contrast(), batches(network), OBJECTIVES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", RELAXATIONS)
@pytest.mark.parametrize("kind", [EquilibriumPropagation, TwoPhase])
def test_relaxations(kind: Any, name: str) -> None:
    settler = kind(relax=RELAXATIONS[name], nudged=RELAXATIONS[name])
    network = subject(settler, "skips")
    recorded(network, settler, Contrast(), batches(network))


@pytest.mark.thinned(by=3)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("network", ["mlp", "blocks"])
@pytest.mark.parametrize("name", registered("rule"))
def test_every_rule(name: str, network: str, dtype: torch.dtype) -> None:
    found = blocks() if network == "blocks" else NETWORKS[network]()
    recorded(found, Feedforward(), example(registered("rule")[name]), batches(found, dtype))  # type: ignore[arg-type]


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("variant", Variant)
def test_variants_of_softhebb(variant: Variant, normalized: bool) -> None:
    rule = SoftHebb(variant=variant, temperature=0.6, normalized=normalized)
    if variant is Variant.SUPERVISED:
        network, learning = Network((5,)), PerLayer(rules=[rule])
        network.add(Dense(5, 3), Identity())
        nets.draw(network, 1.0, 0)
    else:
        network, learning = NETWORKS["mlp"](), rule
    recorded(network, Feedforward(), learning, batches(network, torch.float32))


@pytest.mark.parametrize("settler", [Feedforward(), short(EquilibriumPropagation())])
def test_a_rule_that_remembers(settler: Settler) -> None:
    """Its memory moves with every batch, and the next step reads it."""
    network = NETWORKS["mlp"]()
    recorded(network, settler, BCM(), batches(network, count=4))


def test_greedy_training_of_a_part() -> None:
    """A rule for the lowest layer settles it alone; layers above, and frozen ones, get no gradient."""
    network = NETWORKS["pooled"]()
    network.couplings[1].requires_grad_(False)
    recorded(network, Feedforward(), PerLayer(rules=[SoftHebb(), Oja()]), batches(network))


def test_frozen_weights_and_groups() -> None:
    network = Network((2, 6, 6))
    network.add(Convolution(2, 4, 3, groups=2, stride=2), ReLU())
    network.add(Convolution(4, 4, 2, dilation=1, bias=False), ReLU())
    network.add(Dense(4, 3), Identity(), feedback=False)
    nets.draw(network, 1.0, 0)
    network.couplings[1].requires_grad_(False)
    for settler in (DualPropagation(), short(EquilibriumPropagation()), Backprop()):
        recorded(network, settler, Contrast(), batches(network))


def test_one_program_for_several_networks_and_settlers() -> None:
    first, second = NETWORKS["mlp"](), NETWORKS["skips"]()
    one, other = Pair(first, DualPropagation(), Contrast()), Pair(second, short(EquilibriumPropagation()), Contrast())
    other.program = one.program
    for k in range(3):
        for pair in (one, other):
            pair.run(nets.batch(pair.plain, seed=k))
    assert one.recorded == 2


def test_what_the_program_tells_of_its_rule() -> None:
    for rule in (Contrast(), SoftHebb()):
        network, program = NETWORKS["mlp"](), Pair(NETWORKS["mlp"](), Feedforward(), rule).program
        for name in ("descends", "exact", "supports_greedy"):
            assert getattr(program, name) == getattr(rule, name)
        assert program.learns(network) == rule.learns(network)
        assert program.unit_rules() == rule.unit_rules()
        assert program.rule_for(network, 1) == rule.rule_for(network, 1)
        assert program.scores_output(network, ["layer1"]) == rule.scores_output(network, ["layer1"])


def test_gradients_by_a_program_that_is_not_asked_to_learn() -> None:
    """`update`, `gradients` and `apply` are those of the rule."""
    pair = Pair(NETWORKS["mlp"](), DualPropagation(), Contrast())
    x, target = nets.batch(pair.plain)
    settled = pair.settler.settle(pair.traced, x, target, pair.objective)
    for name in ("update", "gradients"):
        found = getattr(pair.program, name)(pair.traced, settled)
        assert all(map(torch.equal, found, getattr(pair.rule, name)(pair.traced, settled)))
    pair.program.apply(pair.traced, settled)
    pair.rule.apply(pair.plain, pair.settler.settle(pair.plain, x, target, pair.objective))
    for one, other in zip(pair.plain.parameters(), pair.traced.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None and torch.equal(one.grad, other.grad)


def test_the_settlers_here_stop_early() -> None:
    """So that every test stays short; what they compute is the settler's own."""
    for settler in SETTLERS.values():
        relax = [
            getattr(settler, field.name) for field in dataclasses.fields(settler) if field.name in ("relax", "nudged")
        ]
        assert all(one.max_steps <= 3 for one in relax)
