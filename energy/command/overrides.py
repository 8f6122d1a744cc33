"""Overrides of the command line, rewritten into the form that Hydra composes.

Hydra composes plain nodes that hold only the differences from the components' own defaults, so a field that is still
at its default is in no node. `settler.beta=0.1` therefore becomes `++settler.beta=0.1`, and if a field is itself a
component `settler.relax=zebra` becomes `++settler.relax.name=zebra`; `settler=two_phase` remains the choice of a node.
Names, types and ranges are checked by `energy.component.from_dict` alone.
"""

import inspect
import itertools
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Glob, Override, ValueType

from energy.command import trust
from energy.component import Component, ConfigurationError, annotations, choices
from energy.errors import shown
from energy.hints import hint
from energy.study.override_grammar import MOST, parsed, swept_values


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        overrides: its overrides, as Hydra composes them.
        varied: the values of the fields that vary over the sweep, as `name=value`.
    """

    overrides: tuple[str, ...]
    varied: tuple[str, ...] = ()


def rewrite(text: str, base: type[Component], groups: Mapping[str, Collection[str]]) -> Override:
    """Rewrite one override of a configuration of `base` into the form that Hydra can compose.

    Args:
        text: the override as on the command line.
        base: the class of the whole configuration.
        groups: the nodes of every name that is chosen among nodes.

    Raises:
        ConfigurationError: if the text cannot be parsed, for a node that does not exist, for anything under `hydra`.
    """
    override = parse_override(text)
    path = override.key_or_group
    if path.split(".")[0].split("/")[0] == "hydra":
        raise ConfigurationError(f"{shown(path)}: Hydra's own settings cannot be changed; sweeps run in this process")
    if override.is_delete():
        return override
    value = text.partition("=")[2]
    names = _names(override)
    if path in groups and not isinstance(override.value(), dict):
        _known(path, [override.value()] if names is None else names, groups[path])
        return parse_override(f"{path}={value}")
    if names is not None and takes_component(base, path.split(".")):
        return parse_override(f"++{path}.name={value}")
    return parse_override(f"++{path}={value}")


def parse_override(text: str) -> Override:
    """Parse one override as Hydra does, if it is within the limits.

    Raises:
        ConfigurationError: Hydra's complaint, cut to one line; naming the limit, for one that is too long, nests too
            deep or has too many values; for an interpolation of anything but another field.
    """
    if "=" not in text and not text.startswith("~"):
        raise ConfigurationError(f"{shown(text)}: must have the form name=value")
    try:
        override = parsed(_home(text))
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; {_quoted(text)}") from None
    if override.package is not None or override.value_type is ValueType.INTERVAL_SWEEP:
        raise ConfigurationError(
            f"{shown(text)}: must be name=value, or with -m name=value,value or name=range(start,stop)"
        )
    for value in swept_values(override) if override.is_sweep_override() else [override.value()]:
        trust.refuse_resolvers(override.key_or_group, value)
    return override


def _home(text: str) -> str:
    """`out=~/runs` with the quotes that Hydra wants around a `~`."""
    name, _, value = text.partition("=")
    return f'{name}="{value}"' if re.fullmatch(r"~[\w.+@%:/ -]*", value) else text


def _quoted(text: str) -> str:
    """The advice to write an unusual value in quotes of its own, inside those that the shell takes off."""
    name, _, value = text.strip("\"'").partition("=")
    plain = value.strip("\"'")
    example = shown(f'{name}="{plain}"')
    return f"put quotes around an unusual value, and others around all for the shell: '{example}'"


def takes_component(base: type[Component], path: Iterable[str]) -> bool:
    """Return true if `path` leads to a field that some component valid there declares as a component."""
    classes: list[type[Component]] = [base]
    asked: list[type[Component]] = []
    for field in path:
        kinds = [annotations(cls).get(field) for cls in classes]
        asked = [kind for kind in kinds if inspect.isclass(kind) and issubclass(kind, Component)]
        classes = [cls for kind in asked for cls in (kind, *choices(kind).values())]
    return any(choices(kind) for kind in asked)


def expand(overrides: Iterable[Override], groups: Mapping[str, Collection[str]], sweep: bool) -> list[Job]:
    """Make one job for every combination of the values that are swept over; the first override varies slowest.

    Args:
        overrides: the overrides in Hydra's form.
        groups: the nodes of every name that is chosen among nodes.
        sweep: whether several values are allowed.

    Raises:
        ConfigurationError: for several values without `sweep`, and for more than `MOST` runs.
    """
    options: list[list[tuple[str, str]]] = []
    for override in overrides:
        text = override.input_line or ""
        if not override.is_sweep_override():
            options.append([(text, "")])
            continue
        if not sweep:
            raise ConfigurationError(f"{shown(text.lstrip('+'))}: has several values; add -m to run them all")
        key = override.get_key_element()
        told = key.lstrip("+").removesuffix(".name")
        values = _values(override, groups.get(key, ()))
        options.append([(f"{key}={value}", f"{told}={value}") for value in values])
    count = math.prod(len(option) for option in options)
    if count > MOST:
        raise ConfigurationError(f"sweep: has {count} runs; must have at most {MOST}")
    return [
        Job(tuple(text for text, _ in chosen), tuple(varied for _, varied in chosen if varied))
        for chosen in itertools.product(*options)
    ]


def _values(override: Override, names: Collection[str]) -> list[str]:
    value = override.value()
    found = value.filter(sorted(names)) if isinstance(value, Glob) else list(override.sweep_string_iterator())
    if not found:
        raise ConfigurationError(f"{shown((override.input_line or '').lstrip('+'))}: fits no name")
    return found


def _names(override: Override) -> list[str] | None:
    """The plain words of an override, several in a sweep; None for values of any other kind."""
    value: Any = override.value()
    if isinstance(value, Glob):
        return []
    words: list[Any] = swept_values(override) if override.is_sweep_override() else [value]
    return words if all(isinstance(word, str) for word in words) else None


def _known(group: str, names: Iterable[Any], nodes: Collection[str]) -> None:
    for name in names:
        if not isinstance(name, str) or name not in nodes:
            raise ConfigurationError(f"{group}={shown(name)}: unknown; {hint(str(name), nodes)}")
