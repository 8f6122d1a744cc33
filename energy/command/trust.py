"""Where trust ends: what a configuration file may not contain, checked on the composed tree before it is used.

Composing builds nothing. Hydra's own node could name classes that Hydra would call when it runs a job
(``_target_``, the ``()`` and ``class`` of logging configurations); we never hand that node to Hydra, and refuse a file
that puts such a name there all the same. An interpolation with a resolver, ``${oc.env:TOKEN}`` above all, would copy
something from outside into a record.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from energy.component import ConfigurationError

CALLABLE: Final = ("_target_", "()", "class")
RESOLVER: Final = re.compile(r"\$\{[^{}]*:")


def check(hydra: Mapping[str, Any], bare: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuse a composed configuration that asks for code or for something from outside it.

    Args:
        hydra: the node ``hydra`` of the composition, unresolved.
        bare: the same node composed from our own files alone.
        ours: the rest of the composition, unresolved.

    Raises:
        ConfigurationError: naming the first entry that is refused.
    """
    allowed = dict(_leaves(bare, "hydra"))
    for path, value in _leaves(hydra, "hydra"):
        if path.rpartition(".")[2] in CALLABLE and (path not in allowed or allowed[path] != value):
            raise ConfigurationError(f"{path}={value!r}: refused; a configuration file must not name code to call")
    for path, value in _leaves(ours, ""):
        if path.rpartition(".")[2] == "_target_":
            raise ConfigurationError(f"{path}={value!r}: refused; a configuration file must not name code to call")
        if isinstance(value, str) and RESOLVER.search(value):
            raise ConfigurationError(f"{path}={value!r}: refused; an interpolation may only name another field")


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path, value
