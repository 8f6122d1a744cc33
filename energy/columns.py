"""Tables for a terminal: aligned columns that never wrap, whatever the width."""

import shutil
import unicodedata
from collections.abc import Sequence
from typing import Final

from energy.errors import escaped

GAP: Final = "  "
NARROW: Final = 8  # a column is not cut below this
HEADS: Final = 3  # lines that a title may take


def terminal_width() -> int:
    """Return the columns of the terminal: at least 40, and 120 if there is no terminal."""
    return max(40, shutil.get_terminal_size((120, 24)).columns)


def blocks(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Lay a table out in as many blocks as it takes, one below the other, each with the first column.

    Args:
        head: one title per column.
        rows: their cells.
        width: columns of the terminal that a line may take.
    """
    names, *columns = _columns(head, rows, width)
    names = _padded([short(cell.rstrip(), max(NARROW, width // 3)) for cell in names], left=True)
    parts: list[list[list[str]]] = [[names]]
    for column in columns:
        column = [short(cell, width - _wide(names[0]) - len(GAP)) for cell in column]
        if len(parts[-1]) > 1 and _total([*parts[-1], column]) > width:
            parts.append([names])
        parts[-1].append(column)
    return "\n\n".join(_drawn(part, len(rows)) for part in parts)


def fitted(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int, spare: Sequence[int]
) -> tuple[str, list[str]]:
    """Lay a table out in one block, leaving out columns if the width does not suffice.

    Args:
        head: one title per column.
        rows: their cells.
        width: columns of the terminal that a line may take.
        spare: the columns that may be left out, the first to go first.

    Returns:
        The block, and the titles of the columns that were left out.
    """
    left, gone = list(range(len(head))), list(spare)
    while True:
        shown = _columns([head[i] for i in left], [[row[i] for i in left] for row in rows], width // 2)
        first = _wide(shown[0][0]) - max(0, _total(shown) - width)
        if first >= min(2 * NARROW, _wide(shown[0][0])) or not gone:
            break
        left.remove(gone.pop(0))
    shown[0] = _padded([short(cell.rstrip(), max(NARROW, first)) for cell in shown[0]], left=True)
    lines = [short(line, width) for line in _drawn(shown, len(rows)).split("\n")]
    return "\n".join(lines), [name for index, name in enumerate(head) if index not in left]


def short(text: str, width: int) -> str:
    """Shorten `text` to at most `width` columns by leaving out its middle; control characters are escaped."""
    text = escaped(text).replace("\n", "\\n")
    if _wide(text) <= width:
        return text
    front, back = "", ""
    for count in range(len(text)):
        longer = (text[: len(front) + 1], back) if count % 2 else (front, text[len(text) - len(back) - 1 :])
        if _wide("".join(longer)) + 1 > width:
            break
        front, back = longer
    return f"{front}…{back}"


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> list[list[str]]:
    """Every column padded to its own width: the lines of its title, then its cells."""
    heads = [_stacked(name, [row[index] for row in rows]) for index, name in enumerate(head)]
    tall = max(map(len, heads))
    found = []
    for index, lines in enumerate(heads):
        cells = [short(row[index], most) for row in rows]
        found.append(_padded([*[""] * (tall - len(lines)), *lines, *cells], left=index == 0))
    return found


def _stacked(name: str, cells: Sequence[str]) -> list[str]:
    """A title in a few lines that are little wider than the cells below."""
    wide = max([4, *map(_wide, cells)])
    while True:
        lines = [""]
        for word in name.split():
            longer = f"{lines[-1]} {word}".strip()
            lines = [*lines[:-1], longer] if not lines[-1] or _wide(longer) <= wide else [*lines, word]
        if len(lines) <= HEADS:
            return lines
        wide += 1


def _padded(cells: Sequence[str], *, left: bool) -> list[str]:
    wide = max(map(_wide, cells))
    return [cell + " " * (wide - _wide(cell)) if left else " " * (wide - _wide(cell)) + cell for cell in cells]


def _drawn(columns: Sequence[Sequence[str]], rows: int) -> str:
    lines = [GAP.join(cells).rstrip() for cells in zip(*columns, strict=True)]
    rule = GAP.join("─" * _wide(column[0]) for column in columns)
    return "\n".join([*lines[: len(lines) - rows], rule, *lines[len(lines) - rows :]])


def _total(columns: Sequence[Sequence[str]]) -> int:
    return sum(_wide(column[0]) for column in columns) + len(GAP) * (len(columns) - 1)


def _wide(text: str) -> int:
    """The columns that a text takes in a terminal: two per East Asian wide letter, none per combining mark."""
    marks = {"W": 2, "F": 2}
    return sum(0 if unicodedata.combining(one) else marks.get(unicodedata.east_asian_width(one), 1) for one in text)
