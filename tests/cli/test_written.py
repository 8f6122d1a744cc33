"""What help reads from the files of the library is what importing it registers: names, fields, defaults, pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from energy.command import pages
from energy.command.entry import Entry
from energy.command.registered import entry_of, registered
from energy.command.written import Written
from energy.component import Component
from energy.train.registration import modules, register_builtins

WRITTEN = Written(modules())


@pytest.fixture(autouse=True)
def ours_alone() -> Iterator[None]:
    """The table without what other tests have put into it."""
    register_builtins()
    before = dict(Component.registry)
    for key, cls in before.items():
        if not cls.__module__.startswith("energy."):
            del Component.registry[key]
    yield
    Component.registry.update(before)


def test_the_index_is_the_table() -> None:
    assert [(one.group, one.label) for one in WRITTEN.entries()] == sorted(Component.registry)


def test_every_entry_is_that_of_its_class() -> None:
    for read, imported in zip(WRITTEN.entries(), registered(), strict=True):
        assert read == imported


def test_the_classes_that_are_always_there() -> None:
    from energy.study.compare import Comparison
    from energy.train.run import Run

    for cls in (Run, Comparison):
        assert WRITTEN.entry(cls.__module__, cls.__name__) == entry_of(cls)


def test_pages_are_the_same_either_way() -> None:
    assert pages.catalog(WRITTEN.entries()) == pages.catalog(registered())


SHAPES = """
import enum
import math
from dataclasses import field
from typing import ClassVar

from {root}component import Component
from .sizes import WIDTH as WIDE
from . import sizes

class Kind(enum.Enum):
    ROUND = 1
    SQUARE = 2
    ALIAS = 1

class Shape(Component):
    group: ClassVar[str] = "shape"
    width: float = WIDE / 2

class Disc(Shape, name="disc"):
    '''A disc.

    More of it.
    '''
    kind: Kind = Kind.SQUARE
    ratio: float = -math.sqrt(4)
    names: list[str] = field(default_factory=list)
    text: str = ""

class Sheet(Shape, name="sheet"):
    width: float = 5.0
    on: Shape = field(default_factory=lambda: Disc(width=7.0, ratio=-2.0))
    hidden: int = field(default=1, init=False)
    must: int
    odd: int = sizes.made()
"""


@pytest.fixture
def shapes(tmp_path: Path) -> dict[str, Entry]:
    """Classes with everything that a default may be, read from their file."""
    base = "class Component:\n    pass\n"
    texts = {"component": base, "shapes": SHAPES.format(root="energy."), "sizes": "WIDTH = 6.0\ndef made(): return 1\n"}
    files = {"energy": tmp_path / "__init__.py"}
    files["energy"].touch()
    for name, text in texts.items():
        files[f"energy.{name}"] = tmp_path / f"{name}.py"
        files[f"energy.{name}"].write_text(text, encoding="utf-8")
    return {one.label: one for one in Written(files).entries()}


def test_constants_enumerations_and_components_are_worked_out(shapes: dict[str, Entry]) -> None:
    disc, sheet = shapes["disc"], shapes["sheet"]
    assert disc.fields == (
        "width: float = 3.0",
        "kind: round|square = square",
        "ratio: float = -2.0",
        "names: list of str = []",
        "text: str = ''",
    )
    assert (disc.group, disc.home, disc.summary) == ("shape", "energy.shapes.Disc", "A disc.")
    assert sheet.doc == "" and sheet.choices == {"on": ("disc", "sheet")} and sheet.parts == {}


def test_what_cannot_be_worked_out_is_shown_as_it_is_written(shapes: dict[str, Entry]) -> None:
    assert shapes["sheet"].fields == (
        "width: float = 5.0",
        "on: shape = disc(width=7.0)",
        "must: int",
        "odd: int = sizes.made()",
    )
