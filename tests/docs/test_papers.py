"""docs/papers.md: every name in it is defined in the files of its row."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from tests.docs.pages import LINK, ROOT

PAGE: Final = ROOT / "docs" / "papers.md"
ROW: Final = re.compile(r"^\|(?P<paper>.*?)(?<!\\)\|(?P<here>.*?)\|(?P<file>[^|]*)\|$", re.MULTILINE)


def rows(text: str) -> list[tuple[str, list[str]]]:
    """The names of a row, as one word each, and its files; head and rule of a table left out."""
    found = [(row["here"], LINK.findall(row["file"])) for row in ROW.finditer(text)]
    return [(here, files) for here, files in found if files]


def defined(path: Path) -> set[str]:
    """Classes, functions, fields, members and parameters of a file, those in a class also as `Class.name`."""
    found = set[str]()

    def visit(node: ast.AST, owner: str) -> None:
        for one in ast.iter_child_nodes(node):
            names = [one.name] if isinstance(one, ast.ClassDef | ast.FunctionDef) else []
            targets = one.targets if isinstance(one, ast.Assign) else [getattr(one, "target", None)]
            names += [target.id for target in targets if isinstance(target, ast.Name)]
            found.update(names, [f"{owner}.{name}" for name in names if owner])
            if isinstance(one, ast.ClassDef):
                visit(one, one.name)

    visit(ast.parse(path.read_text(encoding="utf-8")), "")
    return found


def unknown(text: str) -> list[str]:
    """Names that none of the files of their row defines; phases of a settler are no names."""
    lost = []
    for here, files in rows(text):
        known = set[str]().union(*(defined(PAGE.parent / file) for file in files))
        lost += [f"{name} in {files}" for name in re.findall(r"`([\w.]+)`", here) if name not in known | {"free"}]
    return lost


def test_names_are_in_the_files_beside_them() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(rows(text)) > 40
    assert unknown(text) == []


@pytest.mark.parametrize("name", ["Dyad", "Sign.gamma", "Sweep.nothing"])
def test_a_name_from_elsewhere_is_found_out(name: str) -> None:
    assert unknown(f"| x | `{name}` | [sweep.py](../energy/relax/sweep.py) |\n") != []
