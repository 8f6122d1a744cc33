"""How the library is written: docstrings by one template and one markup, small files, no crowded assignment."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
FILES: Final = sorted({path.resolve() for folder in ("energy", "models") for path in (ROOT / folder).rglob("*.py")})
QUESTIONS: Final = re.compile(r"(?:What|Which|How|Who|Whose|Whether|Where|When|Why)\b")
MARKUP: Final = re.compile(r"``|:(?:func|class|meth|mod|attr|data|exc|obj|ref):`|:(?:param|returns?|raises|type)\b")
PER: Final = re.compile(
    r"\b(?:one|two|three|\d+|once|twice|times?|tensors?|numbers?|steps?|sweeps?|spikes?|seconds|buffers?|lines?|slots?|"
    r"columns?|rows?|images|applications|multiply-adds|losses|entries|values?)\s(?:a|an)\s"
    r"(?:sample|step|layer|edge|parameter|neuron|unit|batch|epoch|line|place|channel|image|second|class|phase|sweep)\b"
)
SECTIONS: Final = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example", "Reference", "References", "Note")
LONGEST_FILE: Final = 300
LONGEST_FUNCTION: Final = 33
MANY: Final = 4  # parameters from which they are listed

Definition = ast.Module | ast.ClassDef | ast.FunctionDef


@pytest.fixture(scope="module", params=FILES, ids=lambda path: str(path.relative_to(ROOT)))
def path(request: pytest.FixtureRequest) -> Path:
    """One file after another: all tests of a file follow each other, so that it is read once."""
    return request.param


@functools.lru_cache(maxsize=1)
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=1)
def documented(path: Path) -> list[tuple[str, Definition, str]]:
    """Every docstring: (where, definition, text)."""
    return [
        (f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", node, text)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node))
    ]


def public(path: Path) -> Iterator[tuple[str, ast.FunctionDef, str]]:
    """The public functions and methods, and their docstrings."""
    for where, node, text in documented(path):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield where, node, text


def length(node: ast.FunctionDef) -> int:
    """The lines of a function without its docstring."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    assert node.end_lineno is not None
    return node.end_lineno - first.lineno + 1


def parameters(node: ast.FunctionDef) -> list[str]:
    names = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def test_no_title_asks_a_question(path: Path) -> None:
    assert [where for where, _, text in documented(path) if QUESTIONS.match(text)] == []


def test_docstrings_have_one_markup(path: Path) -> None:
    assert [where for where, _, text in documented(path) if MARKUP.search(text)] == []


def test_rates_are_per_something(path: Path) -> None:
    assert [(where, found.group()) for where, _, text in documented(path) if (found := PER.search(text))] == []


def test_sections_are_those_of_the_template(path: Path) -> None:
    """A source is a Reference, what is raised stands below Raises, and both begin on a line of their own."""
    wrong = re.compile(
        r"^(?:Source|Sources|Parameters|Arguments|Return|Throws|Examples|See):|^Raises [A-Z]\w+", re.MULTILINE
    )
    assert [where for where, _, text in documented(path) if wrong.search(text)] == []


def test_many_parameters_are_listed(path: Path) -> None:
    """A public function of many parameters that has a docstring of its own says of each what it is."""
    found = []
    for where, node, text in public(path):
        names = parameters(node)
        if len(names) >= MANY and "Args:" not in text:
            found.append(f"{where} {node.name}")
    assert found == []


def test_what_a_docstring_lists_is_a_parameter(path: Path) -> None:
    found = []
    for where, node, text in documented(path):
        if not isinstance(node, ast.FunctionDef) or "Args:" not in text:
            continue
        section = re.split(rf"^(?:{'|'.join(SECTIONS)}):$", text.partition("Args:")[2], maxsplit=1, flags=re.MULTILINE)[
            0
        ]
        named = re.findall(r"^ {4}([\w, *]+):", section, re.MULTILINE)
        given = {name.strip(" *") for group in named for name in group.split(",")}
        several = {one.arg for one in (node.args.vararg, node.args.kwarg) if one is not None}
        found += [f"{where} {name}" for name in sorted(given - several - set(parameters(node)))]
    assert found == []


def test_files_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    functions = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in functions if length(node) > LONGEST_FUNCTION] == []


def test_no_assignment_packs_more_than_two_values(path: Path) -> None:
    """`a, b, c = 1, 2, 3` buys lines and costs reading; unpacking what a call returns is another matter."""
    packed = [
        node.lineno
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple) and len(node.value.elts) > 2
        if isinstance(node.targets[0], ast.Tuple)
    ]
    assert packed == []
