"""One meaning a name, and one spelling: what the library defines in public, and how identifiers are written."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
LIBRARY: Final = ("energy", "models")
VERBS: Final = (
    "author|categor|central|custom|discret|emphas|equal|factor|final|general|harmon|initial|linear|local|material|maxim|"
    "memor|minim|modular|neutral|normal|optim|organ|parametr|penal|polar|priorit|quant|random|real|recogn|regular|"
    "serial|special|stabil|standard|summar|symmetr|synchron|token|util|vector|visual"
)
BRITISH: Final = re.compile(
    rf"(?:{VERBS})is(?:e|ed|es|er|ers|ing|ation|ations|able)(?![a-z])|(?:anal|paral)ys(?:e|ed|es|ing)(?![a-z])|"
    r"(?:col|neighb|behavi|fav|hon|flav|lab|harb)our|cent(?:re|red|res|ring)(?![a-z])|(?:fib|lit|met)re(?:s)?(?![a-z])|"
    r"(?:catal|dial|anal)ogue|(?:label|model|cancel|signal|travel)l(?:ed|ing)(?![a-z])|(?:learn|spel|burn)t(?![a-z])|"
    r"(?:def|off)ence|judgement|artefact|programme|ageing|grey"
)


def sources(*folders: str) -> list[Path]:
    """The files of our code, each once: `energy/models` is a link to `models`."""
    found = {path.resolve() for folder in folders for path in (ROOT / folder).rglob("*.py")}
    return sorted(path for path in found if "egg-info" not in str(path))


def public(tree: ast.Module) -> set[str]:
    """Classes and functions at the top of a module, without those that begin with an underscore."""
    defined = (node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name for node in defined if not node.name.startswith("_")}


def identifiers(tree: ast.Module) -> Iterator[str]:
    """Every name that a module defines: of classes, functions, parameters, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def british(names: Iterator[str] | list[str]) -> set[str]:
    """Those in which a word is spelled the British way; camel case and capitals are words too."""
    split = {name: re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() for name in names}
    return {name for name, words in split.items() if BRITISH.search(words)}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_no_public_name_is_defined_twice() -> None:
    places = defaultdict(list)
    for path in sources(*LIBRARY):
        for name in public(parsed(path)):
            places[name].append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in sorted(places.items()) if len(found) > 1} == {}


@pytest.mark.parametrize("folder", [*LIBRARY, "tests"])
def test_identifiers_are_spelled_as_in_pytorch(folder: str) -> None:
    found = {str(path.relative_to(ROOT)): sorted(british(identifiers(parsed(path)))) for path in sources(folder)}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("folder", [*LIBRARY, "tests"])
def test_modules_are_spelled_as_in_pytorch(folder: str) -> None:
    assert british([path.stem for path in sources(folder)]) == set()


def test_the_words_are_noticed() -> None:
    wrong = [
        "normalised",
        "linearise",
        "KIND_CENTRED",
        "n_neighbours",
        "_colour",
        "LinearisedEdge",
        "labelled",
        "Learnt",
    ]
    right = ["normalized", "linear", "raise_", "noise", "promise", "precise", "otherwise", "pairwise", "center"]
    right += ["recentered", "source", "hours", "unrolled", "called", "burst", "optimistic"]
    assert british(wrong) == set(wrong)
    assert british(right) == set()
