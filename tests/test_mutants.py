"""The planted defects are still where ``mutants.toml`` says, and the script tells a noticed one from a survivor."""

import ast
from pathlib import Path

import pytest

from tests import mutants
from tests.mutants import LOST, SURVIVED, UNSOUND, Mutant, judge, load, part

MUTANTS = load()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_pattern_is_there_once_and_changes_one_line(mutant: Mutant) -> None:
    before = (mutants.ROOT / mutant.file).read_text(encoding="utf-8")
    after = mutant.plant(before)
    assert after is not None
    assert sum(one != other for one, other in zip(before.splitlines(), after.splitlines(), strict=True)) == 1
    ast.parse(after)
    assert (mutants.ROOT / mutant.tests).is_file()


def test_there_are_enough_and_no_two_have_one_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 24


@pytest.mark.parametrize("count", [1, 2, 6])
def test_parts_are_the_whole_list_once_and_split_no_file_of_tests(count: int) -> None:
    shares = [part(MUTANTS, f"{number}/{count}") for number in range(1, count + 1)]
    assert sorted(mutant.name for share in shares for mutant in share) == sorted(mutant.name for mutant in MUTANTS)
    files = [{mutant.tests for mutant in share} for share in shares]
    assert sum(map(len, files)) == len(set().union(*files))
    largest = max(sum(mutant.tests == tests for mutant in MUTANTS) for tests in set().union(*files))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= largest  # the last file that went to the largest part found it smallest


@pytest.mark.parametrize("share", ["0/2", "3/2", "1/0", "2", "a/b", "1/2/3", "-1/2"])
def test_what_is_no_part_is_refused(share: str) -> None:
    with pytest.raises(SystemExit, match="1 <= k <= n"):
        part(MUTANTS, share)


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(SystemExit, match="only 1 files of tests"):
        part([planted("seen = 1", "seen = 3")], "2/2")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of one module, of which a test sees a half."""
    monkeypatch.setattr(mutants, "PRELOADED", ())
    root = tmp_path / "small"
    root.mkdir()
    (root / "half.py").write_text("seen = 1\nunseen = 2\n")
    (root / "test_half.py").write_text("import half\n\n\ndef test_seen():\n    assert half.seen == 1\n")
    return root


def planted(old: str, new: str, only: str = "") -> Mutant:
    return Mutant("name", "half.py", old, new, "test_half.py", only)


def test_verdicts(tree: Path) -> None:
    before = (tree / "half.py").read_text()
    assert judge(tree, planted("seen = 1", "seen = 3")) == "killed by test_half.py::test_seen"
    assert judge(tree, planted("unseen = 2", "unseen = 3")) == SURVIVED
    assert judge(tree, planted("seen", "known")) == LOST == judge(tree, planted("absent", "known"))
    assert judge(tree, planted("seen = 1", "seen = 3", "nobody")).startswith(UNSOUND)  # no test was selected
    assert judge(tree, planted("seen = 1", "seen =")).startswith(UNSOUND)  # no test was reached
    assert (tree / "half.py").read_text() == before


def test_the_exit_status(tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = planted("seen = 1", "seen = 3"), planted("unseen = 2", "unseen = 3")
    monkeypatch.setattr(mutants, "ROOT", tree)
    for listed, status in (([good], 0), ([good, bad], 1)):
        monkeypatch.setattr(mutants, "load", lambda listed=listed: listed)
        assert mutants.main() == status
    assert "1 of 2 defects were noticed" in capsys.readouterr().out
    (tree / "test_half.py").write_text("def test_seen():\n    assert False\n")
    monkeypatch.setattr(mutants, "load", lambda: [good])
    assert mutants.main() == 1  # the selection fails without any defect
    assert UNSOUND in capsys.readouterr().out
    with pytest.raises(SystemExit, match="unknown: nobody"):
        mutants.main(["nobody"])
