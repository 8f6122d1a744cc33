"""The front of the repository names one version and one address, and a tag is released only if all of it agrees."""

import re
import subprocess
from pathlib import Path

import pytest
from packaging.version import Version

import energy
from tests.packaging import release
from tests.packaging.release import KINDS, ROOT, UNRELEASED, address, cited, problems, sections, version

ADDRESS = "https://repository.test.example/equilibria"
LOG = "# Changelog\n\nWords.\n\n## {top}\n\n### Added\n\n- one\n  more of it\n- two\n\n### Fixed\n\n- three\n{below}"
OLDER = "\n## 0.1.0 - 2026-01-02\n\n### Removed\n\n- four\n"


def tree(folder: Path, *, top: str = "0.2.0 - 2026-02-28", own: str = "0.2.0", citation: str = "0.2.0") -> Path:
    """A repository with what a release looks at."""
    (folder / "energy").mkdir()
    (folder / "energy" / "__init__.py").write_text(f'"""Words."""\n\n__version__: Final = "{own}"\n')
    (folder / "CITATION.cff").write_text(f"cff-version: 1.2.0\nversion: {citation}\n")
    (folder / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{ADDRESS}"\n')
    (folder / "CHANGELOG.md").write_text(LOG.format(top=top, below=OLDER))
    return folder


def test_a_tree_that_agrees_is_released_with_its_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, notes = tree(tmp_path), tmp_path / "build" / "notes.md"
    assert release.main(["v0.2.0", "--notes", str(notes)], root) == 0
    assert notes.read_text() == "### Added\n\n- one\n  more of it\n- two\n\n### Fixed\n\n- three\n"
    assert capsys.readouterr().out == "v0.2.0 may be released\n"


@pytest.mark.parametrize(
    ("given", "tag", "said"),
    [
        ({}, "v0.2.1", ["energy/__init__.py has 0.2.0", "CITATION.cff has 0.2.0", "CHANGELOG.md has 0.2.0"]),
        ({}, "0.2.0", ["the tag 0.2.0 is not v"]),
        ({}, "v0.2", ["__init__", "CITATION", "CHANGELOG", "the tag v0.2 is not v"]),
        ({"own": "0.3.0"}, "v0.2.0", ["energy/__init__.py has 0.3.0, the tag v0.2.0"]),
        ({"citation": "0.1.0"}, "v0.2.0", ["CITATION.cff has 0.1.0"]),
        ({"top": "Unreleased"}, "v0.2.0", ["CHANGELOG.md has Unreleased"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_disagrees_is_said(given: dict[str, str], tag: str, said: list[str], tmp_path: Path) -> None:
    root = tree(tmp_path, **given)
    found = problems(tag, root)
    assert len(found) == len(said) and all(part in line for part, line in zip(said, found, strict=True)), found
    assert release.main([tag, "--notes", str(tmp_path / "notes.md")], root) == 1
    assert not (tmp_path / "notes.md").exists()


def test_a_reserved_address_and_an_empty_section_keep_a_tag_back(tmp_path: Path) -> None:
    root = tree(tmp_path)
    (root / "pyproject.toml").write_text('[project.urls]\nRepository = "https://repository.invalid/equilibria"\n')
    (root / "CHANGELOG.md").write_text(f"# Changelog\n\n## 0.2.0 - 2026-02-28\n{OLDER}")
    assert [line.partition(" ")[0] for line in problems("v0.2.0", root)] == ["CHANGELOG.md", "pyproject.toml"]


@pytest.mark.parametrize(
    "wrong",
    [
        "## 0.2.0\n",
        "## 0.2.0 - 2026-02-30\n",
        "## [0.2.0] - 2026-02-28\n",
        "## Unreleased\n\n- one\n",
        "## Unreleased\n\n### New\n\n- one\n",
        "## Unreleased\n\n### Added\n\n- one\n\n### Added\n\n- two\n",
        "## Unreleased\n\n### Added\n\none\n",
        "## Unreleased\n\n### Added\n\n  more of it\n",
    ],
)
def test_other_forms_of_a_changelog_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError):
        sections(f"# Changelog\n\n{wrong}")


def test_the_changelog_has_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.startswith("# Changelog\n")
    found = sections(text)
    released = found[found[0].title == UNRELEASED :]
    versions, dates = [Version(section.title) for section in released], [section.date for section in released]
    assert versions == sorted(set(versions), reverse=True) and dates == sorted(dates, reverse=True)
    for section in found:
        assert list(section.kinds) == [kind for kind in KINDS if kind in section.kinds], section.title
        assert all(section.kinds.values()), f"{section.title}: a kind without entries"


def test_the_version_is_that_of_the_newest_release_or_one_to_come() -> None:
    found = sections((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    released = [Version(section.title) for section in found if section.title != UNRELEASED]
    assert version() == energy.__version__ == cited()
    assert all(Version(version()) >= one for one in released)
    if found[0].title != UNRELEASED:
        assert released[0] == Version(version())


def test_every_place_repeats_one_address() -> None:
    """Places that must have it, and no other address of a repository of this name anywhere that is tracked."""
    there = address()
    assert re.fullmatch(r"https://[\w.-]+(/[\w.-]+)+", there)
    for name, wanted in {
        "CITATION.cff": f'repository-code: "{there}"\n',
        "pyproject.toml": f'Changelog = "{there}/blob/main/CHANGELOG.md"\n',
        ".github/ISSUE_TEMPLATE/config.yml": f"url: {there}/security/advisories/new\n",
    }.items():
        assert wanted in (ROOT / name).read_text(encoding="utf-8"), name
    listed = subprocess.run(["git", "ls-files", "*.md", "*.toml", "*.yml", "*.cff"], cwd=ROOT, capture_output=True)
    for name in listed.stdout.decode().split():
        other = re.findall(r"https://[\w.-]+(?:/[\w.-]+)*/equilibria\b", (ROOT / name).read_text(encoding="utf-8"))
        assert {*other} <= {there}, name
