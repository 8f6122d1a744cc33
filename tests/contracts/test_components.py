"""Every registered component keeps the contract of its group."""

import dataclasses
from typing import Any

import pytest

from energy.component import Component
from energy.model import Model
from energy.potentials import RePU, Softmax
from energy.rules import KrotovHopfield, Oja, PerLayer, SoftHebb, Variant
from energy.settle.dyadic import ContrastiveHebbian, Dyadic, EquilibriumPropagation
from energy.specs import ConvolutionSpec
from energy.testing import (
    check_component,
    check_feedback,
    check_model,
    check_neuron,
    check_objective,
    check_plasticity,
    check_potential,
    check_relaxation,
    check_rule,
    check_settler,
    check_spike_error,
    check_surrogate,
)

SPIKING = ("neuron", "surrogate", "encoder", "spike_error")
BUILDING = ("coupling", "pooling")
GROUPS = ("potential", "relax", "settler", "objective", "rule", "model", "feedback", *BUILDING, *SPIKING)
SMALL: dict[str, dict[str, Any]] = {  # the same code at a size that a test can afford
    "mlp": {"sizes": [16, 16]},
    "vgg16": {"plan": [8, 0, 8, 8, 0], "dense": [16]},
    "normalized_vgg": {"groups": [8, 10], "whitened": 3},
    "hopfield": {"channels": [4, 4, 4, 4]},
    "hopfield_laborieux": {"channels": [4, 4, 4, 4]},
    "softhebb": {
        "channels": [6, 8],
        "kernels": [5, 3],
        "powers": [0.7, 1.4],
        "pools": ["max_4_2_1", "avg_2_2_0"],
        "dense": [12],
    },
}


def example(cls: type[Component]) -> Component:
    """An instance with the defaults, and with one entry where a list must not be empty."""
    if cls is ConvolutionSpec:
        return ConvolutionSpec(channels=4)
    return PerLayer(rules=[SoftHebb(), Oja()]) if cls is PerLayer else cls()


def entries(*groups: str) -> list[Any]:
    """The classes of some groups, as parameters named group.label."""
    found = sorted((key, cls) for key, cls in Component.registry.items() if key[0] in groups)
    return [pytest.param(cls, id=f"{group}.{name}") for (group, name), cls in found]


def test_every_group_has_entries() -> None:
    present = {group for group, _ in Component.registry}
    assert present.issuperset(GROUPS)


@pytest.mark.parametrize("cls", entries(*GROUPS))
def test_a_component_is_its_configuration(cls: type[Component]) -> None:
    assert check_component(example(cls)) == []


@pytest.mark.parametrize("cls", entries("potential"))
def test_potentials(cls: Any, device: str) -> None:
    assert check_potential(cls(), device=device) == []


@pytest.mark.parametrize("slope", [1e-3, 0.3, 1.0])
def test_leaky_relu_at_other_slopes(slope: float) -> None:
    from energy.potentials import LeakyReLU

    assert check_potential(LeakyReLU(slope=slope)) == []


@pytest.mark.parametrize("power", [0.7, 1.4, 4.5])
def test_repu_at_other_powers(power: float, device: str) -> None:
    assert check_potential(RePU(power=power), device=device) == []


@pytest.mark.parametrize("temperature", [0.2, 3.0])
def test_softmax_at_other_temperatures(temperature: float, device: str) -> None:
    assert check_potential(Softmax(temperature=temperature), device=device) == []


@pytest.mark.parametrize("cls", entries("relax"))
def test_relaxations(cls: Any, device: str) -> None:
    assert check_relaxation(cls(), device=device) == []


@pytest.mark.parametrize("cls", entries("settler"))
def test_settlers(cls: Any, device: str) -> None:
    assert check_settler(cls(), device=device) == []


@pytest.mark.parametrize("cls", entries("settler"))
def test_settlers_at_other_gains(cls: Any, device: str) -> None:
    """A gain that the settler refuses is refused in words; one that it takes keeps the contract."""
    for gamma in (0.0, 0.5, 1.0):
        try:
            settler = cls(gamma=gamma)
        except ValueError as error:
            assert "gamma" in str(error)
            continue
        assert check_settler(settler, device=device) == []


@pytest.mark.parametrize("cls", entries("feedback"))
def test_feedback(cls: Any, device: str) -> None:
    assert check_feedback(cls(), device=device) == []


@pytest.mark.thinned(by=2)
@pytest.mark.parametrize("cls", entries("feedback"))
@pytest.mark.parametrize("settler", [EquilibriumPropagation, ContrastiveHebbian])
def test_settlers_with_feedback_inside(cls: Any, settler: type[Dyadic], device: str) -> None:
    """At γ > 0 the wires carry δ, and the mean hears the weights."""
    assert check_settler(settler(feedback=cls()), device=device) == []


@pytest.mark.parametrize("cls", entries("objective"))
def test_objectives(cls: Any, device: str) -> None:
    skipped = check_objective(cls(), device=device)
    assert all("cross_entropy" in reason for reason in skipped)  # which has no proximal step, and reads logits only


@pytest.mark.parametrize("cls", entries("rule"))
def test_rules(cls: Any, device: str) -> None:
    assert check_rule(example(cls), device=device) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", Variant)
@pytest.mark.parametrize("normalized", [False, True])
def test_variants_of_softhebb(variant: Variant, normalized: bool, device: str) -> None:
    rule = SoftHebb(variant=variant, temperature=0.6, normalized=normalized, target_norm=1.3, exponent=0.7)
    assert check_plasticity(rule, device=device) == []


@pytest.mark.parametrize("norm", [1.4, 3.0])
def test_krotov_hopfield_at_other_norms(norm: float, device: str) -> None:
    assert check_plasticity(KrotovHopfield(p=norm, rank=4, target_norm=0.7), device=device) == []


@pytest.mark.parametrize("cls", entries("model"))
def test_models(cls: type[Model], device: str) -> None:
    assert check_model(dataclasses.replace(cls(), **SMALL.get(cls.name, {})), device=device) == []


@pytest.mark.parametrize("cls", entries("surrogate"))
def test_surrogates(cls: Any, device: str) -> None:
    assert check_surrogate(cls(), device=device) == []


@pytest.mark.parametrize("cls", entries("neuron"))
def test_neurons(cls: Any, device: str) -> None:
    assert check_neuron(cls(), device=device) == []


@pytest.mark.parametrize("cls", entries("spike_error"))
def test_spike_errors(cls: Any, device: str) -> None:
    assert check_spike_error(cls(), device=device) == []


def test_a_parameter_that_requires_no_gradient_gets_none() -> None:
    """Freezing is PyTorch's word for it: neither a local product nor the tape may move the parameter, weight decay
    included."""
    from energy.objectives import SquaredError
    from energy.rules.contrast import Contrast
    from energy.settle.backprop import Backprop
    from energy.settle.dyadic import DualPropagation
    from energy.testing.small import batch, contracting

    x, target = batch()
    for settler in (Backprop(), DualPropagation()):
        network = contracting()
        frozen = network.get_parameter("couplings.1.weight").requires_grad_(False)
        Contrast().apply(network, settler.settle(network, x, target, SquaredError()))
        given = {name for name, p in network.named_parameters() if p.grad is not None}
        assert frozen.grad is None
        assert given == {name for name, _ in network.named_parameters()} - {"couplings.1.weight"}
