"""`energy runs`: runs that are chosen by conditions, columns that are asked for, seeds that are one row."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from energy.component import ConfigurationError
from energy.study.listing import listing
from energy.study.seed_group import rows_by_seed

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a run folder: fields of its configuration by dotted path, its test accuracy if it is finished."""

    def put(name: str, accuracy: float | None = None, **fields: Any) -> Path:
        run: dict[str, Any] = {
            "settler": {"name": "backprop", "relax": {"name": "sweep", "max_steps": 20}, "nudged": {"max_steps": 5}},
            "model": {"sizes": [16]},
            "optimizer": {"name": "sgd", "lr": 0.1},
            "train": {"epochs": 2, "progress": True, "start": None},
            "seed": 0,
            "title": "run",
            "out": name,
        }
        for path, value in fields.items():
            *parents, last = path.split(".")
            place = run
            for parent in parents:
                place = place[parent]
            place[last] = value
        identity = {key: value for key, value in run.items() if key not in ("title", "out")}
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "configuration.json").write_text(json.dumps({"run": run, "identity": identity}))
        line = {"epoch": 0, "validation_accuracy": 50.0, "backprop_steps": 1.0, "seconds": {"total": 2.0}}
        (folder / "record.jsonl").write_text(json.dumps(line) + "\n")
        if accuracy is not None:
            result: dict[str, Any] = {"test_accuracy": accuracy, "validation_accuracy": 50.0, "backprop_steps": 1.0}
            result["seconds"] = {"total": 4.0}
            (folder / "result.json").write_text(json.dumps(result))
        return folder

    return put


@pytest.fixture
def top(make: Make, tmp_path: Path) -> Path:
    """Six runs: two settlers, three seeds of each, of which one is broken off."""
    for index, accuracy in enumerate((90.0, 92.0, 94.0)):
        make(f"bp/seed={index}", accuracy, seed=index)
    for index, accuracy in enumerate((80.0, 81.0, None)):
        fields = {"settler.name": "dual_propagation", "model.sizes": [16, 32], "optimizer.lr": 1e-3}
        make(f"dp/seed={index}", accuracy, seed=index, **fields, **{"train.progress": False})
    return tmp_path


def _names(top: Path, *where: str) -> list[str]:
    return [row["folder"] for row in csv.DictReader(io.StringIO(listing(top, where=where, csv=True)))]


BP, DP = ([f"{name}/seed={index}" for index in range(3)] for name in ("bp", "dp"))


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        (["settler.name=backprop"], BP),
        (["settler=dual_propagation"], DP),
        (["settler=dual*"], DP),
        (["settler!=backprop"], DP),
        (["settler=backprop,dual_propagation", "seed=1"], [BP[1], DP[1]]),
        (["optimizer.lr=1e-1"], BP),
        (["lr<0.1"], DP),
        (["lr <= 0.1"], BP + DP),
        (["lr>0.1"], []),
        (["model.sizes=[16,32]"], DP),
        (["sizes=[16, 32],[16]"], BP + DP),
        (["progress=true"], BP),
        (["start=null"], BP + DP),
        (["relax.max_steps=20"], BP + DP),
        (["state=finished"], [*BP, *DP[:2]]),
        (["state!=finished"], [DP[2]]),
        (["accuracy>=81"], [*BP, DP[1]]),
        (["accuracy!=92"], [BP[0], BP[2], *DP]),
        (["seed=0,2", "state=finished", "settler=d?al_propagation"], [DP[0]]),
    ],
)
def test_conditions(top: Path, conditions: list[str], kept: list[str]) -> None:
    assert _names(top, *conditions) == kept


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("settler", "must be like settler=backprop"),
        ("=3", "must be like"),
        ("setler=backprop", "there is no such column; did you mean 'settler'"),
        ("max_steps=5", "may be settler.relax.max_steps or settler.nudged.max_steps"),
        ("lr<fast", "fast is no number"),
    ],
)
def test_conditions_that_cannot_be_read(top: Path, condition: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="--where") as found:
        listing(top, where=[condition])
    assert said in str(found.value)


def test_none_that_meets_them_is_said(top: Path) -> None:
    assert listing(top, where=["seed=7", "lr=3"]) == "none of 6 runs meets seed=7 and lr=3"
    assert json.loads(listing(top, where=["seed=7"], json=True)) == []


def test_seeds_are_one_row_with_mean_and_deviation_of_the_finished(top: Path) -> None:
    table = listing(top, by_seed=True, width=120)
    rows = {line.split()[0]: " ".join(line.split()) for line in table.splitlines()[-2:]}
    assert rows["bp/seed=*"].startswith("bp/seed=* 3 backprop 0.1")
    assert "92.00 ± 2.00" in rows["bp/seed=*"], "(90 + 92 + 94)/3 and sqrt((4 + 0 + 4)/2)"
    assert rows["dp/seed=*"].startswith("dp/seed=* 2 of 3 dual_propagation 0.001")
    assert "80.50 ± 0.71" in rows["dp/seed=*"], "sqrt(2·0.25) = 0.7071"
    assert "seed " not in table.splitlines()[0], "what differs within a row is no column"


def test_a_row_of_seeds_in_json_and_csv(top: Path) -> None:
    first, second = json.loads(listing(top, by_seed=True, json=True))
    assert (first["accuracy"], first["accuracy_sd"]) == (92.0, 2.0)
    assert first["seeds"] == [0, 1, 2] and first["folders"] == BP and first["state"] == "finished"
    assert "seed" not in first["configuration"] and first["configuration"]["model.sizes"] == [16]
    assert (second["state"], second["said"]) == ("unfinished", "2 of 3 finished") and second["configuration"][
        "train.progress"
    ] is False
    row = next(csv.DictReader(io.StringIO(listing(top, by_seed=True, csv=True))))
    assert (row["accuracy"], row["accuracy_sd"], row["seeds"]) == ("92.0", "2.0", "[0, 1, 2]")


def test_the_same_seed_twice_counts_once(make: Make, tmp_path: Path) -> None:
    make("a", None, seed=0)
    make("b", 50.0, seed=0)
    make("c", 60.0, seed=1)
    text = listing(tmp_path, by_seed=True, width=100)
    assert "55.00 ± 7.07" in text and text.endswith("left out: 1 runs with the seed of another")
    assert rows_by_seed([])[0] == []


def test_what_leaves_the_numbers_alone_parts_no_seeds(make: Make, tmp_path: Path) -> None:
    """The identity decides: here it lacks the progress, as that of a real run does."""
    for index in range(2):
        folder = make(f"seed={index}", 50.0, seed=index, **{"train.progress": bool(index)})
        plain = json.loads((folder / "configuration.json").read_text())
        del plain["identity"]["train"]["progress"]
        (folder / "configuration.json").write_text(json.dumps(plain))
    assert "50.00 ± 0.00" in listing(tmp_path, by_seed=True, width=100)


def test_columns_that_are_asked_for_are_shown_in_their_order_whatever_the_width(top: Path) -> None:
    wide = listing(top, columns=["accuracy", "settler", "title"], width=120)
    assert [line.split() for line in wide.splitlines()[:2]] == [["test,"], ["run", "%", "settler", "title"]]
    narrow = listing(top, columns=["accuracy", "settler", "title", "relax.max_steps", "nudged.max_steps"], width=40)
    assert max(map(len, narrow.splitlines())) <= 40
    for word in ("test,", "settler", "title", "relax.max_steps", "nudged.max_steps"):
        assert word in narrow or word[:8] in narrow
    table = list(csv.DictReader(io.StringIO(listing(top, columns=["lr", "accuracy"], csv=True))))
    assert list(table[0]) == ["folder", "optimizer.lr", "accuracy"] and table[5]["accuracy"] == ""
    found = json.loads(listing(top, columns=["seed", "accuracy"], json=True, sort="accuracy"))
    assert found[0] == {"folder": BP[2], "seed": 2, "accuracy": 94.0} and found[-1]["accuracy"] is None


def test_several_folders_are_one_table_and_a_run_stands_in_it_once(top: Path) -> None:
    rows = json.loads(listing(top / "dp", top, json=True))
    assert [row["folder"] for row in rows] == [str(top / name) for name in (*DP, *BP)]
    assert [row["folder"] for row in json.loads(listing(top / "dp", json=True))] == ["seed=0", "seed=1", "seed=2"]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("by_seed", [False, True])
def test_no_line_is_wider_than_the_terminal(top: Path, width: int, by_seed: bool) -> None:
    text = listing(top, by_seed=by_seed, width=width)
    assert max(map(len, text.splitlines())) <= width and ("finished" in text) is not by_seed
    assert ("seeds" in text) is by_seed
