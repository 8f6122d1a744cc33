"""`energy export` and `energy evaluate FILE`: the commands on the card run, and mistakes are one line."""

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from energy.command.folders import sort
from energy.component import ConfigurationError

Energy = Callable[[Sequence[str]], Any]
TINY = ["model.sizes=[8]", "train.epochs=1", "train.batch_size=200", "train.probe_every=0", "train.progress=false"]


@pytest.fixture
def given(energy: Energy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the run `trained`, its weights `tiny.safetensors` and their card."""
    monkeypatch.chdir(tmp_path)
    assert energy(["train", *TINY, "seed=3", "title=tiny", "out=trained"]).status == 0
    answer = energy(["export", "trained", "tiny.safetensors"])
    assert answer.status == 0 and answer.out.split() == ["tiny.safetensors", "tiny.md"]
    return tmp_path


def commands(card: str) -> list[list[str]]:
    """The words of the commands in the blocks of a page, after the shell has joined their lines."""
    blocks = re.findall(r"```console\n(.*?)```", card, re.DOTALL)
    found = [re.match(r"\$ ((?:.*\\\n)*.*)", block) for block in blocks]
    return [shlex.split(one[1].replace("\\\n", " ")) for one in found if one]


def test_the_commands_on_the_card_run(energy: Energy, given: Path) -> None:
    """The first gives the accuracy of the card's table, and the last trains the same run once more."""
    card = (given / "tiny.md").read_text()
    result = json.loads((given / "trained" / "result.json").read_text())
    evaluate, check, train = commands(card)
    assert (evaluate[0], check[0], train[0]) == ("energy", "sha256sum", "energy")
    answer = energy(evaluate[1:])
    accuracy = json.loads(answer.out)["accuracy"]
    assert answer.status == 0 and accuracy == result["test_accuracy"]
    assert f"| test accuracy, % | {accuracy:.6g} |" in card
    assert f"{hashlib.sha256((given / check[1]).read_bytes()).hexdigest()}  {check[1]}" in card
    assert energy([*train[1:], "out=again", "train.progress=false"]).status == 0
    again = json.loads((given / "again" / "result.json").read_text())
    assert (again["key"], again["test_accuracy"]) == (result["key"], result["test_accuracy"])
    said = (result["commit"], result["torch"], result["device_name"], result["key"], "seed 3", "Apache-2.0", "`digits`")
    assert not [text for text in said if text not in card]


def test_the_license_is_that_of_the_code() -> None:
    from energy.train.card import LICENSE
    from tests.docs.pages import ROOT

    assert f'license = "{LICENSE}"' in (ROOT / "pyproject.toml").read_text()


def test_other_splits_and_read_outs_of_a_file(energy: Energy, given: Path) -> None:
    """As of the folder; several files and folders in one command."""
    for words in (["split=validation"], ["readout=nearest", "readout.neighbors=3"]):
        both = energy(["evaluate", "tiny.safetensors", "trained", *words])
        first, second = json.loads(f"[{both.out.strip().replace(chr(10) + '}' + chr(10) + '{', chr(10) + '},{')}]")
        assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_the_status_of_a_damaged_file(energy: Energy, given: Path) -> None:
    blob = bytearray((given / "tiny.safetensors").read_bytes())
    blob[-1] ^= 1
    (given / "tiny.safetensors").write_bytes(blob)
    answer = energy(["evaluate", "tiny.safetensors"])
    assert answer.status == 1 and answer.out == ""
    assert answer.err == "energy: tiny.safetensors: was changed after it was written (SHA-256 differs)\n"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["export"], 2, "export: needs a run folder and a file; usage: energy export RUN_FOLDER FILE.safetensors"),
        (["export", "run"], 2, "export: takes a run folder and a file that ends in .safetensors"),
        (["export", "run", "a.pt"], 2, "export: takes a run folder and a file that ends in .safetensors"),
        (["export", "run", "a.safetensors", "b.safetensors"], 2, "export: takes a run folder and a file"),
        (["export", "nowhere", "a.safetensors"], 2, "export nowhere: there is no such folder"),
        (["export", "run", "a.safetensors"], 1, "run: has no final weights with a result.json; the run is not "),
        (["evaluate", "a.safetensors"], 2, "evaluate a.safetensors: there is no such file"),
        (["evaluate", "page.md"], 2, "evaluate page.md: is a file, must be a folder, or a file that ends in "),
    ],
)
def test_mistakes(
    energy: Energy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], status: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "page.md").touch()
    answer = energy(words)
    assert (answer.status, answer.out) == (status, "")
    assert answer.err.startswith(f"energy: {said}") and answer.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.md", "run"]


def test_files_count_as_places_only_where_they_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "a=b.safetensors"
    file.touch()
    assert sort("evaluate", [str(file), "split=test"], ("split",), ".safetensors") == ([file], {"split": "test"})
    with pytest.raises(ConfigurationError, match="is a file, must be a folder"):
        sort("plot", [str(file)])
