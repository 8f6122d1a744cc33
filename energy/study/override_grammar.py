"""Words of the form `name=value`, parsed by Hydra's grammar within limits that its parser does not set."""

import itertools
from typing import Any, Final

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString, RangeSweep

from energy.component import ConfigurationError
from energy.errors import shown

LONGEST: Final = 1 << 14  # letters of a word
DEEPEST: Final = 12  # brackets inside each other
STEPS: Final = 32  # names in the path of a field
MOST: Final = 1000  # values of one field in a sweep, and runs of it


def parsed(text: str) -> Override:
    """Parse one word.

    Raises:
        ConfigurationError: Hydra's complaint, cut to one line; naming the limit, for a word that would keep the parser
            busy for long or overflow it.
    """
    _measure(text)
    try:
        return OverridesParser.create().parse_override(text)
    except Exception as error:  # of the parser and of the functions in its grammar; whatever a text can provoke
        said = shown(next(iter(str(error).splitlines()), type(error).__name__))
        raise ConfigurationError(f"{shown(text)}: cannot be read ({said})") from None


def swept_values(override: Override) -> list[Any]:
    """Return the values that an override sweeps over, quoted ones as text; those of a glob are its patterns.

    Raises:
        ConfigurationError: for none, for more than `MOST`, and for a range that has no end.
    """
    value: Any = override.value()
    if isinstance(value, Glob):
        return [*value.include, *value.exclude]
    text = shown((override.input_line or "").lstrip("+"))
    try:
        plain: Any = value.range() if isinstance(value, RangeSweep) else value.list
        found = list(itertools.islice(plain, MOST + 1))
    except Exception as error:  # a step of 0, an end that is no number
        raise ConfigurationError(f"{text}: is no range ({shown(str(error)) or type(error).__name__})") from None
    if len(found) > MOST:
        count = _length(plain)
        raise ConfigurationError(f"{text}: has {count} values; must have at most {MOST}")
    if not found:
        raise ConfigurationError(f"{text}: has no value")
    return [one.text if isinstance(one, QuotedString) else one for one in found]


def _length(plain: Any) -> str:
    """The number of values, as far as it is known without going through them."""
    try:
        return str(len(plain))
    except (TypeError, OverflowError):
        return f"more than {MOST}"


def _measure(text: str) -> None:
    depth = deepest = 0
    for letter in text[:LONGEST]:
        depth += (letter in "[{(") - (letter in "]})")
        deepest = max(deepest, depth)
    limits = (
        (len(text), LONGEST, "letters"),
        (deepest, DEEPEST, "brackets inside each other"),
        (text.partition("=")[0].count(".") + 1, STEPS, "names in its path"),
    )
    for found, most, what in limits:
        if found > most:
            raise ConfigurationError(f"{shown(text)}: has {found} {what}; must have at most {most}")
