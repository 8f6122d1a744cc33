"""Records: whole or as before, lines cut short by a power failure, one process at a time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from energy.io.record import append_line, exclusive_lock, read_json, read_lines, truncate_record, write_json


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    for epoch in range(3):
        append_line(tmp_path / "record.jsonl", {"epoch": epoch})
    assert [line["epoch"] for line in read_lines(tmp_path / "record.jsonl")] == [0, 1, 2]


def test_a_last_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    path.write_text('{"epoch": 0}\n{"epoch": 1, "obj')
    assert read_lines(path) == [{"epoch": 0}]


def test_a_whole_last_line_without_its_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    path.write_text('{"epoch": 0}\n{"epoch": 1}')
    assert len(read_lines(path)) == 2


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    path.write_text('{"epoch": 0}\n{"epo\n{"epoch": 2}\n')
    with pytest.raises(ValueError, match=r"record\.jsonl:2: not JSON"):
        read_lines(path)


def test_cutting_keeps_the_epochs_before(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    path.write_text("".join(f'{{"epoch": {epoch}}}\n' for epoch in range(4)) + '{"epoch": 4, "ob')
    truncate_record(path, 2)
    assert path.read_text() == '{"epoch": 0}\n{"epoch": 1}\n'


def test_no_nan_and_no_half_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_file_that_is_no_object_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"a\.json: must be one JSON object"):
        read_json(tmp_path / "a.json")


def test_a_run_folder_belongs_to_one_process(tmp_path: Path) -> None:
    code = (
        f"import fcntl, os; fcntl.flock(os.open({str(tmp_path / '.lock')!r}, os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    )
    with exclusive_lock(tmp_path):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert b"BlockingIOError" in other.stderr
        with pytest.raises(RuntimeError, match="another process"), exclusive_lock(tmp_path):
            pass
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
    assert json.dumps(sorted(os.listdir(tmp_path))) == '[".lock"]'
