"""Folders may be called anything; options of verbs that take folders are told from them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from energy.command.folders import sort
from energy.component import ConfigurationError
from energy.paths import expanded

OPTIONS = ("split", "device", "readout", "readout.")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with run folders of odd names, which is home too."""
    for name in ("sweep/seed=0", "sweep/seed=0,lr=0.1", "a b", "split=test", "plain", "seed=1"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "word", ["sweep/seed=0", "sweep/seed=0,lr=0.1", "./seed=1", "seed=1", "seed=1/", "a b", "plain/", "./split=test"]
)
def test_a_folder_is_a_folder_whatever_it_is_called(here: Path, word: str) -> None:
    for given in (word, str(here / word), f"~/{word}"):
        folders, options = sort("evaluate", [given, "split=validation", "readout.penalty=1"], OPTIONS)
        assert [folder.resolve() for folder in folders] == [(here / word).resolve()]
        assert options == {"split": "validation", "readout.penalty": "1"}


def test_a_folder_named_like_an_option() -> None:
    assert sort("evaluate", ["split=test"], OPTIONS) == ([Path("split=test")], {})
    with pytest.raises(ConfigurationError, match=r"split=test: is a folder here, and an option; write \./split=test"):
        sort("evaluate", ["plain", "split=test"], OPTIONS)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("splt=test", r"evaluate splt: unknown; did you mean 'split'\?; nor is there a folder splt=test"),
        ("seed=9", r"evaluate seed: unknown; known: device, readout, split; nor is there a folder seed=9"),
        ("sweep/seed=9", r"evaluate sweep/seed=9: there is no such folder"),
        ("nowhere", r"evaluate nowhere: there is no such folder"),
        ("file", r"evaluate file: is a file, must be a folder"),
        ("~nobody-at-all/x", r"~nobody-at-all is nobody's home folder"),
    ],
)
def test_what_is_no_folder_is_said(word: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        sort("evaluate", ["plain", word], OPTIONS)


def test_a_verb_without_options_takes_folders_alone() -> None:
    assert sort("plot", ["split=test", "seed=1"]) == ([Path("split=test"), Path("seed=1")], {})
    with pytest.raises(ConfigurationError, match="plot split=x: there is no such folder"):
        sort("plot", ["split=x"])


def test_homes_are_expanded(here: Path) -> None:
    (here / "~").mkdir()
    assert expanded("~/x/y") == here / "x" / "y" and expanded("~") == here
    assert expanded("a/~/b") == Path("a/~/b") and expanded("./~") == here / "~" == expanded(expanded("./~"))


@pytest.mark.parametrize("out", ["out=~/runs/t", 'out="~/runs/t"', "out='~/runs/t'"])
def test_a_run_is_written_at_home(here: Path, energy: Callable[[Sequence[str]], Any], out: str) -> None:
    quick = ["model.sizes=[4]", "train.epochs=1", "data.limit=100", "train.probe_every=0", "train.progress=false"]
    answer = energy(["train", *quick, out])
    assert answer.status == 0, answer.err
    assert (here / "runs" / "t" / "result.json").is_file() and not (here / "~").exists()
    assert energy(["evaluate", "~/runs/t"]).status == 0


@pytest.mark.parametrize("set_by", ["~/sets", "~/sets/"])
def test_data_are_looked_for_at_home(here: Path, monkeypatch: pytest.MonkeyPatch, set_by: str) -> None:
    from energy.data.source import data_root

    monkeypatch.setenv("ENERGY_DATA", set_by)
    assert data_root() == here / "sets"


def test_an_unusual_value_is_answered_with_the_quotes_it_needs(energy: Callable[[Sequence[str]], Any]) -> None:
    answer = energy(["train", "--dry-run", "out=a[b"])
    assert answer.status == 2 and """'out="a[b"'""" in answer.err
