"""What earlier releases wrote is read: final weights, whole run folders and exported weights, scored as they were then.

`python -m tests.train.keep_release` makes a folder when a version is released; it is never changed afterwards.
"""

import json
import shutil
from pathlib import Path

import pytest

import energy
from energy.io.record import CONFIGURATION, RECORD, RESULT, read_json, read_lines
from energy.study.listing import listing
from energy.train.evaluate import evaluate
from energy.train.export import export
from tests.train.keep_release import EXPECTED, EXPORTED, LARGEST, RELEASES, keep

KEPT = sorted(RELEASES.iterdir())
WHOLE = [folder for folder in KEPT if (folder / RESULT).is_file()]


def scored(found: dict[str, object], folder: Path) -> None:
    """Hold scores against those of the release."""
    expected = json.loads((folder / EXPECTED).read_text(encoding="utf-8"))
    assert found["accuracy"] == pytest.approx(expected["test_accuracy"], abs=1.2)  # four images of 360
    assert found["objective"] == pytest.approx(expected["test_objective"], rel=1e-3)


@pytest.fixture(params=WHOLE, ids=lambda folder: folder.name)
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the run folder of a release."""
    return Path(shutil.copytree(request.param, tmp_path / request.param.name))


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_a_run_of_an_earlier_release_scores_as_it_did(folder: Path) -> None:
    scored(evaluate(folder, device="cpu"), folder)


def test_exported_weights_of_an_earlier_release_score_as_they_did(whole: Path) -> None:
    scored(evaluate(whole / EXPORTED, device="cpu"), whole)


def test_a_run_folder_of_an_earlier_release_is_read_listed_and_exported(whole: Path) -> None:
    result, lines = read_json(whole / RESULT), read_lines(whole / RECORD)
    assert [line["epoch"] for line in lines] == [0, 1] and read_json(whole / CONFIGURATION)
    assert f"{result['test_accuracy']:.2f}" in listing(whole.parent)
    export(whole, whole / "again.safetensors")
    scored(evaluate(whole / "again.safetensors", device="cpu"), whole)


def test_this_version_and_each_before_it_are_kept_in_small_files() -> None:
    assert WHOLE and energy.__version__ in {folder.name.partition("-")[0] for folder in KEPT}
    sizes = {path: path.stat().st_size for folder in KEPT for path in folder.rglob("*") if path.is_file()}
    assert not [path for path, size in sizes.items() if size > LARGEST]


def test_a_release_is_kept_once_and_read_back(tmp_path: Path) -> None:
    keep(tmp_path / "next")
    scored(evaluate(tmp_path / "next", device="cpu"), tmp_path / "next")
    assert {CONFIGURATION, RECORD, RESULT, EXPORTED} <= {path.name for path in (tmp_path / "next").iterdir()}
    with pytest.raises(FileExistsError):
        keep(tmp_path / "next")
