"""Where a file of the repository stands in the site, and links that lead there.

`docs/` is the root of the site. A page from elsewhere in the repository stands under `repository/`, and any other text
file that a page links to as a page that shows it.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

from tests.docs.pages import ROOT

CODE: Final = re.compile(r"(^(`{3,}).*?^\2[ \t]*$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
TARGET: Final = re.compile(r"(\]\()([^)\s]+)(\))")
SHOWN: Final = {
    ".py": "python",
    ".yaml": "yaml",
    ".toml": "toml",
    ".cff": "yaml",
    ".txt": "text",
    ".csv": "text",
    "": "text",
}


def placed(path: Path) -> PurePosixPath:
    """The place of a file of the repository below the root of the site's sources."""
    inside = PurePosixPath(path.relative_to(ROOT).as_posix())
    if inside.parts[0] == "docs":
        return inside.relative_to("docs")
    shown = path.suffix in SHOWN
    return PurePosixPath("repository") / (inside.with_name(f"{inside.name}.md") if shown else inside)


def target(page: Path, link: str) -> tuple[Path, str] | None:
    """The file of the repository that a link of a page leads to, and the anchor; None for a link to elsewhere."""
    name, _, anchor = link.partition("#")
    if "://" in link or link.startswith("mailto:") or not name:
        return None
    found = (page.parent / name).resolve()
    readme = found / "README.md"
    return (readme if readme.is_file() else found), anchor


def relinked(text: str, page: Path, seen: Callable[[Path], object] = lambda path: None) -> str:
    """The text of a page with its relative links as they are in the site.

    Args:
        text: the page in Markdown.
        page: its file in the repository.
        seen: is told every file that is linked to.
    """

    def moved(link: re.Match[str]) -> str:
        found = target(page, link[2])
        if found is None:
            return link[0]
        path, anchor = found
        seen(path)
        new = os.path.relpath(placed(path), placed(page).parent).replace(os.sep, "/")
        return f"{link[1]}{new}{'#' if anchor else ''}{anchor}{link[3]}"

    pieces = CODE.split(text)  # prose, code, its fence, prose …
    prose = [TARGET.sub(moved, piece) for piece in pieces[::3]]
    return "".join(part for pair in zip(prose, [*pieces[1::3], ""], strict=True) for part in pair)
