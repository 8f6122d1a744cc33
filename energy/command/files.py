"""Parts of a run from files: `model.file=net.yaml` replaces the name of a file by the fields in it.

Everything that follows, the records included, holds the fields and no file.
"""

import inspect
from collections.abc import Mapping
from typing import Any, Final

from energy.command import trust
from energy.component import Component, ConfigurationError, annotations, choices
from energy.errors import shown
from energy.io.plain_yaml import read_yaml
from energy.paths import expanded

FILE: Final = "file"


def include(base: type[Component], values: dict[str, Any]) -> None:
    """Replace `file` by the fields in the file, in every part whose component has no field of that name.

    Args:
        base: the class of the whole configuration.
        values: the composed values, changed in place; paths are relative to the current folder, and fields given
            beside `file` take precedence over those in the file.

    Raises:
        ConfigurationError: for a file that is missing, is not YAML or names code, and one for another component.
    """
    for part, kind in annotations(base).items():
        given = values.get(part)
        if not (isinstance(given, Mapping) and FILE in given and inspect.isclass(kind) and issubclass(kind, Component)):
            continue
        cls = choices(kind).get(str(given.get("name")))
        if cls is not None and FILE not in annotations(cls):
            path = f"{part}.{FILE}={shown(given[FILE])}"
            rest = {name: value for name, value in given.items() if name != FILE}
            values[part] = {**_fields(str(given[FILE]), path, part, cls.name), **rest}


def _fields(text: str, path: str, part: str, label: str) -> dict[str, Any]:
    """The fields in a file, for the component `label`."""
    try:
        fields = read_yaml(expanded(text))
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}{str(error).removeprefix(shown(expanded(text)))}") from None
    if not isinstance(fields, Mapping):
        raise ConfigurationError(f"{path}: must hold fields of {part}={label}, such as gain: 1.0")
    plain = {str(name): value for name, value in fields.items()}
    trust.refuse_code({}, {}, {part: plain})
    if plain.setdefault("name", label) != label:
        other = shown(plain["name"])
        raise ConfigurationError(f"{path}: holds a {part}={other}, not a {label}; say {part}={other}")
    return plain
