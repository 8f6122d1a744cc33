"""Docstrings of the house, Markdown with Google sections, as the reStructuredText that autodoc reads."""

import re
from typing import Any, Final

from energy.component import Component
from tests.packaging.api import signature

SECTION: Final = re.compile(r"^(?:Args|Attributes|Returns|Yields|Raises|Example|References?|Note):$")
CODE: Final = re.compile(r"(`+)([^`]+)\1")
SPECIAL: Final = re.compile(r"[*|\\]|_(?![^\W_])")  # an underscore before no letter would make a reference


def converted(lines: list[str]) -> list[str]:
    """Lines of a docstring: `code` as literals, indented equations as blocks, all else without special meaning."""
    found, paragraph = list[str](), list[str]()
    section = block = False
    for line in lines:
        indented, before = line.startswith("    "), found[-1] if found else ""
        if SECTION.match(line) or (line and not indented):
            section = bool(SECTION.match(line))
        begins = indented and not section and not block and not paragraph and not before.strip()
        if begins or (block and (indented or not line.strip())):
            found += ["::", ""] if begins and not line.lstrip().startswith(">>>") else []
            found.append(line)
            block = True
            continue
        block = False
        if SECTION.match(line):
            found += [*_escaped(paragraph), line]
            paragraph = []
        elif line.strip():
            paragraph.append(line)
        else:
            found += [*_escaped(paragraph), line]
            paragraph = []
    return [*found, *_escaped(paragraph)]


def _escaped(paragraph: list[str]) -> list[str]:
    """A paragraph in which nothing but code has a special meaning; an item of a list keeps its sign."""
    if not paragraph or paragraph[0].lstrip().startswith(">>>"):
        return paragraph
    pieces = CODE.split("\n".join(paragraph))  # prose, backticks, code, prose …
    prose = [SPECIAL.sub(r"\\\g<0>", piece) for piece in pieces[::3]]
    code = [f"``{piece.strip()}``" for piece in pieces[2::3]]
    joined = prose[0]
    for literal, after in zip(code, prose[1:], strict=True):
        joined += ("\\ " if joined[-1:].isalnum() else "") + literal + ("\\ " if after[:1].isalnum() else "") + after
    return [re.sub(r"^(\s*)\\\* ", r"\1* ", line) for line in joined.split("\n")]


def process_docstring(app: Any, kind: str, name: str, found: object, options: Any, lines: list[str]) -> None:
    """The listener of `autodoc-process-docstring`; it comes before the one that reads the sections.

    Args:
        app: Sphinx.
        kind: module, class, method and so on.
        name: the dotted name.
        found: the object.
        options: those of the directive.
        lines: the docstring, which is changed in place.
    """
    lines[:] = converted(lines)


def process_signature(
    app: Any, kind: str, name: str, found: object, options: Any, given: str, returned: str
) -> tuple[str, str] | None:
    """The listener of `autodoc-process-signature`: defaults of a component as they are written, not as objects.

    Args:
        app: Sphinx.
        kind: module, class, method and so on.
        name: the dotted name.
        found: the object.
        options: those of the directive.
        given: the parameters.
        returned: the annotation of what is returned.
    """
    if not (kind == "class" and isinstance(found, type) and issubclass(found, Component)):
        return None
    return signature(found), returned
