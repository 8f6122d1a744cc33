"""The sources of the site, put together: `python -m docs.site.stage FOLDER CACHE`.

Pages of the repository with their links as they are in the site, tables made anew from their records, notebooks with
what they printed and drew, the reference, and the files that pages link to.
"""

import json
import os
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from docs.site.layout import SHOWN, placed, relinked
from docs.site.notebooks import OUTPUTS, executed, notebook, shown_page
from docs.site.reference import reference_pages
from energy.command.presets import EXPERIMENT, presets
from energy.study.reproduction.pages import put_between
from energy.study.reproduction.paper import paper_folders, paper_name, read_paper
from energy.study.reproduction.summary import summary_table
from energy.study.reproduction.table import paper_table
from energy.study.results import RESULTS, read_results
from tests.docs.pages import ROOT

NAVIGATION: Final = Path(__file__).with_name("navigation.toml")
INDEX: Final = ROOT / "docs" / "index.md"
PAPERS: Final = ROOT / "paper_repro"
GALLERY: Final = ROOT / "docs" / "gallery"
HIDDEN: Final = "---\norphan: true\nnosearch: true\n---\n"
Texts = dict[PurePosixPath, str | Path]


def navigation() -> dict[str, list[str]]:
    """Title of each part to its pages, as paths from the root of the repository."""
    parts = tomllib.loads(NAVIGATION.read_text(encoding="utf-8"))["part"]
    return {part["title"]: part["pages"] for part in parts}


def below(page: Path) -> list[Path]:
    """The pages that stand below a page in the navigation: notebooks, papers, and the table of a paper."""
    if page.parent == GALLERY:
        return sorted(path for path in GALLERY.glob("*.md") if path != page) if page.name == "README.md" else []
    if page.name == "README.md" and page.is_relative_to(PAPERS):
        table = page.with_name("table.md")
        return [*sorted(page.parent.glob("*/README.md")), *([table] if table.is_file() else [])]
    return []


def navigated() -> Iterator[Path]:
    """Every page of the repository that the navigation leads to, the start page first."""
    pages = [
        INDEX,
        *(ROOT / name for part in navigation().values() for name in part if not name.startswith("reference/")),
    ]
    while pages:
        page = pages.pop(0)
        yield page
        pages += below(page)


def generated(root: Path = PAPERS) -> dict[Path, str]:
    """Pages of the repository as their records make them: tables of papers, and their summary.

    The matrix of methods needs every configuration composed, and stays what `energy repro --tables` wrote.

    Args:
        root: the folder of papers.
    """
    experiments = presets([], EXPERIMENT)
    papers = {paper_name(folder, root): (folder, read_paper(folder, experiments)) for folder in paper_folders(root)}
    found = {
        folder / "table.md": paper_table(paper, read_results(folder / RESULTS))
        for folder, paper in papers.values()
        if any(cell.experiment for cell in paper.cells.values())
    }
    for page, base in ((root / "README.md", ""), (root.parent / "README.md", f"{root.name}/")):
        found[page] = put_between(page.read_text(encoding="utf-8"), "summary", summary_table(papers, base))
    return found


def composed(made: Mapping[Path, str], outputs: Mapping[Path, Path]) -> Texts:
    """Every source of the site by its place: a text, or the file to copy.

    Args:
        made: the text of pages that records make.
        outputs: by notebook, the folder with what it printed and drew.
    """
    found, waiting, linked = Texts(), list(navigated()), set[Path]()
    toctrees = {INDEX: _parts()}
    while waiting:
        page = waiting.pop(0)
        if placed(page) in found:
            continue
        if page.suffix == ".md":
            text = made.get(page) or page.read_text(encoding="utf-8")
            if page in outputs:
                text = _with_outputs(page, text, outputs[page], found)
            found[placed(page)] = relinked(text, page, linked.add) + toctrees.get(page, _toctree(page))
        elif page.suffix in SHOWN:
            shown = page.read_text(encoding="utf-8").rstrip()
            name = page.relative_to(ROOT)
            found[placed(page)] = f"{HIDDEN}# `{name}`\n\n``````{SHOWN[page.suffix]}\n{shown}\n``````\n"
        else:
            found[placed(page)] = page
        waiting += sorted(linked - set(waiting))
        linked.clear()
    return found | {PurePosixPath("reference") / name: text for name, text in reference_pages().items()}


def _with_outputs(page: Path, text: str, folder: Path, found: Texts) -> str:
    """A notebook as the site shows it; its .ipynb and its figures are added to `found`."""
    outputs: list[dict[str, Any]] = json.loads((folder / OUTPUTS).read_text(encoding="utf-8"))
    place = placed(page)
    found[place.with_suffix(".ipynb")] = notebook(text, outputs, folder)
    found.update({place.with_name(name): folder / name for one in outputs for name in one["figures"]})
    return shown_page(text, outputs, page.stem)


def _parts() -> str:
    """The navigation, for the start page."""
    found = ""
    for title, pages in navigation().items():
        names = [name if name.startswith("reference/") else str(placed(ROOT / name)) for name in pages]
        found += _listed(names, f":caption: {title}\n")
    return found


def _toctree(page: Path) -> str:
    """What stands below a page, for that page."""
    names = [os.path.relpath(placed(one), placed(page).parent).replace(os.sep, "/") for one in below(page)]
    return _listed(names) if names else ""


def _listed(names: list[str], option: str = "") -> str:
    return f"\n\n```{{toctree}}\n:hidden:\n{option}\n" + "\n".join(names) + "\n```\n"


def write(sources: Texts, folder: Path) -> None:
    """Write the sources that differ, and remove what is none, so that a build takes up what changed.

    Args:
        sources: what is to be there.
        folder: where.
    """
    for name, one in sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(one, Path):
            if not path.is_file() or path.read_bytes() != one.read_bytes():
                shutil.copyfile(one, path)
        elif not path.is_file() or path.read_text(encoding="utf-8") != one:
            path.write_text(one, encoding="utf-8")
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if PurePosixPath(path.relative_to(folder).as_posix()) not in sources:
            path.unlink()


def main(folder: Path, cache: Path) -> None:
    """Run the notebooks that have changed, and put the sources together.

    Args:
        folder: where the sources go.
        cache: what the notebooks printed and drew.
    """
    outputs = {page: executed(page, cache.resolve()) for page in below(GALLERY / "README.md")}
    write(composed(generated(), outputs), folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
