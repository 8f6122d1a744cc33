"""Values of a file of cells, read one by one; an error names the file, the cell, the key, the value and the limit."""

import math
import reprlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from energy.component import ConfigurationError
from energy.hints import hint
from energy.values import format_value


@dataclass(frozen=True)
class Fields:
    """The keys of one mapping of a file.

    Attributes:
        where: the file and the place in it, which begin every message.
        values: the mapping.
    """

    where: str
    values: Mapping[str, Any]

    def error(self, key: str, limit: str) -> ConfigurationError:
        """Return the error for the value of a key.

        Args:
            key: the key, which may be missing.
            limit: the condition in words, such as `must be a text`.
        """
        shown = f"={_shown(self.values[key])}" if key in self.values else ""
        return ConfigurationError(f"{self.where}: {key}{shown}: {limit}")

    def limit_keys(self, required: Collection[str], optional: Collection[str] = ()) -> None:
        """Refuse a missing and an unknown key.

        Raises:
            ConfigurationError: naming it, with the nearest valid one.
        """
        known = [*required, *optional]
        for key in self.values:
            if key not in known:
                raise ConfigurationError(f"{self.where}: {key}: unknown key; {hint(str(key), known)}")
        for key in required:
            if key not in self.values:
                raise self.error(key, f"is missing; required: {', '.join(required)}")

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text of at least one letter, or the default."""
        if key not in self.values and default is not None:
            return default
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.error(key, "must be a text")
        return value.strip()

    def choice(self, key: str, known: Collection[str], default: str | None = None) -> str:
        """Return one of the known texts, or the default.

        Raises:
            ConfigurationError: naming the nearest of them.
        """
        value = self.text(key, default)
        if key in self.values and value not in known:
            raise self.error(key, f"unknown; {hint(value, known)}")
        return value

    def number(self, key: str, least: float = -math.inf) -> float | None:
        """Return a finite number above `least`; None if the key is missing."""
        if key not in self.values:
            return None
        value = self.values[key]
        limit = "must be a number" if math.isinf(least) else f"must be a number above {least:g}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, limit)
        if not math.isfinite(value) or value <= least:
            raise self.error(key, limit)
        return float(value)

    def truth(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, "must be true or false")
        return value

    def entries(self, key: str, kind: type, of: str) -> tuple[Any, ...]:
        """Return a list without repetitions whose entries have one type; empty if the key is missing.

        Args:
            key: the key.
            kind: the type of every entry.
            of: the entries in words.
        """
        value = self.values.get(key, [])
        limit = f"must be a list of different {of}"
        if not isinstance(value, list) or not all(type(one) is kind for one in value):
            raise self.error(key, limit)
        if len(set(value)) < len(value):
            raise self.error(key, limit)
        return tuple(value)

    def part(self, key: str) -> "Fields":
        """Return the mapping below a key."""
        value = self.values.get(key)
        if not isinstance(value, Mapping):
            raise self.error(key, "must be a set of keys and values")
        return Fields(f"{self.where}: {key}", value)


def _shown(value: Any) -> str:
    """A value for a message; nested ones are cut off first, since references may make them huge."""
    short = reprlib.Repr()
    short.maxlevel = 2
    return short.repr(value) if isinstance(value, list | Mapping) else format_value(value)
