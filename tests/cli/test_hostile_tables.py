"""Tables and records that anyone may have written: `energy repro` and `energy plot` answer in one line."""

import csv
import io
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from energy.errors import LINE, EnergyError
from energy.study.results import COLUMNS, LARGEST, LATER, LONGEST, read_results, write_results

Run = Callable[[Sequence[str]], Any]
GOOD = {
    **dict.fromkeys(COLUMNS, ""),
    "cell": "one",
    "configuration": "0123456789",
    "seed": "3",
    "test_accuracy_percent": "97.2500",
    "test_objective_per_sample": "0.0625",
    "epochs": "2",
    "training_multiply_adds": "13149815439360",
    "training_seconds": "513.0",
    "device": "AMD EPYC",
    "threads": "1",
    "outcomes": '{"free": {"budget": 500}}',
}


def table(*lines: dict[str, str], columns: Sequence[str] = COLUMNS) -> bytes:
    text = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().encode()


def refused(path: Path) -> str:
    begun = time.process_time()
    with pytest.raises(EnergyError) as caught:
        read_results(path)
    assert time.process_time() - begun < 10
    told = str(caught.value)
    assert told.startswith(str(path)) and told.isprintable() and len(told) < 1500
    return told


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    assert read_results(path) == []
    write_results(path, [GOOD])
    assert read_results(path) == [GOOD]
    older = [name for name in COLUMNS if name not in LATER]
    path.write_bytes(table(GOOD, columns=older))
    assert read_results(path) == [GOOD]
    path.write_bytes(table())
    assert read_results(path) == []


BLOBS = {
    "empty": b"",
    "lines": b"\n\n\n",
    "not-utf-8": table(GOOD) + b"\xff",
    "utf-16": table(GOOD).decode().encode("utf-16"),
    "zero": table(GOOD).replace(b"one", b"o\0e"),
    "escape": table(GOOD).replace(b"one", b"o\x1b[2Je"),
    "long": table({**GOOD, "device": "x" * 200_000}),
    "longer": table({**GOOD, "device": "x" * (LONGEST + 1)}),
    "long-head": b"x" * 200_000 + b"\n",
    "many-columns": b"x," * 100_000 + b"\n",
    "quote": table(GOOD) + b'"open',
    "short": table(GOOD) + b"one,0123456789\n",
    "wide": table(GOOD) + b"," * 40 + b"\n",
    "columns": table(GOOD).replace(b"seed", b"sed", 1),
    "order": table(GOOD, columns=COLUMNS[::-1]),
    "twice": table(GOOD, columns=[*COLUMNS, "seed"]),
    "large": b"x" * (LARGEST + 1),
    "line-end": table({**GOOD, "device": "a\nb"}),
}


@pytest.mark.parametrize("blob", BLOBS.values(), ids=BLOBS)
def test_a_hostile_table_is_one_line(tmp_path: Path, blob: bytes) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(blob)
    refused(path)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("seed", value) for value in ("", "-1", "x", "1.5", "9" * 5000, "٣", "1_0", " 1")),
        *(
            ("test_accuracy_percent", value)
            for value in ("", "x", "1e", "9" * 5000, "--1", "1_0", "0x1", "1e9999", "[1]")
        ),
        *(("sweeps_mean", value) for value in ("x", "1,2", "-")),
        ("training_multiply_adds", "many"),
        ("weight_product_norm", "9" * 500),
        ("cell", ""),
    ],
)
def test_a_value_of_another_kind_is_named(tmp_path: Path, column: str, value: str) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(table(GOOD, {**GOOD, column: value}))
    assert f"row 3: {column}=" in refused(path)


def test_a_pipe_or_a_folder_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.mkdir()
    refused(path)
    path.rmdir()
    os.mkfifo(path)
    refused(path)


CELLS = {
    "empty": b"",
    "number": b"3\n",
    "list": b"[1]\n",
    "no-cells": b"paper: x\n",
    "cells-list": b"paper: x\ncells: [1]\n",
    "cells-text": b"paper: x\ncells: y\n",
    "cell-none": b"paper: x\ncells: {a: null}\n",
    "cell-list": b"paper: x\ncells: {a: []}\n",
    "none-key": b"paper: x\ncells: {null: {}}\n",
    "list-key": b"paper: x\ncells: {[1]: {}}\n",
    "title": b"paper: [x]\ncells: {}\n",
    "not-utf-8": b"paper: \xff\n",
    "zero": b"paper: \0\n",
    "digits": b"paper: x\ncells: {a: {seeds: [" + b"9" * 5000 + b"]}}\n",
    "date": b"paper: x\ncells: {a: {claim: 2001-99-99}}\n",
    "nested": b"paper: " + b"[" * 100_000,
    "nested-lists": b"- " * 100_000,
    "laughs": b"a0: &a0 [x,x]\n" + b"".join(b"a%d: &a%d [*a%d,*a%d]\n" % (k, k, k - 1, k - 1) for k in range(1, 31)),
    "itself": b"paper: x\ncells: &c {a: *c}\n",
    "merge": b"paper: x\ncells: {<<: [1]}\n",
    "tag": b"paper: !!python/object/apply:os.system [ls]\n",
    "int-tag": b"paper: !!int x\n",
    "twice": b"paper: x\npaper: y\n",
    "long-name": b"paper: x\ncells: {? " + b"a" * 50_000 + b" : {}}\n",
}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("words", [[], ["bad", "--list"]])
def test_a_hostile_file_of_cells_is_one_line(
    energy: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "paper_repro" / "bad"
    folder.mkdir(parents=True)
    (folder / "cells.yaml").write_bytes(CELLS[name])
    begun = time.process_time()
    found = energy(["repro", *words])
    assert time.process_time() - begun < 20
    assert found.status == 2 and found.err.count("\n") == 1 and len(found.err) < LINE + 20
    assert "cells.yaml" in found.err and found.err.strip().isprintable()


RECORDS = {
    "empty": b"",
    "list": b"[1]",
    "none": b"null",
    "object": b"{}",
    "rows": b'{"rows": 3, "benchmark": "x"}',
    "nested": b"[" * 100_000,
    "nested-objects": b'{"a":' * 100_000,
    "not-utf-8": b'{"a": "\xff"}',
    "digits": b'{"a": ' + b"9" * 5000 + b"}",
    "settlers": b'{"settlers": [1, 2], "title": 3, "rows": {"a": null}}',
}


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("file", ["compare.json", "record.jsonl", "one/record.jsonl", "bench.json", "snapshot.json"])
def test_a_hostile_record_is_one_line_of_plot(energy: Run, tmp_path: Path, name: str, file: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(RECORDS[name] + b"\n" * (file.endswith("l")))
    if file == "snapshot.json":
        (tmp_path / "record.jsonl").write_bytes(b"")
    found = energy(["plot", str(tmp_path)])
    assert "Traceback" not in found.err and "defect" not in found.err
    assert found.status in (0, 1, 2) and len(found.err) < 1500
    assert found.err.replace("\n", "").isprintable()
