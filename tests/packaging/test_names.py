"""`import energy` gives the names that a script needs: the objects of their modules, imported when asked for."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import energy

HOMES = {name: module for module, names in energy._NAMES.items() for name in names}


@pytest.mark.parametrize("name", energy.__all__)
def test_a_name_is_the_object_of_its_home(name: str) -> None:
    assert getattr(energy, name) is getattr(importlib.import_module(HOMES[name]), name)


def test_every_name_has_a_home_and_is_listed() -> None:
    assert sorted(energy.__all__) == sorted(HOMES) and {*energy.__all__, "__version__"} <= {*dir(energy)}


def test_no_name_is_that_of_a_module_which_would_take_its_place() -> None:
    assert not {module.name for module in pkgutil.iter_modules(energy.__path__)} & {*energy.__all__}


@pytest.mark.parametrize(("wrong", "meant"), [("Netwrok", "Network"), ("one_hott", "one_hot"), ("mlp", "MLP")])
def test_an_unknown_name_is_told_the_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=f"'energy' has no attribute '{wrong}'; did you mean '{meant}'"):
        getattr(energy, wrong)
    assert not hasattr(energy, "nothing_like_it")


def test_type_checkers_see_the_same_names() -> None:
    """A name that is in the table alone would be `Any` to them."""
    import ast
    from pathlib import Path

    tree = ast.parse(Path(energy.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = [
        (alias.name, node.module)
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert dict(seen) == HOMES and len(seen) == len(HOMES)


def test_asking_for_one_name_imports_it_and_a_star_imports_all() -> None:
    program = """
import sys
from energy import Ledger
print("torch" in sys.modules)
from energy import *
print(MLP.__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "MLP"]
