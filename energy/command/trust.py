"""Refusal of code in configuration files, checked on the composed tree before it is used.

Composing builds nothing. Hydra's own node could name classes that Hydra would call when it runs a job
(`_target_`, the `()` and `class` of logging configurations); we never hand that node to Hydra, and refuse a file
that puts such a name there all the same. An interpolation with a resolver, `${oc.env:TOKEN}` above all, would copy
something from outside into a record.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from energy.component import ConfigurationError
from energy.io.plain import flatten

CALLABLE: Final = ("_target_", "()", "class")
RESOLVER: Final = re.compile(r"\$\{[^{}]*:")


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
        if path.rpartition(".")[2] in CALLABLE and (path not in allowed or allowed[path] != value):
            raise ConfigurationError(f"{path}={value!r}: refused; a configuration file must not name code to call")
    for path, value in flatten(ours, lists=True):
        if path.rpartition(".")[2] == "_target_":
            raise ConfigurationError(f"{path}={value!r}: refused; a configuration file must not name code to call")
        if isinstance(value, str) and RESOLVER.search(value):
            raise ConfigurationError(f"{path}={value!r}: refused; an interpolation may only name another field")
