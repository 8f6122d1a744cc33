"""Arguments of constructors: what was given, in words, and whole numbers."""

from __future__ import annotations

import operator
from typing import Any

from energy.errors import UsageError, UsageTypeError


def named(value: object) -> str:
    """What somebody gave, for an error: a class by its name, anything else by its type and value, in few letters."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"{type(value).__name__} {value!r}"[:80].partition("\n")[0]


def whole_number(owner: str, name: str, value: Any, least: int = 1) -> int:
    """The value, a whole number from `least` up.

    Raises TypeError or ValueError.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise UsageTypeError(f"{owner}: {name} is {named(value)}: must be a whole number")
    if operator.index(value) < least:
        raise UsageError(f"{owner}: {name}={value}: must be at least {least}")
    return operator.index(value)
