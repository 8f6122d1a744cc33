"""What is promised stays: the list of names, signatures, fields and verbs is the one of the code."""

import enum
from pathlib import Path

import pytest

import energy
from energy.component import Component
from tests.packaging import api

CHANGELOG = "# Changelog\n\nIntroduction with `Gone`.\n\n## 0.2.0\n\n- {}\n\n## 0.1.0\n\n- `Gone`, `f`, `settler=old`\n"


def parts(**given: dict[str, str]) -> dict[str, dict[str, str]]:
    """Parts of a list, empty but for those given."""
    return {part: given.get(part, {}) for part in api.PARTS}


def test_the_list_is_that_of_the_code() -> None:
    found = api.differences(api.read(api.LIST.read_text(encoding="utf-8")), api.collected())
    lines = "\n".join(line for _, line in found)
    assert not found, f"\n{lines}\nif that is meant: `python -m tests.packaging.api`, and a line in CHANGELOG.md"


def test_the_list_is_as_it_is_written() -> None:
    listed = api.LIST.read_text(encoding="utf-8")
    assert api.text(api.read(listed)) == listed


def test_every_name_of_the_package_and_every_component_is_promised() -> None:
    listed = api.read(api.LIST.read_text(encoding="utf-8"))
    assert {f"energy.{name}" for name in energy.__all__} <= listed["stable"].keys()
    ours = {key for key, cls in Component.registry.items() if cls.__module__.startswith("energy.")}
    assert {f"{group}={name}" for group, name in ours} <= listed["configuration"].keys()
    assert {"energy.testing.check_settler", "energy.Network.add", "energy.errors.EnergyError"} <= listed[
        "stable"
    ].keys()
    names = [name for part in listed.values() for name in part]
    assert len(names) == len({*names}), "a name has two promises"


def test_every_name_is_found_where_the_list_says() -> None:
    listed = api.read(api.LIST.read_text(encoding="utf-8"))
    for part in ("stable", "provisional"):
        for name in listed[part]:
            api.resolve(name)


def test_a_signature_has_names_kinds_and_defaults() -> None:
    class Kind(enum.Enum):
        ONE = 1
        TWO = 2

    class Inner(Component):
        rate: float = 0.5
        many: int = 3

    class Outer(Component):
        needed: int
        kind: Kind = Kind.TWO
        inner: Inner = Inner(rate=0.25)

    def function(cls: int, /, b: float = 1.0, *rest: int, c: object = object, d: str = "x") -> None: ...

    def later(a: int, *, b: object = None) -> None: ...

    assert api.signature(Outer) == "(*, needed, kind=two, inner=Inner(rate=0.25))"
    assert api.signature(function) == "(cls, b=1.0, *rest, c=object, d='x')"
    assert api.signature(later) == "(a, *, b=None)"
    assert api.signature(Kind) == "{one, two}"
    assert api.signature(3) == ""


def test_differences_are_told_in_words() -> None:
    before = parts(stable={"energy.f": "(a)", "energy.g": "()"}, configuration={"settler=old": "()"})
    now = parts(stable={"energy.f": "(a, b)", "energy.h": "()"}, configuration={"settler=old": "()"})
    assert [line for _, line in api.differences(before, now)] == [
        "changed in stable: energy.f: (a) became (a, b)",
        "removed from stable: energy.g()",
        "added to stable: energy.h()",
    ]
    assert api.differences(before, before) == []


@pytest.mark.parametrize(
    ("name", "told", "enough"),
    [
        ("energy.Gone", "`Gone` is gone", True),
        ("energy.Gone", "Gone is gone", False),
        ("energy.Gone", "`Goner` and `is.Gone`", False),
        ("energy.Gone.add", "`Gone` is another", False),
        ("energy.Gone.add", "`energy.Gone.add(x)` is `plus`", True),
        ("energy.io.atomic.f", "`f(path)` is gone", True),
        ("settler=old", "`settler=old` is `settler=new`", True),
        ("settler=old", "`settler=older`", False),
        ("energy runs", "`energy runs` is gone", True),
    ],
)
def test_what_is_taken_away_must_be_in_the_newest_section(name: str, told: str, enough: bool) -> None:
    changes = [(name, f"removed from stable: {name}"), ("energy.more", "added to stable: energy.more")]
    missing = api.unspoken(changes, CHANGELOG.format(told))
    assert missing == ([] if enough else [f"removed from stable: {name}"])


def test_the_list_is_not_rewritten_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = api.LIST.read_text(encoding="utf-8")
    kept = tmp_path / "api.txt"
    monkeypatch.setattr(api, "LIST", kept)
    kept.write_text(listed.replace("\n\n[configuration]", "\nenergy.xyzzy(a)\n\n[configuration]"), encoding="utf-8")
    before = kept.read_text(encoding="utf-8")
    assert before != listed and api.main() == 1
    assert "CHANGELOG.md must name" in capsys.readouterr().out and kept.read_text(encoding="utf-8") == before
    kept.write_text(listed.replace("energy.fit(run)\n", ""), encoding="utf-8")
    assert api.main() == 0 and kept.read_text(encoding="utf-8") == listed  # what is added needs no word
