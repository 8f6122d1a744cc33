"""The run as a configuration: identity, folder, ranges, description."""

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.component import ConfigurationError, from_dict, to_dict
from energy.io.provenance import commit, provenance
from energy.train.run import Run, Training, hash_of_description, identity

Maker = Callable[..., Run]


def test_described_and_built_again(make_run: Maker) -> None:
    run = make_run()
    assert from_dict(Run, json.loads(json.dumps(to_dict(run))), path="") == run


@pytest.mark.parametrize(
    "change",
    [
        {"title": "other"},
        {"out": "elsewhere"},
        {"device": "cpu"},
        {"train": {"time_limit": 3.0}},
        {"train": {"checkpoint_every": 7}},
        {"train": {"keep": 9}},
        {"train": {"progress": True}},
    ],
)
def test_what_changes_no_number_changes_no_identity(make_run: Maker, change: dict[str, Any]) -> None:
    assert identity(make_run(**change)) == identity(make_run())


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"train": {"epochs": 3}},
        {"settler": {"beta": 0.2}},
        {"precision": "float64"},
        {"train": {"batch_size": 21}},
        {"data": {"limit": 151}},
    ],
)
def test_what_changes_numbers_changes_the_folder(make_run: Maker, change: dict[str, Any]) -> None:
    assert make_run(out="", **change).folder != make_run(out="").folder


def test_the_default_folder_carries_title_and_hash(make_run: Maker) -> None:
    run = make_run(out="")
    assert run.folder == Path("runs") / f"tiny-{hash_of_description(identity(run))}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("check_every", 0),
        ("checkpoint_every", -1),
        ("probe_every", -1),
        ("trace_every", -1),
        ("keep", 0),
        ("time_limit", math.nan),
        ("time_limit", -1.0),
    ],
)
def test_ranges_of_training(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"{field}=.*must be"):
        from_dict(Training, {field: value})


@pytest.mark.parametrize(
    "change",
    [{"seed": -1}, {"device": "gpu"}, {"device": "cuda:"}, {"title": "a/b"}, {"title": ""}, {"title": ".."[:1] + "/"}],
)
def test_ranges_of_the_run(make_run: Maker, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="must be"):
        make_run(**change)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(make_run: Maker) -> None:
    with pytest.raises(ConfigurationError, match="0 CUDA devices"):
        make_run(device="cuda").place()


def test_an_objective_that_does_not_fit_is_found_before_the_data(make_run: Maker, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="softmax reads logits"):
        make_run(model={"output": {"name": "hard_sigmoid"}}).network()


def test_provenance_is_plain_and_whole() -> None:
    found = provenance(torch.device("cpu"))
    assert {"commit", "device", "device_name", "threads", "torch", "python", "energy", "ranks"} == set(found)
    assert json.loads(json.dumps(found)) == found


def test_outside_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    (tmp_path / "energy").mkdir()
    (tmp_path / "energy" / "__init__.py").touch()
    assert commit(tmp_path) == ""


def test_another_repository_around_the_library_is_not_taken_for_ours(tmp_path: Path) -> None:
    """As when the library lies in a virtual environment inside somebody's project."""
    (tmp_path / "energy").mkdir()
    (tmp_path / "energy" / "__init__.py").touch()
    identity_of = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "other").touch()
    subprocess.run(["git", "-C", str(tmp_path), "add", "other"], check=True)
    subprocess.run(["git", "-C", str(tmp_path), *identity_of, "commit", "-qm", "x"], check=True)
    assert commit(tmp_path) == ""
    subprocess.run(["git", "-C", str(tmp_path), "add", "energy"], check=True)
    subprocess.run(["git", "-C", str(tmp_path), *identity_of, "commit", "-qm", "y"], check=True)
    head = commit(tmp_path)
    assert len(head) == 40
    (tmp_path / "other").write_text("changed")
    assert commit(tmp_path) == f"{head}-dirty"


def test_records_and_texts_leave_a_tree_clean(tmp_path: Path) -> None:
    """What a run of a cell writes itself: its record, the table of its paper, the table in the README."""
    kept = ("README.md", "paper_repro/README.md", "paper_repro/some/results.csv", "energy/__init__.py")
    for name in kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    head = commit(tmp_path)
    for name in kept[:3]:
        (tmp_path / name).write_text("changed")
    assert commit(tmp_path) == head
    (tmp_path / kept[3]).write_text("changed")
    assert commit(tmp_path) == f"{head}-dirty"
