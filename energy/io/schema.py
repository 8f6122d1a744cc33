"""Schemas of JSON objects: the fields that are used, each with its type."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin

from energy.errors import DamagedFileError

WORDS: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "an object",
    list: "a list",
    NoneType: "null",
}
SHOWN: Final = 60  # letters of a value in a message

Kind = Any  # a type of `WORDS`, `dict[str, kind]`, `list[kind]`, a union of kinds, or the fields of an inner object


def require_fields(
    plain: Mapping[str, Any],
    fields: Mapping[str, Kind],
    where: str,
    error: type[DamagedFileError] = DamagedFileError,
    *,
    partial: bool = False,
) -> None:
    """Check that an object has fields of given types; it may have others.

    Args:
        plain: the object.
        fields: the type of each field: one of `WORDS`, where a whole number is a number too, `dict[str, kind]`,
            `list[kind]`, a union of kinds, or the fields of an inner object.
        where: the file and the place in it, which begin the message.
        error: the class of errors to raise.
        partial: whether fields may be missing.

    Raises:
        DamagedFileError: or `error`, naming the first field that is missing or of another type.
    """
    for name, kind in fields.items():
        if name not in plain:
            if partial:
                continue
            raise error(f"{where}: has no {name}")
        inner = kind if isinstance(kind, Mapping) else None
        if not fits(plain[name], dict if inner is not None else kind):
            raise error(f"{where}: {name}={str(plain[name])[:SHOWN]!r}: must be {_words(kind)}")
        if inner is not None:
            require_fields(plain[name], inner, f"{where}: {name}", error, partial=partial)


def fits(value: Any, kind: Kind) -> bool:
    """Return whether a JSON value is of a kind; true and false are no numbers."""
    if isinstance(kind, UnionType):
        return any(fits(value, one) for one in get_args(kind))
    outer, inner = get_origin(kind), get_args(kind)
    if outer is dict:
        return isinstance(value, dict) and all(fits(one, inner[1]) for one in value.values())
    if outer is list:
        return isinstance(value, list) and all(fits(one, inner[0]) for one in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _words(kind: Kind) -> str:
    if isinstance(kind, UnionType):
        return " or ".join(_words(one) for one in get_args(kind))
    outer, inner = get_origin(kind), get_args(kind)
    if outer is not None:
        return f"{WORDS[outer]} of which each entry is {_words(inner[-1])}"
    return WORDS[dict if isinstance(kind, Mapping) else kind]
