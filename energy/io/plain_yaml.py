"""Plain YAML: mappings, lists, texts, numbers and truth values, of bounded size, nesting and expansion.

Everything is measured on the stream of events, before a single value is built: an alias counts as often as it is used.
Tags, dates and keys that are no scalars are refused, and so is a key that stands twice in one mapping.
"""

import os
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from yaml import SafeLoader, YAMLError, parse
from yaml.composer import Composer
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    ScalarEvent,
)
from yaml.nodes import MappingNode, ScalarNode
from yaml.resolver import Resolver

from energy.errors import ConfigurationError, DamagedFileError, MissingFileError, shown
from energy.io.plain_file import read_plain

LARGEST: Final = 1 << 18  # bytes of a file
DEEPEST: Final = 32  # mappings and lists inside each other
MOST: Final = 10_000  # values, an alias counted as all that it stands for
LETTERS: Final = 1 << 20  # of all these values together
DIGITS: Final = 64  # letters of a number
FLOAT: Final = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))\Z|\.(?:nan|NaN|NAN)\Z"
)
PREFIX: Final = "tag:yaml.org,2002:"
REPLACED: Final = frozenset({PREFIX + "float", PREFIX + "timestamp"})


class Weight(NamedTuple):
    """The cost of a value: the values in it, itself included, their letters, and how deep it is."""

    values: int
    letters: int
    depth: int


def read_yaml(path: Path, limit: int = LARGEST) -> Any:
    """Read a file, which may be a link to one.

    Args:
        path: the file.
        limit: the greatest number of bytes.

    Raises:
        ConfigurationError: naming the file, when it is missing, unreadable, too large, or no plain YAML.
    """
    where = shown(path)
    try:
        blob = read_plain(Path(os.path.realpath(path)), limit, DamagedFileError)
    except MissingFileError:
        raise ConfigurationError(f"{where}: there is no such file") from None
    except (DamagedFileError, OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error).removeprefix(f"{os.path.realpath(path)}: ")
        raise ConfigurationError(f"{where}: cannot be read ({shown(said)})") from None
    return yaml_values(blob, where)


def yaml_values(blob: bytes, where: str) -> Any:
    """Return the values in a text.

    Args:
        blob: the text in UTF-8.
        where: the file, which begins every message.

    Raises:
        ConfigurationError: when it is no plain YAML, or above a limit.
    """
    try:
        text = blob.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{where}: cannot be read (byte {error.start} is not UTF-8)") from None
    try:
        return _Loader(_measured(text, where)).get_single_data()
    except YAMLError as error:
        raise ConfigurationError(f"{where}: is no YAML ({_told(error)})") from None


def _measured(text: str, where: str) -> list[Event]:
    """The events of a text, none of which leads above a limit."""
    events, anchors = list[Event](), dict[str, Weight]()
    open_ones, total = list[tuple[str | None, Weight]](), Weight(0, 0, 0)
    for event in parse(text):
        events.append(event)
        line = f"{where}: line {event.start_mark.line + 1}"
        if isinstance(event, CollectionStartEvent):
            open_ones.append((event.anchor, Weight(1, 0, 1)))
            total = Weight(total.values + 1, total.letters, 0)
        elif isinstance(event, CollectionEndEvent):
            anchor, weight = open_ones.pop()
            _close(anchors, open_ones, anchor, weight)
        elif isinstance(event, ScalarEvent | AliasEvent):
            weight = _weight(event, anchors, line)
            total = Weight(total.values + weight.values, total.letters + weight.letters, 0)
            _close(anchors, open_ones, event.anchor if isinstance(event, ScalarEvent) else None, weight)
            _limit(line, "nests mappings and lists", len(open_ones) + weight.depth, DEEPEST, "deep")
        _limit(line, "nests mappings and lists", len(open_ones), DEEPEST, "deep")
        _limit(line, "holds", total.values, MOST, "values, aliases counted as what they stand for")
        _limit(line, "holds", total.letters, LETTERS, "letters, aliases counted as what they stand for")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise ConfigurationError(f"{line}: {shown(tag)}: tags are refused; write plain values")
    return events


def _weight(event: ScalarEvent | AliasEvent, anchors: Mapping[str, Weight], line: str) -> Weight:
    if isinstance(event, ScalarEvent):
        return Weight(1, len(event.value), 0)
    if event.anchor not in anchors:
        raise ConfigurationError(f"{line}: *{shown(event.anchor)}: stands for nothing, or for what it stands in")
    return anchors[event.anchor]


def _close(
    anchors: dict[str, Weight], open_ones: list[tuple[str | None, Weight]], anchor: str | None, weight: Weight
) -> None:
    """Remember the weight of a finished value, and add it to that of the collection that it is in."""
    if anchor is not None:
        anchors[anchor] = weight
    if open_ones:
        name, above = open_ones.pop()
        sums = Weight(above.values + weight.values, above.letters + weight.letters, max(above.depth, weight.depth + 1))
        open_ones.append((name, sums))


def _limit(line: str, what: str, found: int, most: int, unit: str) -> None:
    if found > most:
        raise ConfigurationError(f"{line}: {what} {found} {unit}; must be at most {most}")


def _told(error: YAMLError) -> str:
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        return f"{place}{shown(error.problem or error.context or 'malformed')}"
    return shown("; ".join(line.strip() for line in str(error).splitlines()[:2]))


class _Loader(Composer, SafeConstructor, Resolver):
    """The safe loader over events that were measured."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        first: [(tag, pattern) for tag, pattern in known if tag not in REPLACED]
        + ([(PREFIX + "float", FLOAT)] if first in {*"-+.0123456789"} else [])
        for first, known in SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        **SafeConstructor.yaml_constructors,
        PREFIX + "int": lambda loader, node: loader.number(node, SafeConstructor.construct_yaml_int),
        PREFIX + "float": lambda loader, node: loader.number(node, SafeConstructor.construct_yaml_float),
    }

    def __init__(self, events: list[Event]) -> None:
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self.events, self.at = events, 0

    def peek_event(self) -> Event:
        return self.events[self.at]

    def check_event(self, *kinds: type[Event]) -> bool:
        return self.at < len(self.events) and isinstance(self.events[self.at], kinds)

    def get_event(self) -> Event:
        self.at += 1
        return self.events[self.at - 1]

    def number(self, node: ScalarNode, construct: Any) -> Any:
        text = node.value
        try:
            if len(text) <= DIGITS:
                return construct(self, node)
        except (ValueError, OverflowError):
            pass
        said = f"{shown(text)}: is no number of at most {DIGITS} letters"
        raise ConstructorError(None, None, said, node.start_mark)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, ScalarNode):
                raise ConstructorError(None, None, "a key must be a text or a number", key.start_mark)
            if (key.tag, key.value) in found:
                raise ConstructorError(None, None, f"{shown(key.value)}: stands there twice", key.start_mark)
            found.add((key.tag, key.value))
        return super().construct_mapping(node, deep)
