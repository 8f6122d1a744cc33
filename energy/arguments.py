"""Checks of constructor arguments: a value in words, and whole numbers."""

from __future__ import annotations

import operator
from typing import Any

from energy.errors import UsageError, UsageTypeError


def named(value: object) -> str:
    """Return a short name of `value` for an error: a class by its name, anything else by its type and value."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"{type(value).__name__} {value!r}"[:80].partition("\n")[0]


def whole_number(owner: str, name: str, value: Any, least: int = 1) -> int:
    """Check that an argument is a whole number of at least `least`.

    Args:
        owner: the class or function, for the error.
        name: the argument, for the error.
        value: the argument's value; a scalar with `__index__` serves.
        least: the smallest valid value.

    Returns:
        The value as an `int`.

    Raises:
        UsageTypeError: for a value that is no whole number.
        UsageError: for a value below `least`.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise UsageTypeError(f"{owner}: {name} is {named(value)}: must be a whole number")
    if operator.index(value) < least:
        raise UsageError(f"{owner}: {name}={value}: must be at least {least}")
    return operator.index(value)
