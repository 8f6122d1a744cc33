"""Help pages, written from the entries of components."""

import shutil
import textwrap
from collections.abc import Iterable, Iterator

from energy.command.entry import Entry
from energy.component import ConfigurationError
from energy.errors import shown
from energy.hints import meant


def catalog(entries: Iterable[Entry]) -> str:
    """Format components by group: their names, one line about each, and their fields with types and defaults."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.group, []).append(entry)
    return "\n\n".join(section(group, groups[group]) for group in sorted(groups))


def section(title: str, entries: Iterable[Entry]) -> str:
    """Format one group of the catalog."""
    lines = [f"{title}="]
    members = list(entries)
    width = max([20, *(len(entry.label) for entry in members)])
    for entry in members:
        lines += _wrap(f"  {entry.label:<{width}} {entry.summary}".rstrip(), 4)
        lines += _wrap(f"      {'; '.join(entry.fields)}".rstrip(), 6)
    return "\n".join(lines)


def part(title: str, entry: Entry) -> str:
    """Format the fields of a class that no name selects, such as the run itself, one per line."""
    return "\n".join([f"{title}: {entry.summary}", *(f"  {text}" for text in entry.fields)])


def explain(word: str, entries: Iterable[Entry]) -> str:
    """Format the pages of a component, by `name` or `group=name`, or of a whole `group`.

    Raises:
        ConfigurationError: if nothing of that name is registered, with the nearest name.
    """
    entries = list(entries)
    group, _, name = word.rpartition("=")
    found = [entry for entry in entries if entry.label == name and group in ("", entry.group)]
    if found:
        return "\n\n".join(_page(entry) for entry in found)
    if not group and (members := [entry for entry in entries if entry.group == word]):
        return section(word, members)
    known = {text for one in entries for text in (one.group, one.label, f"{one.group}={one.label}") if text}
    raise ConfigurationError(f"{shown(word)}: there is no such component{meant(word, known)}; energy --help lists them")


def _page(entry: Entry) -> str:
    lines = [f"{entry.group}={entry.label}    {entry.home}", entry.doc, "Fields:"]
    inside = [line for name, item in _items(entry) for line in ["", part(f"each of {name}", item)]]
    return "\n".join([*lines, *(f"  {text}" for text in entry.fields or ["none"]), *inside])


def _items(entry: Entry) -> Iterator[tuple[str, Entry]]:
    """The components that fields list, those inside them too."""
    for name, item in entry.items.items():
        yield name, item
        yield from _items(item)


def _wrap(text: str, indent: int) -> list[str]:
    width = max(60, min(120, shutil.get_terminal_size((110, 24)).columns))
    return textwrap.wrap(text, width, subsequent_indent=" " * indent, break_on_hyphens=False)
