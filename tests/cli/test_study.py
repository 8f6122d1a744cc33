"""`energy study`: from a command line to points, tables and a report, and several of them merged."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from energy.command import study as verb
from tests.study.records import study_record

TINY = [
    "study",
    "model=mlp",
    "model.sizes=[8]",
    "model.hidden=hard_sigmoid",
    "data=digits",
    "data.limit=120",
    "objective=squared_error",
    "settlers=[dual_propagation,'EP: equilibrium_propagation']",
    "blocks=[{title: anytime, vary: ['budget=1+1,4+2']}]",
    "seeds=[0]",
    "batch=4",
    "train.progress=false",
]


@pytest.fixture
def no_pages(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders whose reports would have been written."""
    asked: list[Path] = []
    monkeypatch.setattr(verb, "report", asked.append)
    return asked


def test_a_study_leaves_its_record_and_its_table(
    energy: Callable[[Sequence[str]], Any], tmp_path: Path, no_pages: list[Path]
) -> None:
    answer = energy([*TINY, f"out={tmp_path / 'one'}"])
    assert answer.status == 0, answer.err
    record = json.loads((tmp_path / "one" / "study.json").read_text())
    assert {(point["axes"]["settler"], point["axes"]["budget"]) for point in record["points"]} == {
        ("dual_propagation", "0+1"),
        ("dual_propagation", "0+2"),
        ("EP", "1+1"),
        ("EP", "4+2"),
    }
    assert record["command"].startswith("energy study model=mlp")
    assert "4 points" in answer.out
    assert (tmp_path / "one" / "study.csv").exists()
    assert no_pages == [tmp_path / "one"]


def test_studies_are_merged(energy: Callable[[Sequence[str]], Any], tmp_path: Path, no_pages: list[Path]) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        assert energy([*TINY, f"seeds=[{seed}]", f"out={tmp_path / name}"]).status == 0
    answer = energy(["study", "merge", str(tmp_path / "a"), str(tmp_path / "b"), f"out={tmp_path / 'all'}"])
    assert answer.status == 0, answer.err
    assert "8 points of 2 studies" in answer.out
    assert {point["axes"]["seed"] for point in json.loads((tmp_path / "all" / "study.json").read_text())["points"]} == {
        0,
        1,
    }


def test_merging_asks_for_folders_and_for_a_place(energy: Callable[[Sequence[str]], Any], tmp_path: Path) -> None:
    for words in (["merge"], ["merge", f"out={tmp_path}"], ["merge", str(tmp_path)]):
        answer = energy(["study", *words])
        assert answer.status == 2
        assert "out=FOLDER" in answer.err


def test_a_dry_run_measures_nothing(energy: Callable[[Sequence[str]], Any], tmp_path: Path) -> None:
    answer = energy([*TINY, "--dry-run", f"out={tmp_path / 'none'}"])
    assert json.loads(answer.out)["blocks"][0]["vary"] == ["budget=1+1,4+2"]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("blocks=[{vary: ['budget=3']}]", "T+K"),
        ("blocks=[{vary: ['setler.beta=1']}]", "settler"),
        ("blocks=[{settlers: [EQ]}]", "no settler is called 'EQ'; known: EP"),
        ("blocks=[{measure: [gradeint]}]", "gradient"),
        ("trainer=nobody", "nobody"),
    ],
)
def test_mistakes_are_named_before_anything_is_measured(
    energy: Callable[[Sequence[str]], Any], tmp_path: Path, word: str, told: str
) -> None:
    answer = energy([*TINY, word, f"out={tmp_path / 'none'}"])
    assert answer.status == 2
    assert told in answer.err
    assert not (tmp_path / "none").exists()


def test_an_error_of_the_report_costs_only_the_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    verb.report(tmp_path)
    told = capsys.readouterr().out
    assert told.startswith("No report: ")
    assert str(tmp_path) in told


def without_numbers(record: dict[str, Any]) -> None:
    record["points"][0]["samples"]["sweeps"] = {"free": ["many"]}


MALFORMED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "spent": (lambda one: one["spent"].pop("seconds"), "spent: has no seconds"),
    "samples": (lambda one: one["points"][0].update(samples={}), r"points\[0\]: has no sweeps|samples: has no sweeps"),
    "sweeps": (without_numbers, r"points\[0\].*sweeps"),
    "residual": (lambda one: one["points"][1]["samples"].update(residual=["x"]), r"points\[1\].*residual"),
    "origin": (lambda one: one["points"][0].update(origin=3), r"points\[0\]: origin='3': must be an object"),
    "large": (lambda one: one["spent"].update(seconds=1e308), "spent.seconds=1e.308: must be at most"),
    "larger": (lambda one: one["points"][0]["axes"].update(gamma=10**305), "axes.gamma=1e.305: must be at most"),
    "half a letter": (lambda one: one.update(title="\ud800"), "not JSON .*surrogates"),
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("first", [True, False])
def test_a_malformed_study_is_named_before_anything_is_written(
    energy: Callable[[Sequence[str]], Any], tmp_path: Path, name: str, first: bool
) -> None:
    change, told = MALFORMED[name]
    record = study_record()
    texts = {"sound": json.dumps(record)}
    change(record)
    texts["odd"] = json.dumps(record)
    for folder, text in texts.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "study.json").write_text(text)
    given = [str(tmp_path / folder) for folder in (("odd", "sound") if first else ("sound", "odd"))]
    answer = energy(["study", "merge", *given, f"out={tmp_path / 'both'}"])
    assert answer.status == 1 and re.search(rf"odd/study\.json.*({told})", answer.err)
    assert answer.err.count("\n") == 1 and not (tmp_path / "both").exists()
