"""Promise: loading a file that we write never runs code. The syntax tree of every module is searched for what could."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("energy/**/*.py"), *ROOT.glob("models/**/*.py"), *ROOT.glob("configs/**/*.py")])
ARCHIVE_READER = ROOT / "energy" / "data" / "archive.py"
IN_MEMORY = ROOT / "energy" / "program" / "flat.py"  # takes objects apart, and reads no bytes but its own
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {("torch", "load"), ("torch", "save"), ("np", "load"), ("numpy", "load"), ("yaml", "load")}


def suspicious(tree: ast.AST) -> Iterator[str]:
    """What a module does that could run code out of a file: ``line: what``."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) if found := {name.name.split(".")[0] for name in names} & MODULES:
                yield f"{node.lineno}: import {min(found)}"
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in MODULES:
                yield f"{node.lineno}: from {module}"
            case ast.ImportFrom(module=str(module), names=names) if "instantiate" in module.split(".") or any(
                name.name in ("instantiate", "call") and module.startswith("hydra") for name in names
            ):
                yield f"{node.lineno}: from {module}"
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield f"{node.lineno}: {name}()"
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name)) if (owner, name) in METHODS:
                if not _without_pickle(node):
                    yield f"{node.lineno}: {owner}.{name}()"
            case ast.keyword(arg="allow_pickle", value=value) if not _is_false(value):
                yield f"{value.lineno}: allow_pickle"
            case ast.Dict(keys=keys) if any(_is(key, "_target_") for key in keys):
                yield f"{node.lineno}: _target_"
            case ast.keyword(arg="_target_"):
                yield f"{node.value.lineno}: _target_"


def _without_pickle(call: ast.Call) -> bool:
    """``numpy.load(..., allow_pickle=False)``."""
    return any(keyword.arg == "allow_pickle" and _is_false(keyword.value) for keyword in call.keywords)


def _is_false(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _is(node: ast.AST | None, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


def test_there_is_something_to_search() -> None:
    assert len(SOURCES) > 20 and any(path.name == "component.py" for path in SOURCES)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_can_run_code_from_a_file(path: Path) -> None:
    found = list(suspicious(ast.parse(path.read_text(encoding="utf-8"))))
    if path in (ARCHIVE_READER, IN_MEMORY):
        found = [text for text in found if not text.endswith("import pickle")]
    assert not found, f"{path.relative_to(ROOT)}: {'; '.join(found)}"


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "import torch, pickle as p",
        "from pickle import loads",
        "import joblib",
        "torch.load('x')",
        "torch.load('x', weights_only=True)",
        "numpy.load('x')",
        "np.load('x', allow_pickle=True)",
        "np.load('x', allow_pickle=flag)",
        "eval('1')",
        "exec('1')",
        "__import__('os')",
        "{'_target_': 'os.system'}",
        "dict(_target_='os.system')",
        "from hydra.utils import instantiate",
        "import marshal",
    ],
)
def test_the_search_finds(text: str) -> None:
    assert list(suspicious(ast.parse(text)))


@pytest.mark.parametrize("text", ["model.eval()", "np.load('x', allow_pickle=False)", "re.compile('x')", "x = 'eval('"])
def test_the_search_leaves_alone(text: str) -> None:
    assert not list(suspicious(ast.parse(text)))


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/**/*.yaml")), ids=lambda path: path.name)
def test_configuration_files_hold_values_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not [word for word in ("_target_", "oc.env", "():", "!!python") if word in text]
