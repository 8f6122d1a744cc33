"""Whether a tag may become a release, and what its page says: `python -m tests.packaging.release v0.1.0 --notes FILE`.

Needs nothing but Python. Tag, package, citation and changelog must name one version; the address must be a real one.
"""

import argparse
import datetime
import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
KINDS: Final = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
UNRELEASED: Final = "Unreleased"
RESERVED: Final = ".invalid/"  # a top-level domain that no address can have (RFC 2606)


@dataclass
class Section:
    """A section of the changelog: its title, its date (empty before the release), and its entries by kind.

    `text` is all below the title.
    """

    title: str
    date: str
    text: str
    kinds: dict[str, list[str]] = field(default_factory=dict)


def sections(changelog: str) -> list[Section]:
    """The sections of a changelog, newest first.

    Raises:
        ValueError: a line is in no entry, an entry in no kind, or a heading has another form.
    """
    _, *parts = re.split(r"^## ", changelog, flags=re.MULTILINE)
    return [_section(part) for part in parts]


def _section(part: str) -> Section:
    title, _, below = part.partition("\n")
    heading = re.fullmatch(r"(Unreleased)|(\d+\.\d+\.\d+\S*) - (\d{4}-\d\d-\d\d)", title)
    if heading is None:
        raise ValueError(f"## {title}: neither 'Unreleased' nor 'VERSION - YYYY-MM-DD'")
    if heading[3]:
        datetime.date.fromisoformat(heading[3])
    found = Section(heading[1] or heading[2], heading[3] or "", below.strip() + "\n")
    entries: list[str] | None = None
    for line in filter(str.strip, below.splitlines()):
        if line.startswith("### "):
            kind = line.removeprefix("### ")
            if kind not in KINDS or kind in found.kinds:
                raise ValueError(f"## {title}: {line} is none of {', '.join(KINDS)}, or comes twice")
            entries = found.kinds[kind] = []
        elif entries is not None and line.startswith("- "):
            entries.append(line)
        elif entries and line.startswith("  "):
            entries[-1] += f"\n{line}"
        else:
            raise ValueError(f"## {title}: no entry, nor the next line of one: {line}")
    return found


def version(root: Path = ROOT) -> str:
    """`energy.__version__`, read and not imported."""
    return _one(r'^__version__: Final = "(.+)"$', root / "energy" / "__init__.py")


def cited(root: Path = ROOT) -> str:
    """The version in CITATION.cff."""
    return _one(r"^version: (\S+)$", root / "CITATION.cff")


def address(root: Path = ROOT) -> str:
    """The repository's address, from pyproject.toml; every other place repeats it."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def _one(pattern: str, path: Path) -> str:
    found = re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"{path.name}: {len(found)} lines like {pattern}; it must be one")
    return found[0]


def problems(tag: str, root: Path = ROOT) -> list[str]:
    """What keeps `tag` from being released, a line each; nothing if it may be."""
    wanted = tag.removeprefix("v")
    top = sections((root / "CHANGELOG.md").read_text(encoding="utf-8"))[0]
    found = {"energy/__init__.py": version(root), "CITATION.cff": cited(root), "CHANGELOG.md": top.title}
    lines = [f"{name} has {value}, the tag {tag}" for name, value in found.items() if value != wanted]
    if not re.fullmatch(r"v\d+\.\d+\.\d+((a|b|rc)\d+)?", tag):
        lines.append(f"the tag {tag} is not v and a version, as v0.1.0")
    if not any(top.kinds.values()):
        lines.append(f"CHANGELOG.md says nothing under {top.title}")
    if RESERVED in f"{address(root)}/":
        lines.append(f"pyproject.toml has no real address yet: {address(root)}")
    return lines


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Print what keeps the tag from being released and return 1, or write the text of its page and return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tag")
    parser.add_argument("--notes", type=Path, help="file for the newest section of the changelog")
    given = parser.parse_args(words)
    found = problems(given.tag, root)
    print(*found or [f"{given.tag} may be released"], sep="\n")
    if not found and given.notes:
        given.notes.parent.mkdir(parents=True, exist_ok=True)
        top = sections((root / "CHANGELOG.md").read_text(encoding="utf-8"))[0]
        given.notes.write_text(top.text, encoding="utf-8")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
