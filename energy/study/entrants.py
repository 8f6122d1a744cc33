"""Entries of a comparison: `label: settler field=value …`, with values as on the command line."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hydra.core.override_parser.types import QuotedString

from energy.component import Component, ConfigurationError, annotations, from_dict
from energy.errors import FieldError, shown
from energy.settle.settler import Settler
from energy.study.override_grammar import parsed
from energy.train.registration import register_builtins
from energy.train.run import Setting

OPENING: Final = {"[": "]", "(": ")", "{": "}"}


@dataclass(frozen=True)
class Entrant:
    """One line of the table: its label, its settler, and the parts of the run that it changes."""

    label: str
    settler: Settler
    changes: Mapping[str, Any]


def entrants_of(setting: Setting, texts: Sequence[str]) -> list[Entrant]:
    """Parse the entries of a comparison or of a study, called by the group of `setting` in errors.

    Raises:
        ConfigurationError: naming the entry, for an unknown settler or field, a bad value or a label used twice.
    """
    register_builtins()
    parts = {name: kind for name, kind in annotations(Setting).items() if issubclass(kind, Component)}
    choice, known = {name: (parts[name], getattr(setting, name)) for name in parts}, annotations(Setting)
    try:
        parsed = [parse_entrant(text, choice, known) for text in texts]
    except ConfigurationError as error:
        raise FieldError(setting.group, str(error)) from None
    labels = [entrant.label for entrant in parsed]
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise FieldError(setting.group, f"settlers: two entries are called {twice[0]!r}; put 'label:' before one")
    return parsed


def parse_entrant(text: str, parts: Mapping[str, tuple[type[Component], Component]], known: Collection[str]) -> Entrant:
    """Parse an entry of a comparison.

    Args:
        text: the entry.
        parts: the parts of the run that may differ, by name, each with its class and its present value.
        known: all fields of the run, which are never those of a settler.

    Raises:
        ConfigurationError: naming the entry, for one that cannot be read and for an unknown name or a bad value.
    """
    label, colon, rest = text.partition(":") if ":" in text.partition("=")[0] else ("", "", text)
    words = split(rest)
    if not words or any("=" not in word for word in words[1:]):
        raise ConfigurationError(f"settlers: {shown(text)!r} must read 'label: name field=value ...'")
    label = label.strip() if colon else words[0]
    where = f"settlers[{shown(label)}]"
    settler: dict[str, Any] = {"name": words[0]}
    changes: dict[str, Any] = {}
    for word in words[1:]:
        path = word.partition("=")[0]
        names = path.removeprefix("settler.").split(".")
        part = names[0] in known and not path.startswith("settler.")
        if part and names[0] not in parts:
            raise ConfigurationError(f"{where}.{names[0]}: only parts of the run can differ between settlers")
        _put(changes if part else settler, names, value(word, where))
    built = {
        name: from_dict(parts[name][0], plain, parts[name][1], f"{where}.{name}") for name, plain in changes.items()
    }
    return Entrant(label, from_dict(Settler, settler, None, where), built)


def split(text: str) -> list[str]:
    """Split an entry into its words; spaces inside brackets and quotes do not part them.

    Raises:
        ConfigurationError: for a bracket or a quote that is not closed.

    Example:
        >>> split("two_phase relax.sizes=[1, 2]")
        ['two_phase', 'relax.sizes=[1, 2]']
    """
    words: list[str] = []
    waiting: list[str] = []  # the brackets and the quote that are still to be closed
    word = ""
    for letter in text:
        quoted = bool(waiting) and waiting[-1] in "\"'"
        if letter.isspace() and not waiting:
            words, word = [*words, word], ""
            continue
        word += letter
        if waiting and letter == waiting[-1]:
            waiting.pop()
        elif not quoted and letter in "\"'":
            waiting.append(letter)
        elif not quoted and letter in OPENING:
            waiting.append(OPENING[letter])
    if waiting:
        raise ConfigurationError(f"settlers: {shown(text.strip())!r}: {waiting[-1]} is missing")
    return [one for one in (*words, word) if one]


def value(word: str, where: str) -> Any:
    """Parse the value after the `=` of a word: a number, a truth value, text, or a list of such.

    Raises:
        ConfigurationError: naming the word, when it cannot be read or stands for several values.
    """
    try:
        override = parsed(word)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    if override.is_sweep_override() or override.is_delete() or override.is_add():
        raise ConfigurationError(f"{where}: {shown(word)}: must be one value; write an entry for each")
    return unquoted(override.value())


def unquoted(found: Any) -> Any:
    """Return a parsed value with its quotes taken off, in lists and mappings too."""
    if isinstance(found, QuotedString):
        return found.text
    if isinstance(found, list):
        return [unquoted(one) for one in found]
    if isinstance(found, dict):
        return {unquoted(name): unquoted(one) for name, one in found.items()}
    return found


def _put(tree: dict[str, Any], names: list[str], given: Any) -> None:
    """Put `a.b=c` into the tree as `{"a": {"b": c}}`; beside `a=name` it is a field of that component."""
    for name in names[:-1]:
        inner = tree.get(name, {})
        tree[name] = inner if isinstance(inner, dict) else {"name": inner}
        tree = tree[name]
    inner = tree.get(names[-1])
    tree[names[-1]] = {**inner, "name": given} if isinstance(inner, dict) and isinstance(given, str) else given
