"""Refusal of code, and of anything from outside, in configuration files and on the command line.

Composing builds nothing. Hydra's own node could name classes that Hydra would call when it runs a job
(`_target_`, the `()` and `class` of logging configurations); we never hand that node to Hydra, and refuse a file
that puts such a name there all the same. An interpolation with a resolver, `${oc.env:TOKEN}` above all, would copy
something from outside into a record; only those that name another field remain, and while a configuration is composed
OmegaConf knows no resolver at all.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from omegaconf.basecontainer import BaseContainer

from energy.command.interpolation import is_plain
from energy.component import ConfigurationError
from energy.errors import shown
from energy.io.plain import flatten

CALLABLE: Final = ("_target_", "()", "class")
HYDRA: Final = re.compile(r"(?:^|[\s/@.:])hydra(?:$|[\s/@.:])")
ALLOWED: Final = "hydra.sweeper.params"


@contextmanager
def no_resolvers() -> Iterator[None]:
    """Take every resolver from OmegaConf, in this process, and give them back at the end of the context."""
    known: dict[str, Any] = BaseContainer._resolvers
    kept = dict(known)
    known.clear()
    try:
        yield
    finally:
        known.clear()
        known.update(kept)


def refuse_code(hydra: Mapping[str, Any], bare: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuse a composed configuration that asks for code or for something from outside it.

    Args:
        hydra: the node `hydra` of the composition, unresolved.
        bare: the same node composed from our own files alone.
        ours: the rest of the composition, unresolved.

    Raises:
        ConfigurationError: naming the first entry that is refused.
    """
    allowed = dict(flatten(bare, path="hydra", lists=True))
    for path, value in flatten(hydra, path="hydra", lists=True):
        if _last(path) in CALLABLE and (path not in allowed or allowed[path] != value):
            raise _code(path, value)
    for path, value in flatten(ours, lists=True):
        if _last(path) == "_target_":
            raise _code(path, value)
        refuse_resolvers(path, value)


def refuse_resolvers(path: str, value: object) -> None:
    """Refuse an interpolation of anything but another field, in a value, in the entries of one, or in the path itself.

    Raises:
        ConfigurationError: naming the path and the text.
    """
    for inner, text in flatten(value, path=path, lists=True):
        for one in (inner, text):
            if isinstance(one, str) and not is_plain(one):
                said = shown(inner) if one is inner else f"{shown(inner)}={shown(text)!r}"
                raise ConfigurationError(f"{said}: refused; an interpolation may only name another field")


def refuse_preset(values: Mapping[str, Any], package: str, where: str) -> None:
    """Refuse a file of values that reaches for code, for something from outside, or for Hydra's own settings.

    Args:
        values: the file, its list of defaults included.
        package: the place at which its values are put.
        where: the file, which begins every message.

    Raises:
        ConfigurationError: naming the first entry that is refused.
    """
    try:
        refuse_code({}, {}, values)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    entries = flatten(values.get("defaults"), lists=True)
    defaults = [text for pair in entries for text in pair if isinstance(text, str)]
    if any(HYDRA.search(text) for text in (package, *defaults)):
        raise ConfigurationError(f"{where}: refused; a file cannot choose Hydra's own settings")
    for path, value in flatten(values.get("hydra", {}), path="hydra", lists=True):
        if _last(path) in CALLABLE:
            raise _code(f"{where}: {path}", value)
        if not path.startswith(ALLOWED):
            raise ConfigurationError(f"{where}: {shown(path)}: refused; a file may set only {ALLOWED} there")


def _last(path: str) -> str:
    return path.rpartition(".")[2].partition("[")[0]


def _code(path: str, value: object) -> ConfigurationError:
    return ConfigurationError(
        f"{shown(path)}={shown(value)!r}: refused; a configuration file must not name code to call"
    )
