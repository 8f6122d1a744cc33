"""Signatures as ``docs/api.md`` writes them: no annotations, no ``self``, and ``…`` for a default that is an object."""

import enum
import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ENTRY: Final = re.compile(r"^\s*- `((?:energy|models)(?:\.\w+)+)(\(.*?\))?`", re.MULTILINE)


def entries(page: Path) -> list[tuple[str, str]]:
    """Dotted name and written signature (empty for a name alone) of every entry of the page."""
    return ENTRY.findall(page.read_text(encoding="utf-8"))


def resolve(dotted: str) -> Any:
    """The object of that name, the way an import statement finds it: an attribute before a module of the same name."""
    first, *names = dotted.split(".")
    found: Any = importlib.import_module(first)
    path = first
    for name in names:
        path = f"{path}.{name}"
        if inspect.ismodule(found) and not hasattr(found, name):
            found = importlib.import_module(path)
        else:
            found = getattr(found, name)
    return found


def written(function: Callable[..., Any]) -> str:
    """The signature of a function, a method or a class, as the page writes it."""
    shown, keyword_only = [], False
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "self":
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            name, keyword_only = f"*{name}", True
        elif parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            shown.append("*")
            keyword_only = True
        shown.append(name if parameter.default is parameter.empty else f"{name}={_value(parameter.default)}")
    return f"({', '.join(shown)})"


def _value(default: object) -> str:
    if isinstance(default, enum.Enum):
        return default.name.lower()
    if default is None or isinstance(default, bool | int | float | str):
        return repr(default)
    return "()" if default == () else "…"
