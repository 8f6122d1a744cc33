"""Plain values of fields: read and written for descriptions, taken as they are by a constructor."""

import difflib
import enum
import inspect
import math
from collections.abc import Iterable
from typing import Any, Final, get_args, get_origin

from energy.errors import ConfigurationError, shown
from energy.hints import hint

TRUTH: Final = {"true": True, "false": False}
WIDTH: Final = 60  # of a value in a message


def format_value(value: object) -> str:
    """Format a value for a message: on one line, a long one cut off."""
    return value.name.lower() if isinstance(value, enum.Enum) else shown(_text(value), WIDTH)


def mismatch(path: str, value: object, wanted: str) -> ConfigurationError:
    """Return the error for a value of another type than is wanted."""
    return ConfigurationError(f"{path}={format_value(value)}: must be {wanted}")


def unreadable(kind: Any, path: str) -> ConfigurationError:
    """Return the error for a field of a type that has no plain form."""
    return ConfigurationError(
        f"{path}: a field cannot be annotated as {kind}; must be int, float, bool, str, an Enum, a component, or a "
        "list of one of these; a constant of the class is a ClassVar"
    )


def take(value: Any, kind: Any, path: str) -> Any:
    """Take `value` for a field of type `kind`, as a constructor does.

    A whole number serves as a float, a scalar of NumPy or torch as the number that it holds, and a tuple as a list;
    nothing else is converted, since a value written in Python has a type already.

    Raises:
        ConfigurationError: for a value of another type, and for a type that a field cannot have.
    """
    if type(value) is kind:
        return value
    if get_origin(kind) is list:
        if not isinstance(value, list | tuple):
            raise mismatch(path, value, f"a list: [{'...' if isinstance(value, str) else format_value(value)}]")
        return [take(item, get_args(kind)[0], f"{path}[{index}]") for index, item in enumerate(value)]
    if kind in TAKEN:
        types, wanted = TAKEN[kind]
        given = value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value
        if not isinstance(given, types) or (isinstance(given, bool) and kind is not bool):
            raise mismatch(path, value, wanted)
        return given
    if not inspect.isclass(kind) or not (issubclass(kind, enum.Enum) or hasattr(kind, "registry")):
        raise unreadable(kind, path)
    if not isinstance(value, kind):
        wanted = _any_member(value, kind) if issubclass(kind, enum.Enum) else _component(value, kind)
        raise mismatch(path, value, wanted)
    return value


def from_plain(value: Any, kind: Any, path: str) -> Any:
    """Read a plain `value`, such as one from a file or a command line, as a number, a truth value, text or a member.

    Raises:
        ConfigurationError: for a value that cannot be read as `kind`, and for a type that has no plain form.
    """
    if inspect.isclass(kind) and issubclass(kind, enum.Enum):
        return _member(value, kind, path)
    reader = READERS.get(kind)
    if reader is None:
        raise unreadable(kind, path)
    return reader(value, path)


def to_plain(value: Any, kind: Any) -> Any:
    """Return the strict-JSON form of a field's value, the inverse of `from_plain`."""
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if kind is float and isinstance(value, int | float):
        return float(value) if math.isfinite(value) else str(value)
    return value


def _text(value: object) -> object:
    """The `repr` of a value on one line; the value itself if it is too large for one."""
    try:
        return " ".join(repr(value).split())
    except (ValueError, RecursionError):
        return value


def _member(value: Any, kind: type[enum.Enum], path: str) -> enum.Enum:
    if isinstance(value, kind):
        return value
    names = {member.name.lower(): member for member in kind}
    if str(value).lower() not in names:
        raise ConfigurationError(f"{path}={shown(value)}: unknown value; {hint(str(value), names)}")
    return names[str(value).lower()]


def _any_member(value: Any, kind: type[enum.Enum]) -> str:
    return f"a {kind.__name__}, such as {kind.__name__}.{_near(value, kind.__members__)}"


def _component(value: Any, kind: Any) -> str:
    """The component that is wanted, in words, with the way to get it from the value that was given instead."""
    wanted = f"a {kind.__name__}"
    if inspect.isclass(value) and issubclass(value, kind):
        return f"{wanted}, and not its class: {value.__name__}(...)"
    entries = {label: cls for (group, label), cls in kind.registry.items() if group == kind.group}
    known = {label: cls for label, cls in sorted(entries.items()) if issubclass(cls, kind)}
    if not known:
        return f"{wanted}: {kind.__name__}(...)"
    label = _near(value, known)
    how = {
        str: f'from a name: from_dict({kind.__name__}, "{label}")',
        dict: f"from fields: from_dict({kind.__name__}, ...)",
    }
    cure = how.get(type(value))
    return f"{wanted}, such as {known[label].__name__}()" + (f"; {cure}" if cure else "")


def _near(value: Any, names: Iterable[str]) -> str:
    """The name most like a value, or the first."""
    known = {name.lower(): name for name in names}
    return known[next(iter(difflib.get_close_matches(str(value).lower(), known, 1, 0.0)), next(iter(known)))]


def _bool(value: Any, path: str) -> bool:
    found = TRUTH.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise mismatch(path, value, "true or false")
    return found


def _int(value: Any, path: str) -> int:
    number = _float(value, path, "a whole number")
    if not number.is_integer():
        raise mismatch(path, value, "a whole number")
    return value if isinstance(value, int) else int(number)


def _float(value: Any, path: str, wanted: str = "a number") -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if math.isnan(number):
        raise mismatch(path, value, wanted)
    return number


def _str(value: Any, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise mismatch(path, value, "text")
    return str(value)  # of a whole number too, since the command line reads `out=7` as one


READERS: Final = {bool: _bool, int: _int, float: _float, str: _str}
TAKEN: Final[dict[type, tuple[tuple[type, ...], str]]] = {
    bool: ((bool,), "True or False"),
    int: ((int,), "a whole number, an int"),
    float: ((float, int), "a number"),
    str: ((str,), "text, a str"),
}
