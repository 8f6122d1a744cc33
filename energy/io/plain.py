"""Plain values, read from strict JSON and traversed."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from energy.errors import DamagedFileError


def json_object(text: str | bytes, where: str, error: type[DamagedFileError] = DamagedFileError) -> dict[str, Any]:
    """Parse `text` as one JSON object.

    Args:
        text: content of a file.
        where: the file and the place in it, which begin the message.
        error: the class of errors to raise.

    Raises:
        DamagedFileError: or `error`, if it is not JSON, or no object.
    """
    try:
        value = json.loads(text)
    except ValueError as found:
        raise error(f"{where}: not JSON ({found})") from None
    if not isinstance(value, dict):
        raise error(f"{where}: must be one JSON object")
    return value


def flatten(plain: Any, between: str = ".", path: str = "", *, lists: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested dictionaries, each with the path to it.

    Args:
        plain: the nested values.
        between: joins the steps of a path.
        path: prefix of all paths.
        lists: also go into lists, whose entries are named `path[index]`.

    Example:
        >>> dict(flatten({"a": {"b": 1}, "c": 2}))
        {'a.b': 1, 'c': 2}
    """
    if isinstance(plain, Mapping):
        for name, value in plain.items():
            yield from flatten(value, between, f"{path}{between}{name}" if path else str(name), lists=lists)
    elif lists and isinstance(plain, list):
        for index, value in enumerate(plain):
            yield from flatten(value, between, f"{path}[{index}]", lists=True)
    else:
        yield path, plain
