"""The table of named classes, in which every name of a group stands for one class."""

import re
import sys
from typing import TypeVar

from energy.errors import ConfigurationError

T = TypeVar("T")


def enter(registry: dict[tuple[str, str], type[T]], entry: type[T], group: str, name: str) -> None:
    """Enter a class into a table, in place of an earlier definition of the same class.

    Args:
        registry: the table, by group and name, which is changed in place.
        entry: the class.
        group: the group of the class.
        name: its name within the group.

    Raises:
        ConfigurationError: if the name is malformed, or taken by another class.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigurationError(f"{entry.__qualname__}: name={name!r} must be lower-case letters, digits and _")
    taken = registry.get((group, name))
    if taken is not None and _origin(taken) != _origin(entry):
        raise ConfigurationError(f"{group}={name} is taken by {taken.__module__}.{taken.__qualname__}")
    registry[group, name] = entry


def _origin(cls: type) -> tuple[str, str]:
    """File and name of a class: the same if a notebook cell runs again, or a script is imported by its name too."""
    module = sys.modules.get(cls.__module__)
    return getattr(module, "__file__", None) or cls.__module__, cls.__qualname__
