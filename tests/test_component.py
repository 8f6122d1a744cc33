"""The component mechanism: what is registered, described, rebuilt, and refused."""

import copy
import enum
import json
import math
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, field
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as some

from energy.component import Component, ConfigurationError, choices, config_hash, from_dict, require, to_dict
from energy.hints import nearest


@pytest.fixture(autouse=True, scope="module")
def restored_table() -> Iterator[None]:
    before = dict(Component.registry)
    yield
    Component.registry.clear()
    Component.registry.update(before)


class Color(enum.Enum):
    RED = 1
    DARK_BLUE = 2


class Wheel(Component):
    group: ClassVar[str] = "test_wheel"


class Round(Wheel, name="round"):
    """A wheel."""

    radius: float = 1.0
    spokes: int = 8

    def __post_init__(self) -> None:
        require(self.radius > 0, self, "radius", "positive")


class Square(Wheel, name="square"):
    """Not a wheel."""

    side: float = 2.0


class Vehicle(Component):
    group: ClassVar[str] = "test_vehicle"


class Cart(Vehicle, name="cart"):
    """Everything a field may be."""

    front: Wheel = field(default_factory=lambda: Round(radius=3.0))
    color: Color = Color.RED
    loads: list[float] = field(default_factory=lambda: [1.0])
    axles: list[int] = field(default_factory=list)
    title: str = ""
    braked: bool = False
    limit: float = math.inf


class Engine(Component):
    """A part without alternatives."""

    power: int
    cooled: bool = True


def test_naming_a_subclass_registers_it_and_leaving_the_name_out_does_not() -> None:
    assert choices(Wheel) == {"round": Round, "square": Square}
    assert (Round.name, Wheel.name, Round.group) == ("round", "", "test_wheel")


def test_a_class_that_specializes_an_entry_is_no_entry_itself() -> None:
    class Small(Round):
        radius: float = 0.1

    assert Small.name == "" and Small not in choices(Wheel).values()


def test_another_class_cannot_take_a_name() -> None:
    with pytest.raises(ConfigurationError, match=r"test_wheel=round is taken by .*Round"):

        class Other(Wheel, name="round"):
            pass

    assert choices(Wheel)["round"] is Round


def test_the_same_definition_run_again_replaces_the_first() -> None:
    def cell() -> type[Wheel]:
        class Cell(Wheel, name="cell"):
            pass

        return Cell

    first, second = cell(), cell()
    assert choices(Wheel)["cell"] is second is not first


@pytest.mark.parametrize("name", ["Big", "two words", "1st", "a-b", "_x"])
def test_names_are_fit_for_the_command_line(name: str) -> None:
    with pytest.raises(ConfigurationError, match="lower-case"):
        type("Bad", (Wheel,), {}, name=name)


def test_a_field_called_name_would_hide_the_selection() -> None:
    with pytest.raises(ConfigurationError, match="reserved"):

        class Named(Wheel):
            name: str = ""  # pyright: ignore[reportIncompatibleVariableOverride]


def test_fields_are_keyword_only_and_written_once() -> None:
    with pytest.raises(TypeError):
        Round(2.0)  # pyright: ignore[reportCallIssue]
    with pytest.raises(FrozenInstanceError, match="radius is already set"):
        Round().radius = 2.0  # pyright: ignore[reportAttributeAccessIssue]


def test_equality_and_hash_follow_class_and_values() -> None:
    assert Round() == Round(radius=1.0) != Round(radius=2.0)
    assert Round() != Square() and Round() != "round"
    assert len({Round(), Round(), Square()}) == 2
    assert copy.deepcopy(Cart()) == Cart() == copy.copy(Cart())


def test_description_is_strict_json_and_says_everything() -> None:
    plain = to_dict(Cart(color=Color.DARK_BLUE))
    assert plain == {
        "name": "cart",
        "front": {"name": "round", "radius": 3.0, "spokes": 8},
        "color": "dark_blue",
        "loads": [1.0],
        "axles": [],
        "title": "",
        "braked": False,
        "limit": "inf",
    }
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert to_dict(Engine(power=3)) == {"power": 3, "cooled": True}


@given(
    wheel=some.one_of(
        some.builds(Round, radius=some.floats(1e-9, 1e9), spokes=some.integers()),
        some.builds(Square, side=some.floats(allow_nan=False)),
    ),
    color=some.sampled_from(Color),
    loads=some.lists(some.floats(allow_nan=False)),
    axles=some.lists(some.integers()),
    title=some.text(),
    braked=some.booleans(),
)
def test_a_description_rebuilds_the_same_component(
    wheel: Wheel, color: Color, loads: list[float], axles: list[int], title: str, braked: bool
) -> None:
    cart = Cart(front=wheel, color=color, loads=loads, axles=axles, title=title, braked=braked)
    again = from_dict(Vehicle, json.loads(json.dumps(to_dict(cart))))
    assert again == cart and config_hash(again) == config_hash(cart)


def test_a_name_alone_takes_the_declared_defaults() -> None:
    assert from_dict(Vehicle, "cart") == Cart()
    assert from_dict(Wheel, "square") == Square()


def test_a_component_passes_through() -> None:
    wheel = Square(side=9.0)
    assert from_dict(Wheel, wheel) is wheel


def test_without_a_name_the_default_is_changed() -> None:
    assert from_dict(Wheel, {"spokes": 3}, Round(radius=5.0)) == Round(radius=5.0, spokes=3)


def test_the_name_of_the_default_changes_nothing_else() -> None:
    assert from_dict(Wheel, {"name": "round", "spokes": 3}, Round(radius=5.0)) == Round(radius=5.0, spokes=3)


def test_another_name_starts_from_its_own_defaults() -> None:
    assert from_dict(Wheel, {"name": "square"}, Round(radius=5.0)) == Square()


def test_nested_fields_start_from_the_default_of_the_outer_class() -> None:
    cart = from_dict(Vehicle, {"name": "cart", "front": {"spokes": 2}})
    assert cart == Cart(front=Round(radius=3.0, spokes=2))
    assert from_dict(Vehicle, {"name": "cart", "front": "square"}) == Cart(front=Square())


def test_a_part_without_alternatives_needs_no_name() -> None:
    assert from_dict(Engine, {"power": 4}) == Engine(power=4)
    with pytest.raises(ConfigurationError, match=r"^power: has no default and must be given$"):
        from_dict(Engine, {})


def test_a_name_is_needed_where_there_is_a_choice() -> None:
    with pytest.raises(ConfigurationError, match=r"test_wheel: needs a name, one of .*round"):
        from_dict(Wheel, {"spokes": 3})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"limit": "1e-3"}, Cart(limit=1e-3)),
        ({"limit": 2}, Cart(limit=2.0)),
        ({"limit": "inf"}, Cart()),
        ({"braked": "True"}, Cart(braked=True)),
        ({"color": "Dark_Blue"}, Cart(color=Color.DARK_BLUE)),
        ({"color": Color.DARK_BLUE}, Cart(color=Color.DARK_BLUE)),
        ({"title": 7}, Cart(title="7")),
        ({"loads": [1, "2.5"]}, Cart(loads=[1.0, 2.5])),
        ({"axles": (1, 2.0)}, Cart(axles=[1, 2])),
    ],
)
def test_values_become_the_annotated_type(given: dict[str, object], expected: Cart) -> None:
    made = from_dict(Vehicle, {"name": "cart", **given})
    assert made == expected
    assert repr(made) == repr(expected), "types agree too"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"brakes": 1}, r"test_vehicle\.brakes: unknown field; did you mean 'braked'\?"),
        ({"braked": 1}, r"test_vehicle\.braked=1: must be true or false"),
        ({"limit": True}, r"test_vehicle\.limit=True: must be a number"),
        ({"limit": "nan"}, r"test_vehicle\.limit='nan': must be a number"),
        ({"limit": float("nan")}, r"test_vehicle\.limit=nan: must be a number"),
        ({"limit": None}, r"test_vehicle\.limit=None: must be a number"),
        ({"title": True}, r"test_vehicle\.title=True: must be text"),
        ({"axles": [1, 2.5]}, r"test_vehicle\.axles\[1\]=2\.5: must be a whole number"),
        ({"axles": "12"}, r"test_vehicle\.axles='12': must be a list"),
        ({"axles": [True]}, r"test_vehicle\.axles\[0\]=True: must be a whole number"),
        ({"axles": [math.inf]}, r"must be a whole number"),
        ({"color": "rod"}, r"test_vehicle\.color=rod: unknown value; did you mean 'red'\?"),
        ({"front": "rund"}, r"test_vehicle\.front=rund: unknown; did you mean 'round'\?"),
        ({"front": 3}, r"test_vehicle\.front=3: must be a name or a set of fields"),
        ({"front": {"radios": 1}}, r"test_vehicle\.front\.radios: unknown field; did you mean 'radius'\?"),
        ({"front": {"radius": -1}}, r"test_vehicle\.front\.radius=-1\.0: must be positive"),
        ({"_target_": "os.system"}, r"test_vehicle\._target_: unknown field"),
    ],
)
def test_mistakes_name_field_value_limit_and_nearest_name(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        from_dict(Vehicle, {"name": "cart", **given})
    assert "\n" not in str(caught.value)


def test_an_annotation_that_cannot_be_configured_is_named() -> None:
    class Strange(Wheel, name="strange"):
        call: complex = 1j

    with pytest.raises(ConfigurationError, match=r"test_wheel\.call: a field cannot be annotated as .*complex"):
        from_dict(Wheel, {"name": "strange", "call": 2})


def test_an_entry_with_a_method_left_abstract_says_which() -> None:
    import abc

    class Lazy(Wheel, name="lazy"):
        @abc.abstractmethod
        def roll(self) -> None: ...

    with pytest.raises(ConfigurationError, match="test_wheel=lazy: cannot be used before it defines roll"):
        from_dict(Wheel, "lazy")


def test_ranges_are_checked_when_python_builds_it_too_and_nan_fails() -> None:
    with pytest.raises(ConfigurationError, match=r"^round\.radius=nan: must be positive$"):
        Round(radius=math.nan)


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("betta", ["alpha", "beta", "gamma"], "beta"),
        ("BETA", ["beta", "zeta"], "beta"),
        ("x", [], ""),
        ("cifar-10", ["cifar100", "cifar10", "mnist"], "cifar10"),
    ],
)
def test_nearest(name: str, candidates: list[str], expected: str) -> None:
    assert nearest(name, candidates) == expected


def test_key_depends_on_values_alone() -> None:
    assert config_hash(Round(radius=2)) == config_hash(Round(radius=2.0)) != config_hash(Round())
    assert config_hash(Round()) != config_hash(Square()) and len(config_hash(Round())) == 10
