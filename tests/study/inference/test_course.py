"""The course of a study: kept point by point, continued, shared, timed, gathered, merged."""

from __future__ import annotations

import csv
import json
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from energy.component import from_dict, to_dict
from energy.errors import DamagedFileError, UsageError
from energy.study.inference import cases
from energy.study.inference.carry_out import carry_out_study, claimed, path_of
from energy.study.inference.gather import gathered
from energy.study.inference.measure import Case
from energy.study.inference.point import PROTOCOL
from energy.study.inference.record import AXES, COLUMNS, merged, read_study, table_rows
from energy.study.inference.study import Study, points
from tests.study.inference.small import Maker, small_study

BLOCKS: list[dict[str, Any]] = [
    {"title": "anytime", "vary": ["gain=1,2", "budget=1+1,4+2"]},
    {"title": "trained", "ages": [1, 2], "measure": ["gradient", "accuracy"]},
]
TIMED: list[dict[str, Any]] = [{"title": "time", "vary": ["budget=1+1"], "measure": ["gradient", "time"]}]


def numbers(record: dict[str, Any]) -> list[Any]:
    """Everything measured that does not depend on the clock."""
    return [(point["id"], point["measures"], point["layers"], point["samples"]) for point in record["points"]]


def carried_out(study: Study) -> dict[str, Any]:
    carry_out_study(study)
    return gathered(study, "energy study")


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of points in the order of their measurement."""
    found: list[str] = []
    measure = cases.measure_point

    def look(case: Case) -> dict[str, Any]:
        found.append(case.point.key)
        return measure(case)

    monkeypatch.setattr(cases, "measure_point", look)
    return found


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return watched(monkeypatch)


@dataclass(frozen=True)
class Whole:
    """A study that was carried out, its record, and the points in the order of their measurement."""

    study: Study
    record: dict[str, Any]
    seen: list[str]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Both blocks, carried out once for all that is asked of them."""
    place, threads = tmp_path_factory.mktemp("whole"), torch.get_num_threads()
    study = small_study(str(place / "study"), blocks=BLOCKS, trainings=str(place / "shared"))
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        found = watched(patch)
        record = carried_out(study)
    torch.set_num_threads(threads)
    return Whole(study, record, found)


def test_a_finished_study_measures_nothing_again(whole: Whole, seen: list[str]) -> None:
    assert sorted(whole.seen) == sorted(point.key for point in points(whole.study))
    assert numbers(carried_out(whole.study)) == numbers(whole.record)
    assert seen == []


def test_a_broken_study_goes_on_where_it_was(
    study_of: Maker, whole: Whole, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, measure = study_of(blocks=BLOCKS), cases.measure_point

    def broken(case: Case) -> dict[str, Any]:
        if len(seen) == 5:
            raise KeyboardInterrupt
        return measure(case)

    with monkeypatch.context() as patch:
        patch.setattr(cases, "measure_point", broken)
        with pytest.raises(KeyboardInterrupt):
            carry_out_study(study)
    assert sum(path_of(study, point).exists() for point in points(study)) == 5
    assert numbers(carried_out(study)) == numbers(whole.record)
    assert len(seen) == len(set(seen)) == len(points(study))


def test_a_quantity_that_is_asked_for_later_is_added(study_of: Maker, seen: list[str]) -> None:
    carried_out(study_of(blocks=[{"vary": ["budget=1+1"]}]))
    more = {"vary": ["budget=1+1"], "measure": ["gradient", "spectrum"]}
    (_, point) = carried_out(study_of(blocks=[more]))["points"]
    assert point["measures"]["loop_gain"] is not None
    assert point["measures"]["cosine_worst"] is not None
    assert set(point["measured"]) == {"GRADIENT", "SPECTRUM"}


def _hold(path: str, held: Any, done: Any) -> None:
    with claimed(Path(path)) as ours:
        held.put(ours)
        done.get()


def test_a_claim_is_one_process_s_and_ends_with_it(tmp_path: Path) -> None:
    spawning = multiprocessing.get_context("spawn")
    held, done, path = spawning.Queue(), spawning.Queue(), tmp_path / "lock"
    process = spawning.Process(target=_hold, args=(str(path), held, done))
    process.start()
    assert held.get(timeout=60) is True
    with claimed(path) as ours:
        assert not ours
    process.kill()
    process.join()
    with claimed(path) as ours:
        assert ours


@pytest.mark.slow
def test_two_workers_find_what_one_does(study_of: Maker) -> None:
    one = carried_out(study_of(blocks=BLOCKS, out=str(study_of().folder / "one")))
    two = carried_out(study_of(blocks=BLOCKS, workers=2))
    assert numbers(two) == numbers(one)


def test_what_is_not_finite_is_a_failed_point_with_its_reason(study_of: Maker) -> None:
    study = study_of(blocks=[{"vary": ["gain=1,1e39"]}], settlers=["DP: dual_propagation"])
    record = carried_out(study)
    assert [point["axes"]["gain"] for point in record["points"]] == [1.0]
    (failed,) = record["failed"]
    assert "not finite" in failed["failed"]
    assert any("could not be measured" in limit for limit in record["limits"])


@pytest.mark.slow
def test_times_are_measured_in_turn_with_back_propagation(study_of: Maker) -> None:
    settlers = ["DP: dual_propagation", "BP: backprop"]
    record = carried_out(study_of(blocks=TIMED, settlers=settlers))
    for point in record["points"]:
        measures = point["measures"]
        assert measures["seconds"] > 0
        assert measures["seconds_over_backprop"] * point["timing"]["backprop"] == pytest.approx(measures["seconds"])
        assert measures["bytes_moved"] > measures["bytes_held"] > 0
        assert point["timing"]["rounds"] == 3
    assert not any("points are not measured" in limit for limit in record["limits"])


def test_the_record_says_what_it_stands_on(whole: Whole) -> None:
    study = whole.study
    record = gathered(study, "energy study")
    assert record == json.loads((study.folder / "study.json").read_text()) == read_study(study.folder)
    assert (record["schema"], record["protocol"], record["command"]) == (1, PROTOCOL, "energy study")
    assert from_dict(Study, record["study"], path="") == study
    assert {"commit", "device_name", "torch", "threads"} <= set(record)
    assert len(record["data"]["digests"]) == 6
    assert record["spent"]["points"] == len(record["points"]) == len(points(study))
    assert {point["axes"]["age"]: point["measures"].get("accuracy") is not None for point in record["points"]} == {
        0: False, 1: True, 2: True
    }  # fmt: skip


def test_trainings_are_in_the_record_epoch_by_epoch(whole: Whole) -> None:
    record = whole.record
    assert {one["settler"]: one["kind"] for one in record["trainings"]} == {
        "DP": "dual_propagation",
        "EP": "equilibrium_propagation",
    }
    for one in record["trainings"]:
        assert one["state"] == "finished"
        assert [epoch["epoch"] for epoch in one["epochs"]] == [1, 2]
        assert 0 <= one["test_accuracy"] <= 100


def test_studies_share_trainings(study_of: Maker, whole: Whole, tmp_path: Path) -> None:
    shared = whole.study.trainings
    before = {path: path.stat().st_mtime_ns for path in Path(shared).rglob("*.safetensors")}
    assert before
    carry_out_study(study_of(blocks=[{"ages": [1]}], trainings=shared, out=str(tmp_path / "other")))
    assert {path: path.stat().st_mtime_ns for path in Path(shared).rglob("*.safetensors")} == before


def test_the_table_has_a_row_for_each_point_and_layer(whole: Whole) -> None:
    record = whole.record
    with open(whole.study.folder / "study.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == sum(1 + len(point["layers"]) for point in record["points"])
    rows = {line["point"]: line for line in lines if line["layer"] == "all"}
    for point in record["points"]:
        line = rows[point["id"]]
        assert float(line["backprop_steps"]) == pytest.approx(point["measures"]["backprop_steps"], rel=1e-5)
        assert {name: line[name] for name in AXES if point["axes"][name] is None} == dict.fromkeys(
            [name for name in AXES if point["axes"][name] is None], ""
        )


def test_sweeps_of_the_table_are_those_of_the_samples() -> None:
    point = {
        "id": "x", "blocks": ["a", "b"], "axes": {"settler": "EP"}, "measures": {"outcome": "converged"}, "layers": {},
        "samples": {"sweeps": {"free": [1, 2, 3, 10]}, "residual": [0.5, None], "energy_gap": [], "cosine": []},
    }  # fmt: skip
    (row,) = table_rows({"protocol": PROTOCOL, "title": "t", "points": [point]})
    assert (row["sweeps_free_mean"], row["sweeps_free_max"]) == (4, 10)
    assert row["sweeps_free_p95"] == pytest.approx(3 + 7 * 0.85)
    assert (row["residual_median"], row["blocks"]) == (0.5, "a b")


@pytest.fixture
def two(study_of: Maker, tmp_path: Path) -> Callable[[], list[tuple[str, dict[str, Any]]]]:
    """Two studies that have the points at gain 2 in common."""

    def make() -> list[tuple[str, dict[str, Any]]]:
        found = []
        for name, gains in (("a", "1,2"), ("b", "2,3")):
            study = study_of(blocks=[{"vary": [f"gain={gains}"]}], out=str(tmp_path / name))
            found.append((name, carried_out(study)))
        return found

    return make


def test_merged_studies_have_the_points_of_all(two: Callable[[], list[tuple[str, dict[str, Any]]]]) -> None:
    given = two()
    record = merged(given)
    assert sorted({point["axes"]["gain"] for point in record["points"]}) == [1, 2, 3]
    assert len(record["points"]) == record["spent"]["points"] == 6, "one machine and commit: the common ones count once"
    assert record["spent"]["seconds"] == pytest.approx(sum(one["spent"]["seconds"] for _, one in given))
    assert [one["from"] for one in record["merged"]] == ["a", "b"]


def test_points_of_two_machines_are_both_kept(two: Callable[[], list[tuple[str, dict[str, Any]]]]) -> None:
    (one, first), (other, second) = two()
    moved = [{**point, "origin": {**point["origin"], "device_name": "another"}} for point in second["points"]]
    record = merged([(one, first), (other, {**second, "points": moved})])
    assert len(record["points"]) == 8
    assert {row["device_name"] for row in table_rows(record)} == {first["device_name"], "another"}
    again = merged([("all", record), (one, first)])
    assert len(again["points"]) == 8, "points keep their origin through a second merge"


def test_another_protocol_is_not_merged(two: Callable[[], list[tuple[str, dict[str, Any]]]]) -> None:
    (one, first), (other, second) = two()
    with pytest.raises(UsageError, match=r"inference-cost/0"):
        merged([(one, first), (other, {**second, "protocol": "inference-cost/0"})])
    with pytest.raises(UsageError, match="at least one"):
        merged([])


def test_another_schema_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"schema": 7}')
    with pytest.raises(UsageError, match="schema=7"):
        read_study(tmp_path)


@pytest.mark.parametrize(
    ("place", "change", "said"),
    [
        ("axes", {"settler": ["EP"]}, r"axes=.*: must be an object of which each entry is text or a number"),
        ("axes", {"gain": "large"}, "axes: gain='large': must be a number or null"),
        ("axes", {"budget": 3}, "axes: budget='3': must be text or null"),
        ("measures", {"backprop_steps": [1]}, r"measures: backprop_steps='\[1\]': must be a number or null"),
        ("measures", {"outcome": None}, "measures: outcome='None': must be text"),
        ("layers", {"output": {"cosine": "good"}}, "layers=.*: must be an object of which each entry is an object"),
    ],
)
def test_a_point_of_another_type_is_named(
    study_of: Maker, tmp_path: Path, place: str, change: dict[str, Any], said: str
) -> None:
    record = carried_out(study_of(blocks=[{"vary": ["gain=1"]}]))
    record["points"][1][place].update(change)
    (tmp_path / "study.json").write_text(json.dumps(record))
    with pytest.raises(DamagedFileError, match=rf"study\.json: points\[1\]: {said}"):
        read_study(tmp_path)


def test_plugins_have_one_worker(study_of: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    from energy.study.inference import carry_out

    monkeypatch.setattr(carry_out, "plugins", lambda parts: {"own.py": "digest"})
    with pytest.raises(ValueError, match=r"workers=2.*several times"):
        carry_out_study(study_of(workers=2))


def test_a_study_is_read_back_from_plain_values(study_of: Maker) -> None:
    study = study_of(blocks=BLOCKS, workers=2)
    assert from_dict(Study, to_dict(study), path="") == study


def test_data_digests_are_those_of_the_pixels(study_of: Maker) -> None:
    record = carried_out(study_of(blocks=[{}]))
    images = study_of().data.load("cpu", 0, torch.float32)
    assert record["data"]["digests"]["train pixels"] == cases.digest(images.train.pixels)
