"""One hierarchy of errors, and decisions by type alone."""

import ast
import builtins
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import energy
from energy import errors
from energy.command.catalog import load_all
from energy.errors import EnergyError

HOME = Path(energy.__file__).parent
FILES = sorted(path for path in HOME.rglob("*.py"))
# torch raises a plain RuntimeError for these, and says which it is in words only
IN_WORDS = {("train/memory.py", "lacks_memory"), ("train/memory.py", "memory_line"), ("train/rehearsal.py", "_drafted")}
LOOKS = {"startswith", "endswith", "find", "index", "count", "search", "match"}
FOR_USERS = {"ValueError", "TypeError", "RuntimeError", "ImportError", "FileNotFoundError", "OSError", "Exception"}


@pytest.fixture(scope="module", params=FILES, ids=lambda path: str(path.relative_to(HOME)))
def path(request: pytest.FixtureRequest) -> Path:
    """One file after another, both tests of it together."""
    return request.param


def ours() -> list[type[BaseException]]:
    """Every class of exception that a module of the library defines."""
    load_all()
    modules = [importlib.import_module(f"energy.{_dotted(path)}") for path in FILES if path.stem[:2] != "__"]
    classes = [cls for module in modules for _, cls in inspect.getmembers(module, inspect.isclass)]
    return [cls for cls in set(classes) if issubclass(cls, BaseException) and cls.__module__.startswith("energy.")]


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(HOME).with_suffix("").parts)


def test_every_error_of_ours_is_in_the_hierarchy_and_of_a_built_in_kind() -> None:
    found = [cls for cls in ours() if not issubclass(cls, Warning | SystemExit)]
    assert len(found) > 10
    for cls in found:
        assert issubclass(cls, EnergyError), cls
        kinds = [base for base in cls.__mro__[1:] if base.__module__ == "builtins"]
        assert cls is EnergyError or any(kind not in (Exception, BaseException, object) for kind in kinds), cls


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ConfigurationError", ValueError),
        ("UsageError", ValueError),
        ("UsageTypeError", TypeError),
        ("NonFiniteError", ValueError),
        ("DataError", ValueError),
        ("DamagedFileError", ValueError),
        ("DamagedCheckpointError", ValueError),
        ("MissingFileError", FileNotFoundError),
        ("LockedFolderError", RuntimeError),
        ("MissingDependencyError", ImportError),
        ("OutOfMemory", MemoryError),
    ],
)
def test_code_that_knows_built_in_errors_only_catches_ours(name: str, kind: type[Exception]) -> None:
    error = getattr(errors, name)("field=1: must be 2")
    assert isinstance(error, kind) and isinstance(error, EnergyError) and str(error) == "field=1: must be 2"


def test_errors_are_found_where_they_were() -> None:
    from energy.component import ConfigurationError
    from energy.data import DataError

    assert (ConfigurationError, DataError) == (errors.ConfigurationError, errors.DataError)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from energy.network import Network
    from energy.spiking.export import to_nir
    from energy.spiking.neurons import LIF

    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(errors.MissingDependencyError, match="to_nir: needs nir, which the extra `nir` installs"):
        to_nir(Network((2,)), LIF())


def _texts(function: ast.AST) -> set[str]:
    """Names that hold an error, or its text, in a function."""
    named = {node.name for node in ast.walk(function) if isinstance(node, ast.ExceptHandler) and node.name}
    for node in ast.walk(function):
        if isinstance(node, ast.arg) and node.annotation and "Exception" in ast.unparse(node.annotation):
            named.add(node.arg)
        if isinstance(node, ast.Assign) and _said(node.value, named):
            named |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return named


def _said(node: ast.AST, named: set[str]) -> bool:
    """Whether the text of an error is read in an expression."""
    return any(
        isinstance(one, ast.Call)
        and isinstance(one.func, ast.Name)
        and one.func.id in ("str", "repr")
        and any(isinstance(word, ast.Name) and word.id in named for word in one.args)
        for one in ast.walk(node)
    )


def decisions(source: str) -> Iterator[str]:
    """Functions that compare the text of an error, or look something up in it."""
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        named = _texts(function)
        for node in ast.walk(function):
            looks = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOOKS
            if (isinstance(node, ast.Compare) or looks) and _said(node, named):
                yield function.name


def test_nothing_is_decided_by_the_words_of_an_error(path: Path) -> None:
    place = path.relative_to(HOME).as_posix()
    assert not [found for found in decisions(path.read_text(encoding="utf-8")) if (place, found) not in IN_WORDS]


@pytest.mark.parametrize(
    "body",
    [
        'if "not finite" in str(error): raise',
        'if str(error).startswith("x"): raise',
        'text = str(error)\n        if "x" in str(text).lower(): raise',
        'found = re.search("x", str(error))',
    ],
)
def test_the_lint_sees_a_decision_by_words(body: str) -> None:
    assert list(decisions(f"def f():\n    try:\n        pass\n    except ValueError as error:\n        {body}\n"))
    assert not list(decisions("def f(error: Exception):\n    return f'{str(error).strip()}: {error}'\n"))


def test_plain_built_in_errors_are_not_raised_with_a_message(path: Path) -> None:
    """What a person is to read is an `EnergyError`; a re-raise, and what Python's protocols ask for, are not meant."""
    raised = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Raise)]
    plain = [
        node.exc.func.id
        for node in raised
        if isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name) and node.exc.func.id in FOR_USERS
    ]
    assert all(hasattr(builtins, name) for name in plain)
    assert not plain
