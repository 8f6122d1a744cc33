"""Help pages, written from the components themselves."""

import dataclasses
import enum
import inspect
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from energy.component import Component, ConfigurationError, annotations, build, choices
from energy.hints import meant


def catalogue() -> str:
    """Every registered component by group: its name, one line about it, and its fields with types and defaults."""
    groups = sorted({group for group, _ in Component.table})
    return "\n\n".join(section(group, _entries(group)) for group in groups)


def section(title: str, classes: dict[str, type[Component]]) -> str:
    """One group of the catalogue."""
    lines = [f"{title}="]
    for name, cls in classes.items():
        lines += _wrap(f"  {name:<20} {summary(cls)}".rstrip(), 4)
        lines += _wrap(f"      {'; '.join(fields(cls))}".rstrip(), 6)
    return "\n".join(lines)


def part(title: str, cls: type[Component]) -> str:
    """The fields of a class that is always there, such as the run itself, one a line."""
    return "\n".join([f"{title}: {summary(cls)}", *(f"  {text}" for text in fields(cls))])


def summary(cls: type[Component]) -> str:
    """The first paragraph of the class's own documentation on one line; empty if it has none."""
    text = inspect.getdoc(cls) or ""
    made_up = text.startswith(f"{cls.__name__}(") and cls.__doc__ == text
    return "" if made_up else " ".join(text.partition("\n\n")[0].split())


def fields(cls: type[Component]) -> list[str]:
    """``name: type = default`` of every field, in the order of declaration."""
    kinds = annotations(cls)
    shown = [field for field in dataclasses.fields(cls) if field.name in kinds]
    return [f"{field.name}: {_kind(kinds[field.name])}{_default(field)}" for field in shown]


def components(cls: type[Component]) -> dict[str, type[Component]]:
    """The fields of ``cls`` that hold a component, with what they ask for."""
    kinds = annotations(cls).items()
    return {name: kind for name, kind in kinds if inspect.isclass(kind) and issubclass(kind, Component)}


def parts(cls: type[Component]) -> dict[str, type[Component]]:
    """Those among :func:`components` for which there is no choice, only fields."""
    return {name: kind for name, kind in components(cls).items() if not choices(kind)}


def explain(word: str) -> str:
    """Everything about ``name``, ``group=name`` or ``group``.

    Raises:
        ConfigurationError: when nothing of that name is registered, with the nearest name.
    """
    group, _, name = word.rpartition("=")
    found = [cls for (where, label), cls in sorted(Component.table.items()) if label == name and group in ("", where)]
    if found:
        return "\n\n".join(_page(cls) for cls in found)
    if not group and _entries(word):
        return section(word, _entries(word))
    known = {text for where, label in Component.table for text in (where, label, f"{where}={label}") if text}
    raise ConfigurationError(f"{word}: there is no such component{meant(word, known)}; energy --help lists them")


def _entries(group: str) -> dict[str, type[Component]]:
    return {name: cls for (where, name), cls in sorted(Component.table.items()) if where == group}


def _page(cls: type[Component]) -> str:
    described = inspect.getdoc(cls) if summary(cls) else ""
    lines = [f"{cls.group}={cls.label}    {cls.__module__}.{cls.__qualname__}", described or "", "Fields:"]
    inside = [line for name, item in _items(cls) for line in ["", part(f"each of {name}", item)]]
    return "\n".join([*lines, *(f"  {text}" for text in fields(cls) or ["none"]), *inside])


def _items(cls: type[Component]) -> Iterator[tuple[str, type[Component]]]:
    """The fields that list components for which there is no choice, those inside them too."""
    for name, kind in annotations(cls).items():
        item = get_args(kind)[0] if get_origin(kind) is list else None
        if inspect.isclass(item) and issubclass(item, Component) and not choices(item):
            yield name, item
            yield from _items(item)


def _kind(kind: Any) -> str:
    if get_origin(kind) is list:
        return f"list of {_kind(get_args(kind)[0])}"
    if inspect.isclass(kind) and issubclass(kind, enum.Enum):
        return "|".join(member.name.lower() for member in kind)
    if inspect.isclass(kind) and issubclass(kind, Component):
        return kind.group if choices(kind) else kind.__name__
    return getattr(kind, "__name__", str(kind))


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f" = {_show(field.default)}"
    if field.default_factory is not dataclasses.MISSING:
        return f" = {_show(field.default_factory())}"
    return ""


def _show(value: object) -> str:
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, Component):
        return f"{value.label or type(value).__name__}{_changed(value)}"
    if isinstance(value, list):
        return f"[{', '.join(_show(item) for item in value)}]"
    return repr(value) if value == "" else str(value)


def _changed(value: Component) -> str:
    """What a default that is a component sets differently from its class, in parentheses."""
    try:
        plain = build(type(value), {})
    except ConfigurationError:
        return ""
    names = [name for name in annotations(type(value)) if getattr(value, name) != getattr(plain, name)]
    return f"({', '.join(f'{name}={_show(getattr(value, name))}' for name in names)})" if names else ""


def _wrap(text: str, indent: int) -> list[str]:
    width = max(60, min(120, shutil.get_terminal_size((110, 24)).columns))
    return textwrap.wrap(text, width, subsequent_indent=" " * indent, break_on_hyphens=False)
