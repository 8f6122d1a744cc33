"""Translation of component descriptions with former names to the present ones."""

import inspect
from collections.abc import Mapping
from typing import Any, get_args

from energy.component import Component, annotations, choices
from energy.renamed import renamed


def current(base: type[Component], plain: Any) -> Any:
    """Translate a description to the present names of fields and values, also those of the components in it.

    Args:
        base: the class of the described component, such as `Run`.
        plain: the description, as `energy.component.to_dict` gives it; a component without an entry in the tables of
            `energy.renamed`, and an unknown one, is returned as it is.
    """
    if not isinstance(plain, Mapping):
        return plain
    cls = choices(base).get(str(plain.get("name")), base)
    kinds, found = annotations(cls), dict[str, Any]()
    for former, value in plain.items():
        field, present = renamed(cls.group, cls.name, former, value)
        if former != field and field in plain:  # both are given: the present one counts
            continue
        found[field] = _inner(kinds.get(field), present)
    return found


def _inner(kind: Any, value: Any) -> Any:
    if inspect.isclass(kind) and issubclass(kind, Component):
        return current(kind, value)
    if isinstance(value, list) and get_args(kind):
        return [_inner(get_args(kind)[0], one) for one in value]
    return value
