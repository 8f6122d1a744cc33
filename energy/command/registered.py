"""Entries of the components that are registered, written from their classes."""

import dataclasses
import enum
import inspect
from typing import Any, get_args, get_origin

from energy.command.entry import Entry
from energy.component import Component, ConfigurationError, annotations, choices, from_dict


def registered() -> list[Entry]:
    """List every component of the table, by group and name."""
    return [entry_of(cls) for _, cls in sorted(Component.registry.items())]


def entry_of(cls: type[Component]) -> Entry:
    """Return the entry of a class for the help pages."""
    kinds = annotations(cls)
    held = {name: kind for name, kind in kinds.items() if inspect.isclass(kind) and issubclass(kind, Component)}
    return Entry(
        title=cls.__name__,
        home=f"{cls.__module__}.{cls.__qualname__}",
        group=cls.group,
        label=cls.name,
        doc=_doc(cls),
        fields=tuple(
            f"{field.name}: {_kind(kinds[field.name])}{_default(field)}"
            for field in dataclasses.fields(cls)
            if field.name in kinds
        ),
        choices={name: tuple(choices(kind)) for name, kind in held.items()},
        parts={name: entry_of(kind) for name, kind in held.items() if not choices(kind)},
        items={name: entry_of(item) for name, kind in kinds.items() if (item := _listed(kind)) and not choices(item)},
    )


def _listed(kind: Any) -> type[Component] | None:
    """The class of the components that a field lists."""
    item = get_args(kind)[0] if get_origin(kind) is list else None
    return item if inspect.isclass(item) and issubclass(item, Component) else None


def _doc(cls: type[Component]) -> str:
    """The docstring of a class; empty for the one that `dataclasses` generates."""
    text = inspect.getdoc(cls) or ""
    return "" if text.startswith(f"{cls.__name__}(") and cls.__doc__ == text else text


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
        return f"{value.name or type(value).__name__}{_changed(value)}"
    if isinstance(value, list):
        return f"[{', '.join(_show(item) for item in value)}]"
    return repr(value) if value == "" else str(value)


def _changed(value: Component) -> str:
    """The fields, in parentheses, in which a default that is a component differs from the defaults of its class."""
    try:
        plain = from_dict(type(value), {})
    except ConfigurationError:
        return ""
    names = [name for name in annotations(type(value)) if getattr(value, name) != getattr(plain, name)]
    return f"({', '.join(f'{name}={_show(getattr(value, name))}' for name in names)})" if names else ""
