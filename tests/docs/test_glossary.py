"""docs/glossary.md: every name in the column of the code is one that the library defines, and every row is whole."""

import ast
import re
from functools import cache
from typing import Final

import pytest

from tests.docs.pages import ROOT

PAGE: Final = ROOT / "docs" / "glossary.md"
COLUMN: Final = "name in the code"
CELL: Final = re.compile(r"(?<!\\)\|")
SOURCES: Final = sorted([*(ROOT / "energy").rglob("*.py"), *(ROOT / "models").rglob("*.py")])


def _rows() -> list[tuple[int, dict[str, str]]]:
    """The rows of all tables, by line, each by the titles of its columns."""
    found: list[tuple[int, dict[str, str]]] = []
    titles: list[str] = []
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), start=1):
        cells = [cell.strip() for cell in CELL.split(line)[1:-1]]
        if not cells:
            titles = []
        elif not titles:
            titles = cells
        elif not set(line) <= set("|-: "):
            assert len(cells) == len(titles), f"{PAGE.name}:{number}: {len(cells)} cells for {len(titles)} columns"
            found.append((number, dict(zip(titles, cells, strict=True))))
    return found


@cache
def _defined() -> tuple[frozenset[str], dict[str, frozenset[str]], dict[str, tuple[str, ...]]]:
    """Names that the library defines: classes, functions, parameters, fields, members, and keys of what it records;
    then those of each class, and its bases.
    """
    names, members, bases = set[str](), dict[str, frozenset[str]](), dict[str, tuple[str, ...]]()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names |= _names(node)
            if isinstance(node, ast.ClassDef):
                members[node.name] = frozenset(_names(node) - {node.name})
                bases[node.name] = tuple(base.id for base in node.bases if isinstance(base, ast.Name))
    return frozenset(names), members, bases


def _names(node: ast.AST) -> set[str]:
    """What one statement or parameter defines."""
    if isinstance(node, ast.ClassDef):
        plain = [target for inner in node.body if isinstance(inner, ast.Assign) for target in inner.targets]
        found = {node.name} | {target.id for target in plain if isinstance(target, ast.Name)}
        return found.union(*map(_names, node.body))
    if isinstance(node, ast.FunctionDef):
        return {node.name}
    if isinstance(node, ast.arg):
        return {node.arg}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    if isinstance(node, ast.Dict):
        return {key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return set()


def _members(name: str) -> frozenset[str]:
    _, members, bases = _defined()
    return members.get(name, frozenset()).union(*(_members(base) for base in bases.get(name, ())))


def _is_defined(name: str) -> bool:
    owner, _, member = name.rpartition(".")
    return member in _members(owner) if owner else member in _defined()[0]


CHECKED: Final = [(number, name) for number, row in _rows() for name in re.findall(r"`([^`<]+)`", row[COLUMN])]


@pytest.mark.parametrize(("line", "name"), CHECKED, ids=[name for _, name in CHECKED])
def test_the_name_is_in_the_code(line: int, name: str) -> None:
    assert _is_defined(name), f"{PAGE.name}:{line}: the library defines no {name}"


def test_every_row_names_something_in_the_code_or_says_what_it_is() -> None:
    for number, row in _rows():
        assert row[COLUMN] not in ("", "–"), f"{PAGE.name}:{number}"
    assert len(CHECKED) > len(_rows())


@pytest.mark.parametrize("name", ["hear_below", "wires", "Potential.adjoint", "Nowhere.drive", "retain"])
def test_a_name_of_none_is_found_out(name: str) -> None:
    assert not _is_defined(name)


def test_what_is_told_of_feedback_weights_holds_of_a_network() -> None:
    """The buffers are called as the page says: `feedback_weights.edge<n>`."""
    from energy.feedback import Random
    from energy.models import MLP

    network = MLP(sizes=[5, 4]).build((6,), 3, seed=0)
    Random().attach(network, seed=0)
    buffers = [name for name, _ in network.named_buffers() if name.startswith("feedback_weights.")]
    assert buffers
    assert all(re.fullmatch(r"feedback_weights\.edge\d+", name) for name in buffers), buffers
