"""Settings that a settler does better with than with the defaults: taken where the command line and its files are
silent, and said in one line."""

import inspect
from collections.abc import Mapping
from typing import Any

from energy.component import Component, annotations, build, choices
from energy.potentials import Potential
from energy.settle.settler import Settler
from energy.study.entrants import split


def supply(base: type[Component], values: dict[str, Any]) -> str:
    """Put what the settler, or the settlers of a comparison, need into composed ``values``; a line of it, or nothing.

    What a comparison has in common goes to all of it, so that its entrants still train one network; what belongs to a
    settler and its optimiser goes to its own entry.

    Raises:
        ConfigurationError: for a settler that cannot be built.
    """
    if "settler" in annotations(base):
        settler = build(Settler, values["settler"], path="settler")
        taken = [_set(base, values, path, value) for path, value in settler.needs().items()]
        return _told(f"settler={settler.label}", taken)
    if "settlers" not in annotations(base):
        return ""
    lines = []
    entries = values.get("settlers") or base.__dataclass_fields__["settlers"].default_factory()  # type: ignore[misc]
    values["settlers"] = list(entries)
    for number, entry in enumerate(entries):
        name = split(entry.partition(":")[2] if ":" in entry.partition("=")[0] else entry)[:1]
        if not name or name[0] not in choices(Settler):
            continue  # told where entries are read
        taken = []
        for path, value in build(Settler, name[0]).needs().items():
            if not path.startswith(("settler.", "optimizer")):
                taken.append(_set(base, values, path, value))
            elif f" {path.removeprefix('settler.')}=" not in entry and f" {path}" not in entry:
                values["settlers"][number] += f" {path}={value}"
                taken.append(f"{path}={value}")
        lines.append(_told(f"settler={name[0]}", taken))
    return "; ".join(filter(None, lines))


def _told(who: str, taken: list[str]) -> str:
    said = ", ".join(filter(None, taken))
    return f"{who}: takes {said}, where nothing else is said" if said else ""


def _set(base: type[Component], values: dict[str, Any], path: str, value: str | float) -> str:
    """``path=value``, put into ``values``; nothing where it is said there, has no place, or is met already."""
    group, _, field = path.partition(".")
    said = values.get(group)
    if not field:
        if said:
            return ""
        values[group] = {"name": value}
        return f"{path}={value if isinstance(value, str) else format(value, 'g')}"
    cls = choices(annotations(base)[group]).get(said["name"]) if isinstance(said, Mapping) else None
    if cls is None or field in said or field not in annotations(cls) or _met(cls, field):
        return ""
    values[group] = {**said, field: value}
    return f"{path}={value if isinstance(value, str) else format(value, 'g')}"


def _met(cls: type[Component], field: str) -> bool:
    """Whether the default of a field is a bounded unit, or no unit."""
    make = cls.__dataclass_fields__[field].default_factory
    default = make() if inspect.isclass(make) or callable(make) else None
    return isinstance(default, Potential) and default.upper < float("inf")
