"""``docs/api.md`` names what exists, with the signatures it has, and every component that can be selected."""

import re

import pytest

from energy.command.catalog import load_all
from energy.component import Component
from tests.docs.pages import ROOT
from tests.docs.signatures import entries, resolve, written

PAGE = ROOT / "docs" / "api.md"
OURS = "energy."


@pytest.mark.parametrize(("name", "signature"), entries(PAGE), ids=lambda text: text.partition("(")[0])
def test_the_signature_is_the_one_in_the_code(name: str, signature: str) -> None:
    found = resolve(name)
    if signature:
        assert f"`{name}{written(found)}`" == f"`{name}{signature}`"


def test_the_page_has_entries() -> None:
    assert len(entries(PAGE)) > 100


def test_every_component_is_on_the_page() -> None:
    load_all()
    ours = {f"{cls.__name__}" for cls in Component.registry.values() if cls.__module__.startswith(OURS)}
    text = PAGE.read_text(encoding="utf-8")
    assert not {name for name in ours if f".{name}(" not in text}


def test_the_readme_names_every_choice() -> None:
    load_all()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    ours = {name for (_, name), cls in Component.registry.items() if cls.__module__.startswith(OURS)}
    assert not {name for name in ours if f"`{name}`" not in text}


def test_the_names_of_the_package_are_on_the_page() -> None:
    import energy

    text = PAGE.read_text(encoding="utf-8").partition("## Names of the package")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(energy[\w.]*)` \| (.*) \|$", text, re.MULTILINE)
    assert {home: tuple(re.findall(r"`(\w+)`", names)) for home, names in rows} == energy._NAMES
