"""The pages of documentation as data: their code blocks, what they promise to print, their links and their headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
SHELLS: Final = ("console", "bash", "sh")
MARK: Final = re.compile(r"<!--\s*not run:\s*(.*?)\s*-->")
FILE: Final = re.compile(r"<!--\s*file:\s*(\S+)\s*-->")
FENCE: Final = re.compile(r"^(`{3,})\s*(\w*)\s*$")
LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass
class Block:
    """A fenced block: ``kind`` is its language, ``shown`` the text of the ```text block right after it, if any.

    ``skip`` is the reason of a ``<!-- not run: reason -->`` above it; empty for a block that runs. ``file`` is the name
    in a ``<!-- file: name -->`` above it, under which the page asks its reader to save it.
    """

    kind: str
    text: str
    line: int
    skip: str = ""
    file: str = ""
    shown: str | None = None


@dataclass
class Command:
    """A line after ``$`` and what the page shows below it."""

    words: str
    line: int
    shown: list[str] = field(default_factory=list)


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page in their order, with marks and printed text attached."""
    found: list[Block] = []
    skip, file, previous = "", "", None
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        fence = FENCE.match(line)
        if fence:
            inside = list(_inside(lines, fence[1]))
            block = Block(fence[2], "\n".join(inside), number, skip, file)
            if block.kind == "text" and previous is not None:
                previous.shown = block.text
            found.append(block)
            skip, file, previous = "", "", block if block.kind == "python" else None
        elif line.strip():
            skip, file = _marked(MARK, line), _marked(FILE, line)
            previous = previous if line.startswith("prints") else None
    return found


def _marked(mark: re.Pattern[str], line: str) -> str:
    found = mark.search(line)
    return found[1] if found else ""


def _inside(lines: Iterator[tuple[int, str]], fence: str) -> Iterator[str]:
    for _, line in lines:
        if line.strip() == fence:
            return
        yield line
    raise ValueError(f"a block opened with {fence} is never closed")


def commands(block: Block) -> list[Command]:
    """The commands of a shell block; a line that ends in a backslash goes on below."""
    found: list[Command] = []
    going_on = False
    for offset, line in enumerate(block.text.splitlines(), start=1):
        if going_on:
            found[-1].words += " " + line.strip().removesuffix("\\").strip()
        elif block.kind != "console" or line.startswith("$ "):
            words = line.removeprefix("$ ").partition("  # ")[0].strip()
            if words and not words.startswith("#"):
                found.append(Command(words.removesuffix("\\").strip(), block.line + offset))
        else:
            found[-1].shown.append(line)
            continue
        going_on = line.rstrip().endswith("\\")
    return found


def links(text: str) -> list[str]:
    """Targets of links outside code blocks."""
    prose = re.sub(r"^(`{3,}).*?^\1\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    return LINK.findall(prose)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    prose = re.sub(r"^(`{3,}).*?^\1\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+\s+(.*?)\s*$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
