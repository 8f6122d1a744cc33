"""The contract of every component: plain fields, a description that rebuilds it, copies, write-once."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from typing import Any, get_args, get_origin

from energy.component import Component, ConfigurationError, annotations, choices, config_hash, from_dict, to_dict
from energy.testing.claim import claim, promise, public_check, title


@public_check(Component, "derive it from a base of energy, such as Potential or Relaxation")
def check_component(component: Component) -> list[str]:
    """Check that a component is its configuration.

    It is rebuilt from its description without loss, the description is strict JSON, copies are equal, fields are
    written once, an unknown field and NaN are refused by `from_dict`. Returned as notes, since a sketch in a notebook
    may do without: a missing docstring, and float fields for which the constructor accepts NaN.
    """
    _round_trip(component)
    _copies(component)
    _write_once(component)
    _refusals(component)
    return _notes(component)


def _base(component: Component) -> type[Component]:
    """The class to call `from_dict` with: the root of the component's group, or its own class if it has no name."""
    if not component.name:
        return type(component)
    return next(cls for cls in reversed(type(component).__mro__) if cls.__dict__.get("group"))


@promise("describe must give plain values from which build makes it again")
def _round_trip(component: Component) -> None:
    base, plain = _base(component), to_dict(component)
    if component.name:
        entry = choices(base).get(component.name)
        claim(entry is type(component), component, f"{base.group}={component.name} on the table is {entry}")
    text = json.dumps(plain, allow_nan=False)
    again = from_dict(base, json.loads(text))
    claim(again == component, component, f"build(describe(…)) gives another component: {to_dict(again)} for {plain}")
    claim(config_hash(again) == config_hash(component), component, "the key changes from one copy to the next")


@promise("it must be copied and hashed by its fields (no @dataclass and no __eq__ of its own)")
def _copies(component: Component) -> None:
    for name, twin in (("copy", copy.copy(component)), ("deepcopy", copy.deepcopy(component))):
        claim(type(twin) is type(component) and twin == component, component, f"{name} gives another component")
        claim(hash(twin) == hash(component), component, f"{name} gives another hash")
    claim(dataclasses.replace(component) == component, component, "dataclasses.replace without changes changes it")


def _write_once(component: Component) -> None:
    for field in dataclasses.fields(component):
        try:
            setattr(component, field.name, getattr(component, field.name))
        except dataclasses.FrozenInstanceError:
            continue
        claim(False, component, f"{field.name} can be assigned again after construction")


def _refused(component: Component, fields: dict[str, Any]) -> bool:
    try:
        from_dict(_base(component), {**to_dict(component), **fields})
    except ConfigurationError:
        return True
    return False


@promise("build must refuse what it does not know with ConfigurationError")
def _refusals(component: Component) -> None:
    claim(_refused(component, {"no_such_field": 1}), component, "build accepts a field that does not exist")
    for name, value in _not_numbers(component):
        claim(_refused(component, {name: value}), component, f"build accepts {name}={value}")


def _not_numbers(component: Component) -> list[tuple[str, Any]]:
    """(field, a value with NaN in it) for every field that holds floats."""
    found: list[tuple[str, Any]] = []
    for name, kind in annotations(type(component)).items():
        if kind is float:
            found.append((name, math.nan))
        elif get_origin(kind) is list and get_args(kind) == (float,):
            given = getattr(component, name)
            found += [(name, [math.nan] * max(1, len(given))), (name, [*given[:-1], math.nan])]
    return found


def _notes(component: Component) -> list[str]:
    cls = type(component)
    written = (cls.__doc__ or "").strip()
    notes = []
    if not written or written.startswith(f"{cls.__name__}("):  # what dataclass puts there of its own accord
        notes.append(f"{title(component)}: has no docstring")
    for name, value in _not_numbers(component):
        try:
            dataclasses.replace(component, **{name: value})
        except ConfigurationError:
            continue
        notes.append(
            f"{title(component)}: the constructor accepts {name}={value}; state the range in __post_init__ with require"
        )
    return notes
