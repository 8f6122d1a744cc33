"""`energy repro` from end to end on the embedded digits, with cells of the test's own."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from energy.cli import main
from energy.command import repro
from energy.component import Component
from energy.io.record import exclusive_lock, read_lines
from energy.study.reproduction.records import read_recorded
from energy.study.results import read_results
from energy.train.run import hash_of_description

SMALL = ["~settlers", "~seeds", "~timing_seconds", "model.sizes=[8]", "settler=backprop", "train.epochs=2"]
REASON = {"reason": "made up"}

Repro = Callable[..., tuple[int, str, str]]


def _cell(*overrides: str, seeds: tuple[int, ...] = (0,), device: str = "cpu", **more: Any) -> dict[str, Any]:
    needs = {"device": device, "hours": 0.001}
    return {
        "claim": "it runs",
        "experiment": "demo",
        "overrides": [*SMALL, *overrides],
        "seeds": [*seeds],
        "published": REASON,
        "needs": needs,
        **more,
    }


def _write(**cells: dict[str, Any]) -> Path:
    folder = Path("paper_repro/tiny")
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({"paper": "Tiny", "cells": cells}, sort_keys=False)
    (folder / "cells.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def energy_repro(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], one_thread: None
) -> Iterator[Repro]:
    """Run one command in an empty folder, where no data set is found; what it returns, prints and says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENERGY_DATA", str(tmp_path / "no-data"))
    table = dict(Component.registry)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["repro", *words])
        said = capsys.readouterr()
        return status, said.out, said.err

    yield run
    for name in set(Component.registry) - set(table):
        if not Component.registry[name].__module__.startswith(("energy.", "models.")):
            del Component.registry[name]


def test_a_paper_is_run_gathered_and_then_skipped(energy_repro: Repro) -> None:
    folder = _write(plain=_cell(seeds=(0, 1)), other=_cell("optimizer.lr=0.01", against="plain"))
    status, out, err = energy_repro("tiny")
    assert status == 0, err
    assert [line["cell"] for line in read_results(folder / "results.csv")] == ["other", "plain", "plain"]
    assert "tiny/plain seed 1: test accuracy" in out
    _check_records(folder, "plain", (0, 1))
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert table.startswith("# Tiny") and "Difference to plain" in table and "not run" not in table
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    status, out, _ = energy_repro("tiny")
    assert status == 0 and "test accuracy" not in out
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _check_records(folder: Path, cell: str, seeds: tuple[int, ...]) -> None:
    """The records are those of the runs with their schema, and the configuration has the hash of the rows."""
    facts = json.loads((folder / "records" / cell / "configuration.json").read_text(encoding="utf-8"))
    keys = {line["configuration"] for line in read_results(folder / "results.csv") if line["cell"] == cell}
    assert facts["schema"] == 2 and {facts["key"]} == keys == {*facts["recorded_keys"]}
    assert hash_of_description(facts["configuration"]) == facts["key"]
    for seed in seeds:
        lines = read_lines(folder / "records" / cell / f"seed-{seed}.jsonl")
        own = read_lines(Path(f"runs/tiny/{cell}/seed-{seed}/record.jsonl"))
        assert lines == [{"schema": 2, **line} for line in own] and len(lines) == 2


def test_only_its_own_runs_are_gathered(energy_repro: Repro) -> None:
    folder = _write(plain=_cell(seeds=(0, 1)))
    assert energy_repro("tiny/plain", "--seed", "1")[0] == 0
    for stray in ("runs/tiny/plain/seed-7", "runs/tiny/plain/seed-1/copy", "runs/stray"):
        shutil.copytree("runs/tiny/plain/seed-1", Path(stray), ignore=shutil.ignore_patterns("copy"))
    assert energy_repro("tiny", "--seed=0")[0] == 0
    assert [line["seed"] for line in read_results(folder / "results.csv")] == ["0", "1"]


def test_a_budget_cuts_a_run_and_the_next_command_goes_on(energy_repro: Repro, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still until the first run was cut: by its time limit of 6 ms, after one step."""
    folder = _write(plain=_cell(seeds=(0, 1)))
    with monkeypatch.context() as patch:
        clock = itertools.chain([0.0, 0.0], itertools.repeat(1.0))
        patch.setattr(repro, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        status, _, err = energy_repro("tiny", "--budget", "0.0001")
    assert status == 0 and "out of time" in err
    assert not (folder / "results.csv").exists() and not Path("runs/tiny/plain/seed-1").exists()
    assert "seed 0: cut at epoch 0 of 2; seed 1: not run" in energy_repro("tiny", "--list")[1]
    assert energy_repro("tiny")[0] == 0
    assert [line["seed"] for line in read_results(folder / "results.csv")] == ["0", "1"]
    results = [json.loads(Path(f"runs/tiny/plain/seed-{seed}/result.json").read_text()) for seed in (0, 1)]
    assert [bool(result["continued"]) for result in results] == [True, False]


def test_a_cell_that_fails_stops_no_other_and_is_named(energy_repro: Repro) -> None:
    folder = _write(unread=_cell("data=mnist"), mistaken=_cell("optimizer.lrr=1"), plain=_cell())
    status, _, err = energy_repro("tiny")
    assert status == 1
    assert "failed: tiny/unread seed 0: " in err and "failed: tiny/mistaken: optimizer.lrr: unknown field" in err
    assert [line["cell"] for line in read_results(folder / "results.csv")] == ["plain"]


def test_another_configuration_takes_the_place_of_the_former(energy_repro: Repro) -> None:
    folder = _write(plain=_cell(seeds=(0, 1)))
    energy_repro("tiny")
    before = {line["configuration"] for line in read_results(folder / "results.csv")}
    _write(plain=_cell("optimizer.lr=0.01", seeds=(0, 1)))
    assert "seeds 0, 1: done at another configuration" in energy_repro("tiny", "--list")[1]
    shutil.rmtree("runs")
    assert energy_repro("tiny", "--seed", "0")[0] == 0
    (line,) = read_results(folder / "results.csv")
    assert line["seed"] == "0" and line["configuration"] not in before
    assert not (folder / "records/plain/seed-1.jsonl").exists()
    _check_records(folder, "plain", (0,))
    assert "seed 0: done; seed 1: not run" in energy_repro("tiny", "--list")[1]


def test_a_key_of_an_earlier_version_counts_if_the_configuration_is_the_same(energy_repro: Repro) -> None:
    """The hash of before in the row and in the list, and a field fewer in the description, as if it was added since."""
    folder = _write(plain=_cell(seeds=(0, 1)))
    energy_repro("tiny", "--seed", "0")
    path = folder / "records/plain/configuration.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    del facts["configuration"]["fused"]
    path.write_text(json.dumps({**facts, "recorded_keys": ["0123456789"]}), encoding="utf-8")
    table = folder / "results.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(facts["key"], "0123456789"), encoding="utf-8")
    shutil.rmtree("runs")
    listed = energy_repro("tiny", "--list")[1]
    assert "seed 0: done, recorded under an earlier key; seed 1: not run" in listed
    assert energy_repro("tiny")[0] == 0
    assert [line["configuration"] for line in read_results(table)] == ["0123456789", facts["key"]]
    assert "seed 0: done, recorded under an earlier key; seed 1: done" in energy_repro("tiny", "--list")[1]
    path.write_text(json.dumps({**facts, "recorded_keys": []}), encoding="utf-8")
    assert "seed 0: done at another configuration; seed 1: done" in energy_repro("tiny", "--list")[1]


def test_every_key_of_a_cell_has_its_description(energy_repro: Repro) -> None:
    """Rows of three versions, each of which added a field: the present description, and two former ones."""
    folder = _write(plain=_cell(seeds=(0, 1, 2)))
    path, table, fields = folder / "records/plain/configuration.json", folder / "results.csv", ("fused", "precision")
    for seed, field in enumerate(fields):
        energy_repro("tiny", "--seed", str(seed))
        facts = json.loads(path.read_text(encoding="utf-8"))
        now = facts["key"]
        del facts["configuration"][field]
        facts["key"] = hash_of_description(facts["configuration"])
        facts["recorded_keys"] = [facts["key"] if key == now else key for key in facts["recorded_keys"]]
        path.write_text(json.dumps(facts), encoding="utf-8")
        table.write_text(table.read_text(encoding="utf-8").replace(now, facts["key"]), encoding="utf-8")
        shutil.rmtree("runs")
    energy_repro("tiny", "--seed", "2")
    found = read_recorded(folder, "plain")
    described = [hash_of_description(dict(one)) for one in (*found.former, found.configuration)]
    assert [line["configuration"] for line in read_results(table)] == described == list(found.keys)
    assert len(set(described)) == 3
    assert "seeds 0, 1: done, recorded under an earlier key; seed 2: done" in energy_repro("tiny", "--list")[1]


def test_a_run_that_was_not_gathered_is_gathered(energy_repro: Repro) -> None:
    folder = _write(plain=_cell())
    energy_repro("tiny")
    shutil.rmtree(folder / "records")
    (folder / "results.csv").unlink()
    assert "seed 0: finished, not gathered" in energy_repro("tiny", "--list")[1]
    energy_repro("tiny")
    assert "seed 0: done" in energy_repro("tiny", "--list")[1]
    _check_records(folder, "plain", (0,))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_gathering_waits_for_another_command_of_the_same_paper(energy_repro: Repro) -> None:
    """Else one of the two would write `results.csv` without the row that the other has just added."""
    folder, status = _write(plain=_cell()), list[int]()
    command = Thread(target=lambda: status.append(main(["repro", "tiny"])))
    with exclusive_lock(folder / "records"):
        command.start()
        finished = Path("runs/tiny/plain/seed-0/result.json")
        while command.is_alive() and not finished.exists():
            command.join(0.05)
        command.join(0.5)
        assert finished.exists() and command.is_alive()
        assert not (folder / "results.csv").exists()
    command.join()
    assert status == [0]
    assert [line["cell"] for line in read_results(folder / "results.csv")] == ["plain"]


def test_a_cell_for_a_gpu_is_started_only_by_name(energy_repro: Repro) -> None:
    folder = _write(large=_cell(device="gpu"))
    status, out, err = energy_repro("tiny")
    assert (status, out) == (0, "paper_repro/tiny/table.md\n") and err.count("\n") == 1
    assert "1 cells need a GPU and are left out, unless they are named: large" in err
    assert energy_repro("tiny/large")[0] == 0
    assert len(read_results(folder / "results.csv")) == 1


def test_lists_and_tables_run_nothing(energy_repro: Repro) -> None:
    folder = _write(plain=_cell(seeds=(3, 4), reduced="2 of 9 epochs"))
    status, out, _ = energy_repro()
    assert status == 0 and "tiny" in out and "0 of 1" in out
    line = next(line for line in energy_repro("tiny", "--list")[1].splitlines() if "plain" in line)
    assert line.split() == ["plain", "3.6", "s,", "cpu", "seeds", "3,", "4:", "not", "run", "(2", "of", "9", "epochs)"]
    page = Path("README.md")
    page.write_text("<!-- reproductions: summary -->\n<!-- end of reproductions: summary -->\n", encoding="utf-8")
    status, out, _ = energy_repro("--tables")
    assert status == 0 and out.splitlines() == ["paper_repro/tiny/table.md", str(page.resolve())]
    assert "not run: 7.2 s (cpu)" in (folder / "table.md").read_text(encoding="utf-8")
    assert "| [tiny](paper_repro/tiny/README.md)" in page.read_text(encoding="utf-8")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tinny"], "repro tinny: there is no such paper; did you mean 'tiny'?"),
        (["tiny/plian"], "repro tiny/plian: tiny has no such cell; did you mean 'plain'?"),
        (["tiny", "--seed", "9"], "--seed=9: no cell has it; known: 3"),
        (["tiny", "--budget", "-1"], "--budget=-1: must be one number of minutes above 0"),
    ],
)
def test_a_mistake_is_answered_before_anything_runs(energy_repro: Repro, words: list[str], said: str) -> None:
    _write(plain=_cell(seeds=(3,)))
    status, out, err = energy_repro(*words)
    assert (status, out) == (2, "") and said in err and not Path("runs").exists()


def test_a_paper_may_lie_anywhere(energy_repro: Repro, tmp_path: Path) -> None:
    shutil.move(_write(plain=_cell()), tmp_path / "mine")
    shutil.rmtree("paper_repro")
    assert energy_repro(str(tmp_path / "mine"))[0] == 0
    assert len(read_results(tmp_path / "mine" / "results.csv")) == 1
    assert Path("runs/mine/plain/seed-0/result.json").exists()
    status, _, err = energy_repro()
    assert status == 2 and "there is no paper below paper_repro" in err
