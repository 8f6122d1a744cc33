"""Interpolations of composed values: `${data.name}` stands for the value of another field, and for nothing else.

The grammar has no resolvers and no nesting: dots for the fields above (none for the whole configuration, one for the
fields beside this one), then names with dots or brackets between. What a configuration grows to is counted before it
does.
"""

import copy
import re
from collections.abc import Mapping
from typing import Any, Final

from energy.component import ConfigurationError
from energy.errors import shown

NAMED: Final = re.compile(r"\$\{\s*(\.*)([\w-]+(?:\.[\w-]+|\[[\w-]+\])*)\s*\}")
STEP: Final = re.compile(r"[\w-]+")
LONGEST: Final = 4096  # letters of a text after interpolation
MOST: Final = 20_000  # values of a configuration after interpolation
LETTERS: Final = 1 << 20  # of all texts with interpolations together
FURTHEST: Final = 16  # fields through which one interpolation leads
MISSING: Final = "???"

Path = tuple[str | int, ...]


def is_plain(text: str) -> bool:
    """Return True if every `${` of a text begins the name of another field.

    Example:
        >>> is_plain("runs/${data.name}"), is_plain("${oc.env:HOME}"), is_plain("${${title}:HOME}")
        (True, False, False)
    """
    return "${" not in NAMED.sub("", text) and text.count("${") == len(NAMED.findall(text))


def resolved(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return composed values with every interpolation replaced.

    A text that is one interpolation becomes the value of the field, of any type; inside a longer text the field must
    hold a single value.

    Raises:
        ConfigurationError: for a field that is not there, has no value yet (`???`), or refers to itself, for an
            interpolation with a resolver, and for a configuration that grows above a limit.
    """
    try:
        return _Interpolation(values).value(values, ())[0]
    except RecursionError:
        raise ConfigurationError("configuration: interpolations nest it too deep") from None


class _Interpolation:
    """One configuration; a value comes with the number of values that it holds."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.known: dict[Path, tuple[Any, int]] = {}
        self.open: set[Path] = set()
        self.values = self.letters = 0

    def value(self, given: Any, path: Path) -> tuple[Any, int]:
        if isinstance(given, Mapping):
            pairs = {key: self.value(one, (*path, key)) for key, one in given.items()}
            return {key: one for key, (one, _) in pairs.items()}, 1 + sum(count for _, count in pairs.values())
        if isinstance(given, list):
            items = [self.value(one, (*path, at)) for at, one in enumerate(given)]
            return [one for one, _ in items], 1 + sum(count for _, count in items)
        if given == MISSING:
            raise ConfigurationError(f"{_dotted(path)}: has no value ({MISSING}) and must be given")
        if not isinstance(given, str) or "${" not in given:
            self.spend(path, 1, 0)
            return given, 1
        return self.text(given, path)

    def text(self, given: str, path: Path) -> tuple[Any, int]:
        if path in self.known:
            return self.known[path]
        if not is_plain(given):
            raise ConfigurationError(
                f"{_dotted(path)}={shown(given)!r}: refused; an interpolation may only name another field"
            )
        if path in self.open or len(self.open) >= FURTHEST:
            said = "refers to itself" if path in self.open else f"leads through more than {FURTHEST} other fields"
            raise ConfigurationError(f"{_dotted(path)}={shown(given)}: {said}")
        self.open.add(path)
        whole = NAMED.fullmatch(given)
        self.known[path] = found = self.field(whole, path, given) if whole else (self.joined(given, path), 1)
        self.open.discard(path)
        self.spend(path, found[1], len(found[0]) if isinstance(found[0], str) else 0)
        return found

    def joined(self, given: str, path: Path) -> str:
        """A text with fields inside it; its length is known before it is put together."""
        parts = list[str]()
        at = length = 0
        for match in NAMED.finditer(given):
            inside, _ = self.field(match, path, given)
            if isinstance(inside, dict | list):
                raise ConfigurationError(f"{_dotted(path)}={shown(given)}: {match[0]} is a set of values, not a text")
            parts += [given[at : match.start()], str(inside)]
            at, length = match.end(), length + match.start() - at + len(parts[-1])
            if length > LONGEST:
                raise ConfigurationError(
                    f"{_dotted(path)}={shown(given)}: grows to more than {LONGEST} letters, the most that may be"
                )
        text = "".join([*parts, given[at:]])
        if "${" in text:
            raise ConfigurationError(f"{_dotted(path)}={shown(given)}: refused; it grows to another interpolation")
        return text

    def field(self, match: re.Match[str], path: Path, given: str) -> tuple[Any, int]:
        """The value of the field that an interpolation at `path` names."""
        dots, names = len(match[1]), STEP.findall(match[2])
        steps = [*(path[: len(path) - dots] if dots else ()), *names]
        inside: Any = self.root
        target: Path = ()
        for step in steps:
            if isinstance(inside, str) and "${" in inside:
                inside, _ = self.text(inside, target)
            key = None if dots > len(path) else _key(inside, step)
            if key is None:
                said = f"Interpolation key {shown(match[2])!r} not found"
                raise ConfigurationError(f"{said}; {_dotted(path)}={shown(given)} names it")
            inside, target = inside[key], (*target, key)
        if target == path[: len(target)]:
            raise ConfigurationError(f"{_dotted(path)}={shown(given)}: refers to what it stands in")
        value, count = self.value(inside, target)
        return copy.deepcopy(value), count

    def spend(self, path: Path, values: int, letters: int) -> None:
        """Count what a configuration holds."""
        self.values += values
        self.letters += letters
        for what, found, most in (("values", self.values, MOST), ("letters", self.letters, LETTERS)):
            if found > most:
                raise ConfigurationError(f"{_dotted(path)}: interpolations grow to more than {most} {what}")


def _key(inside: Any, step: str | int) -> Any:
    """The key or the index that a step of a path stands for; None if there is none."""
    if isinstance(inside, list):
        text = str(step)
        return int(text) if re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) and int(text) < len(inside) else None
    if not isinstance(inside, Mapping):
        return None
    return step if step in inside else next((key for key in inside if str(key) == str(step)), None)


def _dotted(path: Path) -> str:
    return shown(".".join(map(str, path)) or "configuration")
