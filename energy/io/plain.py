"""Plain values, read from strict JSON and traversed."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

from energy.errors import DamagedFileError

DEEPEST: Final = 64  # objects and lists within each other
DIGITS: Final = 308  # of a whole number, so that a float holds it too
HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")  # of a letter that JSON writes in two halves
TOKENS: Final = re.compile(r'"(?:[^"\\]+|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)


def json_object(text: str | bytes, where: str, error: type[DamagedFileError] = DamagedFileError) -> dict[str, Any]:
    """Parse `text` as one JSON object: UTF-8, at most `DEEPEST` deep, each name once, numbers finite, letters whole.

    Args:
        text: content of a file.
        where: the file and the place in it, which begin the message.
        error: the class of errors to raise.

    Raises:
        DamagedFileError: or `error`, if it is not JSON, or no object.
    """
    try:
        text = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError as found:
        raise error(f"{where}: not JSON ({found})") from None
    if text.count("[") + text.count("{") > DEEPEST and depth(text) > DEEPEST:
        raise error(f"{where}: nested too deeply, with more than {DEEPEST} brackets open at once")
    try:
        value = json.loads(
            text, object_pairs_hook=_once, parse_float=_finite, parse_int=_whole, parse_constant=_refused
        )
        if HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except ValueError as found:
        raise error(f"{where}: not JSON ({found})") from None
    if not isinstance(value, dict):
        raise error(f"{where}: must be one JSON object")
    return value


def depth(text: str) -> int:
    """Return how many brackets and braces are open at once at most, outside of strings.

    Example:
        >>> depth('{"a": [1, {"b": "[[["}]}')
        3
    """
    open_now = deepest = 0
    for token in TOKENS.finditer(text):
        first = text[token.start()]
        open_now += (first in "[{") - (first in "]}")
        deepest = max(deepest, open_now)
    return deepest


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


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise DamagedFileError(f"{twice!r} occurs twice in one object")
    return found


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused(text)


def _whole(text: str) -> int:
    return int(text) if len(text) <= DIGITS else _refused(text)


def _refused(text: str) -> NoReturn:
    raise DamagedFileError(f"{text[:20]} is not a finite number")
