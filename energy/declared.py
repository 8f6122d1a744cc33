"""Checks of the declarations in the class of a component, made when the class is defined.

Python would accept these declarations and read them differently from what their writer means.
"""

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

from energy.values import ConfigurationError, format_value

GIVEN = {"name", "registry"}  # set by the class's own name=..., never in its body


def declared(cls: type) -> None:
    """Refuse the class of a component if one of its declarations would be misunderstood.

    Raises:
        ConfigurationError: for an `__init__` of its own, an attribute without a type, an inherited field that is not
            declared again as a field, a field that hides a method, an `InitVar`, a mutable default, and a
            `__post_init__` that does not call that of its base.
    """
    own, fields = _annotations(cls), _fields(cls)
    for method in ("__init__", "__new__"):
        if method in vars(cls):
            raise _refusal(
                cls,
                method,
                "a component has none of its own: declare each argument as a field "
                "(rate: float = 0.5), and check or derive in __post_init__",
            )
    for name, value in vars(cls).items():
        if name not in own:
            _untyped(cls, name, value, fields)
    for name, kind in own.items():
        _typed(cls, name, re.sub(r"^typing\.", "", str(kind)), fields)
    _post_init(cls)


def _annotations(cls: type) -> dict[str, Any]:
    """The annotations in the body of a class; from Python 3.14 on a name in it may be defined later (PEP 649)."""
    if sys.version_info < (3, 14):
        return inspect.get_annotations(cls)
    from annotationlib import Format, get_annotations

    return get_annotations(cls, format=Format.FORWARDREF)


def _refusal(cls: type, name: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{cls.__name__}.{name}: {reason}")


def _bases(cls: type, name: str) -> Iterator[type]:
    return (base for base in cls.__mro__[1:] if name in vars(base))


def _fields(cls: type) -> dict[str, tuple[type, Any]]:
    """Class and annotation of every inherited field, by name."""
    found: dict[str, tuple[type, Any]] = {}
    for base in reversed(cls.__mro__[1:]):
        names = {field.name for field in dataclasses.fields(base)} if dataclasses.is_dataclass(base) else set()
        found |= {name: (base, kind) for name, kind in _annotations(base).items() if name in names}
    return found


def _called(value: Any) -> bool:
    """True for a method, a property or a nested class: anything but a plain value."""
    return callable(value) or hasattr(type(value), "__get__")


def _kind(kind: Any) -> str:
    return kind.__name__ if inspect.isclass(kind) else str(kind)


def _untyped(cls: type, name: str, value: Any, fields: dict[str, tuple[type, Any]]) -> None:
    """An attribute without annotation: a method, a constant of the class that a base has declared, or a slip."""
    if name in fields:
        base, kind = fields[name]
        if _called(value):
            raise _refusal(cls, name, f"is a field of {base.__name__}: a method cannot take its place")
        raise _refusal(
            cls,
            name,
            f"is a field of {base.__name__}; its new default needs the type again: "
            f"{name}: {_kind(kind)} = {format_value(value)}",
        )
    if name in GIVEN and not _called(value):
        raise _refusal(cls, name, f'is reserved; a component is named by class {cls.__name__}(..., name="...")')
    if name.startswith("_") or name.isupper() or _called(value) or any(_constants(cls, name)):
        return
    number = type(value).__name__ if isinstance(value, bool | int | float | str) else "..."
    raise _refusal(
        cls,
        name,
        f"has no type: must be {name}: {number} = {format_value(value)} to be a field, or "
        f"{name}: ClassVar[{number}] = {format_value(value)} to be a constant of the class",
    )


def _constants(cls: type, name: str) -> Iterator[bool]:
    """True for every base that has `name`, as a value or as an annotation only."""
    for base in cls.__mro__[1:]:
        yield name in _annotations(base) or (name in vars(base) and not _called(vars(base)[name]))


def _typed(cls: type, name: str, kind: str, fields: dict[str, tuple[type, Any]]) -> None:
    default = vars(cls).get(name)
    if re.match(r"(\w+\.)*ClassVar\b", kind):
        if name in fields:
            raise _refusal(cls, name, f"is a field of {fields[name][0].__name__}, and cannot become a ClassVar")
        return
    if re.match(r"(\w+\.)*InitVar\b", kind):
        raise _refusal(cls, name, "an InitVar is in no description: declare a field")
    if isinstance(default, list | dict | set):
        raise _refusal(cls, name, f"a default that can be changed needs field(default_factory=lambda: {default!r})")
    hidden = next((base for base in _bases(cls, name) if _called(vars(base)[name])), None)
    if hidden is not None:
        raise _refusal(cls, name, f"hides the method {name} of {hidden.__name__}: choose another name for the field")


def _post_init(cls: type) -> None:
    own = inspect.unwrap(vars(cls).get("__post_init__", lambda: None))
    base = next(_bases(cls, "__post_init__"), None)
    if base is not None and "__post_init__" in vars(cls) and "__post_init__" not in own.__code__.co_names:
        raise _refusal(
            cls, "__post_init__", f"must call super().__post_init__(), which checks the fields of {base.__name__}"
        )
