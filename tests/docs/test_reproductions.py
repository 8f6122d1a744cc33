"""The commands of `paper_repro` fit together: what they train lies where the page gathers it, and nothing else does."""

import contextlib
import io
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from energy.cli import main
from energy.study.results import read_results
from tests.docs.pages import ROOT, SHELLS, blocks
from tests.docs.script import calls

PAGES = sorted((ROOT / "paper_repro").glob("**/README.md"))
REPRODUCTIONS = [page for page in PAGES if (page.parent / "expected.json").exists()]
STUDIES = [page for page in PAGES if page not in REPRODUCTIONS]
SEEDS = re.compile(r"seed=(\d+)(,\d+)+")


@dataclass
class Training:
    """One training or comparison of a page: where it writes, and the cells of the table that it makes."""

    words: str
    out: str
    cells: set[str]


def _name(page: Path) -> str:
    return page.parent.relative_to(ROOT / "paper_repro").as_posix()


def written(page: Path, folder: Path) -> list[list[str]]:
    """What follows `energy` in every call of the page."""
    shells = [block for block in blocks(page.read_text(encoding="utf-8")) if block.kind in SHELLS]
    every = itertools.chain.from_iterable(calls(block.text, folder) for block in shells)
    return [words[1:] for words in every if words[0] == "energy"]


def composed(words: list[str]) -> list[Training]:
    """The runs of one command, composed and rehearsed but not run; of several seeds the first, which stands for all."""
    first = [SEEDS.sub(r"seed=\1", word) for word in words]
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        status = main([first[0], "--dry-run", *first[1:]])
    assert status == 0, f"energy {' '.join(words)}: {said.getvalue()}"
    return [Training(" ".join(words), plain["out"], set(_cells(plain))) for plain in _each(printed.getvalue())]


def _each(text: str) -> Iterator[dict[str, Any]]:
    """The configurations that a dry run prints, one after the other or in a list."""
    decoder, text = json.JSONDecoder(), text.strip()
    while text:
        found, end = decoder.raw_decode(text)
        yield from found if isinstance(found, list) else [found]
        text = text[end:].strip()


def _cells(plain: dict[str, Any]) -> Iterator[str]:
    if "settlers" in plain:
        yield from (str(entry).partition(":")[0] for entry in plain["settlers"])
    else:
        yield plain["title"]


def trainings(commands: list[list[str]]) -> list[Training]:
    return [run for words in commands if words[0] in ("train", "compare") for run in composed(words)]


def gathered(page: Path, commands: list[list[str]]) -> PurePosixPath:
    """The one folder that the page's one `energy table` reads."""
    tables = [words[1:] for words in commands if words[0] == "table"]
    assert len(tables) == 1, f"{page}: gathers {len(tables)} times"
    into, *read = tables[0]
    assert ROOT / into == page.parent, f"{page}: gathers into {into}"
    assert len(read) == 1, f"{page}: gathers {len(read)} folders"
    return PurePosixPath(read[0])


def test_there_are_pages() -> None:
    assert (len(REPRODUCTIONS), len(STUDIES)) == (7, 1)


@pytest.mark.parametrize("page", STUDIES, ids=_name)
def test_studies_of_a_page_compose_and_share_their_trainings(page: Path, place: Path) -> None:
    commands = written(page, place)
    found = [plain for words in commands for plain in _studied(words)]
    assert {path.name for path in page.parent.iterdir() if path.is_dir()} <= {plain["title"] for plain in found}
    assert len({plain["trainings"] for plain in found}) == 1


def _studied(words: list[str]) -> Iterator[dict[str, Any]]:
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        status = main([words[0], "--dry-run", *words[1:]])
    assert status == 0, f"energy {' '.join(words)}: {said.getvalue()}"
    return _each(printed.getvalue())


@pytest.mark.parametrize("page", REPRODUCTIONS, ids=_name)
def test_every_run_lies_where_the_page_gathers_and_every_cell_has_one(page: Path, place: Path) -> None:
    commands = written(page, place)
    folder, found = gathered(page, commands), trainings(commands)
    for run in found:
        below = folder in PurePosixPath(run.out).parents
        assert below, f"energy {run.words}: writes into {run.out or 'runs'}, which is not below {folder}"
    for one, other in itertools.permutations(found, 2):
        clash = PurePosixPath(one.out).is_relative_to(other.out)
        assert not clash, f"energy {one.words}: writes into {one.out}, where energy {other.words} does"
    measured = {line["cell"] for line in read_results(page.parent / "results.csv")}
    assert measured and measured <= set[str]().union(*(run.cells for run in found))


def test_no_page_gathers_what_another_does(place: Path) -> None:
    folders = {page: gathered(page, written(page, place)) for page in REPRODUCTIONS}
    for one, other in itertools.permutations(REPRODUCTIONS, 2):
        assert not folders[one].is_relative_to(folders[other]), f"{one} gathers below {other}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("energy train a=1 'b=[2, 3]'  # why", [["energy", "train", "a=1", "b=[2, 3]"]]),
        (
            "for k in x y; do energy train k=$k \\\n  out=$k; done",
            [["energy", "train", f"k={k}", f"out={k}"] for k in "xy"],
        ),
        ('f() { energy table "$@"; }\nf 1 2', [["energy", "table", "1", "2"]]),
        ("# nothing", []),
    ],
)
def test_calls_are_what_the_shell_makes_of_a_block(text: str, found: list[list[str]], place: Path) -> None:
    assert calls(text, place) == found


@pytest.mark.parametrize("text", ["rm -r runs", "energy train $nothing", "for k in 1; do energy train", "echo done"])
def test_a_block_that_does_more_than_call_is_refused(text: str, place: Path) -> None:
    with pytest.raises(ValueError, match="does not run"):
        calls(text, place)
