"""Generated parts of pages: the summary of all papers and the matrix, each between two markers.

<!-- reproductions: summary -->
...
<!-- end of reproductions: summary -->
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from energy.errors import UsageError
from energy.io.atomic import write_text
from energy.study.reproduction.cell import Paper
from energy.study.reproduction.matrix import Entrance, front_matrix
from energy.study.reproduction.summary import summary_table
from energy.study.reproduction.table import paper_table
from energy.study.results import RESULTS, read_results

Papers = Mapping[str, tuple[Path, Paper]]


def page_parts(papers: Papers, entrances: Sequence[Entrance], base: str) -> dict[str, str]:
    """Return the generated parts by the name in their markers.

    Args:
        papers: the folder and the cells of each paper, by name.
        entrances: the cells of the matrix.
        base: the path of the folder of papers from the page, ending in a slash, or empty.
    """
    return {"summary": summary_table(papers, base), "matrix": front_matrix(entrances, base)}


def generated_files(root: Path, papers: Papers, entrances: Sequence[Entrance]) -> dict[Path, str]:
    """Return every generated file with its text: the tables of the papers, and the pages that have markers.

    Args:
        root: the folder of papers; its `README.md` and that of the folder above it may have markers.
        papers: the folder and the cells of each paper, by name.
        entrances: the cells of the matrix.
    """
    found = {}
    for folder, paper in papers.values():
        if any(cell.experiment for cell in paper.cells.values()):
            found[folder / "table.md"] = paper_table(paper, read_results(folder / RESULTS))
    for page in (root / "README.md", root.resolve().parent / "README.md"):
        if page.is_file():
            above = os.path.relpath(root.resolve(), page.resolve().parent)
            base = "" if above == "." else f"{above}/"
            text = old = page.read_text(encoding="utf-8")
            for name, part in page_parts(papers, entrances, base).items():
                text = put_between(text, name, part) if marker(name) in text else text
            found |= {page: text} if marker("summary") in old or marker("matrix") in old else {}
    return found


def write_generated(files: Mapping[Path, str], said: Callable[[str], object] = print) -> None:
    """Write the files that differ, and report each."""
    for path, text in files.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            said(str(path))


def marker(name: str) -> str:
    """Return the comment before a generated part."""
    return f"<!-- reproductions: {name} -->"


def put_between(text: str, name: str, part: str) -> str:
    """Return a page with a new part between its markers.

    Args:
        text: the page.
        name: the name in the markers.
        part: what is to stand between them.

    Raises:
        UsageError: when one of the markers is missing, or out of order.
    """
    first, last = marker(name), f"<!-- end of reproductions: {name} -->"
    before, found, rest = text.partition(first)
    _, ended, after = rest.partition(last)
    if not found or not ended:
        raise UsageError(f"a page needs {first} and, below it, {last}")
    return f"{before}{first}\n\n{part}\n{last}{after}"
