"""What a constructor and a class definition refuse: what would be misunderstood in silence."""

import copy
import dataclasses
import enum
import math
import pickle
import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from energy.component import Component, ConfigurationError, config_hash, from_dict, to_dict
from energy.models import MLP, VGG
from energy.objectives import CrossEntropy, Nudge
from energy.potentials import Clamp, Identity, LeakyReLU, Potential, Tanh
from energy.relax.relaxation import Relaxation
from energy.relax.sweep import Sweep
from energy.relax.zebra import Zebra
from energy.rules import Oja, PerLayer
from energy.settle.dyadic import DualPropagation, EquilibriumPropagation
from energy.settle.settler import Settler
from energy.settle.two_phase import TwoPhase


@pytest.fixture(autouse=True)
def restored_table() -> Iterator[None]:
    before = dict(Component.registry)
    yield
    Component.registry.clear()
    Component.registry.update(before)


WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (
        MLP,
        {"hidden": "tanh"},
        "mlp.hidden='tanh': must be a Potential, such as Tanh(); from a name: from_dict(Potential, \"tanh\")",
    ),
    (MLP, {"hidden": "tahn"}, 'from_dict(Potential, "tanh")'),
    (MLP, {"hidden": Tanh}, "must be a Potential, and not its class: Tanh(...)"),
    (
        MLP,
        {"hidden": torch.nn.Sequential(torch.nn.Tanh())},
        "mlp.hidden=Sequential( (0): Tanh() ): must be a",
    ),
    (MLP, {"hidden": {"name": "tanh"}}, "from fields: from_dict(Potential, ...)"),
    (MLP, {"hidden": Sweep()}, "must be a Potential, such as"),
    (MLP, {"hidden": None}, "mlp.hidden=None: must be a Potential, such as"),
    (MLP, {"sizes": 64}, "mlp.sizes=64: must be a list: [64]"),
    (MLP, {"sizes": "64"}, "mlp.sizes='64': must be a list"),
    (MLP, {"sizes": [64, "32"]}, "mlp.sizes[1]='32': must be a whole number"),
    (MLP, {"sizes": [64.5]}, "mlp.sizes[0]=64.5: must be a whole number"),
    (MLP, {"sizes": [64.0]}, "mlp.sizes[0]=64.0: must be a whole number"),
    (MLP, {"sizes": [True]}, "mlp.sizes[0]=True: must be a whole number"),
    (VGG, {"plan": None}, "vgg.plan=None: must be a list"),
    (EquilibriumPropagation, {"relax": "zebra"}, 'from_dict(Relaxation, "zebra")'),
    (EquilibriumPropagation, {"beta": "0.1"}, "equilibrium_propagation.beta='0.1': must be a number"),
    (EquilibriumPropagation, {"beta": None}, "equilibrium_propagation.beta=None: must be a number"),
    (EquilibriumPropagation, {"beta": torch.zeros(2)}, "must be a number"),
    (EquilibriumPropagation, {"gamma": True}, "equilibrium_propagation.gamma=True: must be a number"),
    (EquilibriumPropagation, {"freeze_mean": 1}, "equilibrium_propagation.freeze_mean=1: must be True or False"),
    (EquilibriumPropagation, {"form": 1}, "must be a NudgeForm, such as NudgeForm."),
    (TwoPhase, {"kind": "centered"}, "must be a PhaseContrast, such as PhaseContrast.CENTERED"),
    (CrossEntropy, {"nudge": 2}, "must be a Nudge, such as Nudge."),
    (CrossEntropy, {"nudge": Nudge}, "must be a Nudge, such as Nudge."),
    (Sweep, {"max_steps": 3.0}, "sweep.max_steps=3.0: must be a whole number, an int"),
    (Sweep, {"max_steps": True}, "sweep.max_steps=True: must be a whole number"),
    (LeakyReLU, {"slope": 1j}, "leaky_relu.slope=1j: must be a number"),
    (PerLayer, {"rules": [Oja(), "oja"]}, "per_layer.rules[1]='oja': must be a Plasticity, such as Oja(); from a name"),
]


@pytest.mark.parametrize(("cls", "given", "message"), WRONG)
def test_a_constructor_refuses_values_of_another_type(
    cls: Callable[..., Any], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        cls(**given)
    assert message in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_replace_refuses_them_too() -> None:
    with pytest.raises(ConfigurationError, match="beta='small': must be a number"):
        dataclasses.replace(DualPropagation(), beta="small")


@pytest.mark.parametrize(
    ("given", "field", "expected"),
    [
        ({"beta": 1}, "beta", 1.0),
        ({"beta": np.float32(0.5)}, "beta", 0.5),
        ({"beta": np.array(0.5)}, "beta", 0.5),
        ({"beta": torch.tensor(0.5)}, "beta", 0.5),
        ({"beta": np.int64(1)}, "beta", 1),
        ({"freeze_mean": np.bool_(True)}, "freeze_mean", True),
    ],
)
def test_numbers_of_other_libraries_become_plain_ones(given: dict[str, Any], field: str, expected: Any) -> None:
    made = EquilibriumPropagation(**given)
    found = getattr(made, field)
    assert found == expected and type(found) in (int, float, bool)
    assert from_dict(Settler, to_dict(made)) == made, "so that it can be described"


def test_a_list_is_a_list_of_its_own() -> None:
    sizes = [8, 8]
    made = MLP(sizes=sizes)
    sizes.append(8)
    assert made == MLP(sizes=(8, 8)) == MLP(sizes=[np.int64(8), 8])  # pyright: ignore[reportArgumentType]
    assert config_hash(made) == config_hash(MLP(sizes=[8, 8]))


def test_copies_of_every_kind_still_work() -> None:
    made = EquilibriumPropagation(relax=Zebra(), beta=0.5)
    for twin in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made)), dataclasses.replace(made)):
        assert twin == made and hash(twin) == hash(made)


def test_what_is_no_field_cannot_be_set() -> None:
    with pytest.raises(ConfigurationError, match=r"dual_propagation\.betta: unknown field; did you mean 'beta'\?"):
        DualPropagation().betta = 0.3  # pyright: ignore[reportAttributeAccessIssue]


# ---- what a class may declare


def test_an_init_of_its_own() -> None:
    with pytest.raises(ConfigurationError, match=r"Damped\.__init__: .* declare each argument as a field"):

        class Damped(Relaxation):
            def __init__(self, rate: float = 0.5) -> None:
                self.rate = rate  # pyright: ignore[reportAttributeAccessIssue]


def test_an_attribute_without_a_type() -> None:
    with pytest.raises(ConfigurationError, match=r"Damped\.rate: has no type: must be rate: float = 0\.5 to be"):

        class Damped(Relaxation):
            rate = 0.5


@pytest.mark.parametrize(
    "body",
    [
        {"rate": dataclasses.field(default=0.5)},
        {"inner": Sweep()},
        {"sizes": [1, 2]},
        {"kind": Nudge.LIVE},
        {"title": "damped"},
        {"name": "damped"},
        {"step": 0.5},
    ],
)
def test_other_attributes_without_a_type(body: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=rf"^Damped\.{next(iter(body))}: "):
        type("Damped", (Relaxation,), body)


def test_an_inherited_field_is_declared_again_with_its_type() -> None:
    with pytest.raises(ConfigurationError, match=r"Mine\.gamma: is a field of Settler.*: gamma: float = 1\.0"):

        class Mine(Settler):
            gamma = 1.0  # which would leave the field's default at 0

    class Typed(Settler):
        gamma: float = 1.0

    assert Typed().gamma == 1.0


@pytest.mark.parametrize("value", [property(lambda self: 1.0), lambda self: 1.0])
def test_a_method_in_the_place_of_an_inherited_field(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Mine\.gamma: is a field of Settler: a method cannot"):
        type("Mine", (Settler,), {"gamma": value})


def test_a_class_constant_in_the_place_of_an_inherited_field() -> None:
    with pytest.raises(ConfigurationError, match=r"Mine\.gamma: .*cannot become a ClassVar"):

        class Mine(Settler):
            gamma: ClassVar[float] = 1.0  # pyright: ignore[reportIncompatibleVariableOverride]


def test_a_field_that_hides_a_method() -> None:
    with pytest.raises(ConfigurationError, match=r"Mine\.step: hides the method step of Relaxation"):

        class Mine(Relaxation):
            step: float = 0.1  # pyright: ignore[reportIncompatibleMethodOverride]


@pytest.mark.parametrize("default", [[1], {}, set()])
def test_a_default_that_can_be_changed(default: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Mine\.sizes: .*needs field\(default_factory=lambda: "):
        type("Mine", (Relaxation,), {"__annotations__": {"sizes": list[int]}, "sizes": default})


def test_an_init_variable() -> None:
    with pytest.raises(ConfigurationError, match=r"Mine\.seed: an InitVar is in no description"):

        class Mine(Relaxation):
            seed: dataclasses.InitVar[int] = 0


def test_a_post_init_that_leaves_out_the_ranges_of_its_base() -> None:
    with pytest.raises(ConfigurationError, match=r"Mine\.__post_init__: must call super\(\)\.__post_init__\(\)"):

        class Mine(Relaxation):
            def __post_init__(self) -> None:
                pass

    class Right(Relaxation):
        def __post_init__(self) -> None:
            super().__post_init__()

    with pytest.raises(ConfigurationError, match="max_steps=0: must be >= 1"):
        Right(max_steps=0)


@pytest.mark.parametrize(
    "kind", [float | None, Literal["a", "b"], Tensor, Callable[[float], float], dict, tuple[int, int], list, Any]
)
def test_an_annotation_that_cannot_be_configured(kind: Any) -> None:
    cls: Any = type("Mine", (Relaxation,), {"__annotations__": {"extra": kind}})
    with pytest.raises(ConfigurationError, match=r"relax\.extra: a field cannot be annotated as .*must be int, float"):
        cls(extra=None)


def test_what_is_meant_stays_possible() -> None:
    class Shade(enum.Enum):
        DARK = 1

    class Box(Clamp, name="box"):
        """A constant of a base becomes a field, a nested class, private and upper-case constants, an alias."""

        LIMIT = 3
        _cache = 4
        Kind = Shade
        another = Clamp.response
        lower: float = -2.0  # pyright: ignore[reportIncompatibleVariableOverride]
        upper: float = 2.0  # pyright: ignore[reportIncompatibleVariableOverride]
        lipschitz = 1.0

        @property
        def width(self) -> float:
            return self.upper - self.lower

    box = Box(upper=3.0)
    assert box.width == 5 and box.response(torch.tensor([9.0, -9.0])).tolist() == [3, -2]
    assert to_dict(box) == {"name": "box", "lower": -2.0, "upper": 3.0}
    assert from_dict(Potential, to_dict(box)) == box


def test_not_a_number_is_left_to_the_range() -> None:
    with pytest.raises(ConfigurationError, match=r"^leaky_relu\.slope=nan: must be in \(0, 1\]$"):
        LeakyReLU(slope=math.nan)


def test_a_name_that_the_module_does_not_know() -> None:
    cls: Any = type("Mine", (Relaxation,), {"__annotations__": {"extra": "Nowhere"}})
    with pytest.raises(ConfigurationError, match="Mine: an annotation names Nowhere, which its module does not know"):
        cls(extra=1)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated as the class is defined")
def test_a_name_that_is_defined_later() -> None:
    space: dict[str, Any] = {"Relaxation": Relaxation, "__name__": __name__}
    exec("class Mine(Relaxation):\n    extra: Later = 1\nclass Later(Relaxation): pass\nLater = int", space)
    assert space["Mine"](extra=2).extra == 2


def test_identity_needs_no_arguments() -> None:
    assert Identity() == Identity()
