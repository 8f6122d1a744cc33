"""The judges of the ordeal: what is half is noticed, what is whole passes, and a kill reaches every process."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from energy.io import checkpoint
from energy.io.provenance import commit
from energy.io.record import append_line, write_json
from tests.ordeal.alike import contents, difference
from tests.ordeal.figures import VARIABLE, read, record
from tests.ordeal.lives import kill, moments, parents
from tests.ordeal.promises import Watch, left_over
from tests.ordeal.summary import BEGIN, END, block, main, placed

TREE = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_what_the_library_writes_is_whole_at_every_look(tmp_path: Path) -> None:
    watch, done = Watch(tmp_path), threading.Event()

    def write() -> None:
        for number in range(12):
            write_json(tmp_path / "result.json", {"number": number, "long": "x" * 100_000})
            append_line(tmp_path / "record.jsonl", {"epoch": number, "long": "x" * 10_000})
            checkpoint.write(tmp_path / "checkpoints", number, {"w": torch.zeros(1000)}, {})
            checkpoint.prune(tmp_path / "checkpoints", 1)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        watch.look()
    writer.join()
    watch.look()
    assert not watch.broken and watch.read > 3
    assert left_over(tmp_path) == ["checkpoints/step-000011"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("result.json", b'{"half": 1'),
        ("result.json", b""),
        ("record.jsonl", b'{"epoch": 0}\n{"epo\n{"epoch": 2}\n'),
        ("study.csv", b"a,b\n1\n"),
        ("study.csv", b"a,b\n1,2"),
        ("report.html", b"<html><body>"),
        ("figure.svg", b"<svg>"),
        ("figure.png", b"\x89PNG"),
        ("unheard.of", b""),
    ],
)
def test_a_half_file_is_noticed(tmp_path: Path, name: str, data: bytes) -> None:
    watch = Watch(tmp_path)
    (tmp_path / f".writing-{name}-77").write_bytes(data)
    assert watch.look() and not watch.broken and left_over(tmp_path) == [f".writing-{name}-77"]
    (tmp_path / name).write_bytes(data)
    watch.look()
    (found,) = watch.broken
    assert found.startswith(name)
    assert not watch.look() and len(watch.broken) == 1


@pytest.mark.parametrize("name", ["tensors.safetensors", "facts.json", "manifest.json"])
@pytest.mark.parametrize("way", ["cut", "gone", "changed"])
def test_a_half_checkpoint_is_noticed(tmp_path: Path, name: str, way: str) -> None:
    path = checkpoint.write(tmp_path / "checkpoints", 3, {"w": torch.zeros(10)}, {"epoch": 1})
    file = path / name
    data = file.read_bytes()
    changed = data.replace(b'"bytes": ', b'"bytes": 1') if name == "manifest.json" else data[:-2] + b"#" + data[-1:]
    file.unlink() if way == "gone" else file.write_bytes(data[:-5] if way == "cut" else changed)
    watch = Watch(tmp_path)
    watch.look()
    assert len(watch.broken) == 1 and "step-000003" in watch.broken[0]


def test_a_line_that_is_being_written_is_no_finding(tmp_path: Path) -> None:
    (tmp_path / "record.jsonl").write_bytes(b'{"epoch": 0}\n{"epo')
    watch = Watch(tmp_path)
    watch.look()
    assert not watch.broken and watch.cut == 1


@pytest.mark.parametrize(
    ("other", "place"),
    [
        ({"accuracy": 90.0, "seconds": 9.0}, ""),
        ({"accuracy": 90.1, "seconds": 1.0}, "/result.json/accuracy"),
        ({"accuracy": 90.0, "seconds": 1.0, "more": 1}, "more"),
        ({"accuracy": 90, "seconds": 1.0}, "/result.json/accuracy"),
    ],
)
def test_contents_differ_by_all_but_times(tmp_path: Path, other: dict[str, float], place: str) -> None:
    for name, value in (("one", {"accuracy": 90.0, "seconds": 1.0}), ("other", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(value))
        (tmp_path / name / "weights.safetensors").write_bytes(b"same")
    found = difference(contents(tmp_path / "one"), contents(tmp_path / "other"))
    assert bool(found) == bool(place) and place in found
    (tmp_path / "one" / "weights.safetensors").write_bytes(b"else")
    assert "weights" in difference(contents(tmp_path / "one"), contents(tmp_path / "other")) or place


def test_a_result_must_tell_the_digests_that_its_files_have(tmp_path: Path) -> None:
    """The digests themselves differ, since a record holds times."""
    for name, line in (("one", b"1.0"), ("other", b"2.0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.bin").write_bytes(b"same")
        (tmp_path / name / "record.jsonl").write_bytes(b'{"seconds": %s}\n' % line)
        digest = hashlib.sha256((tmp_path / name / "record.jsonl").read_bytes()).hexdigest()
        (tmp_path / name / "result.json").write_text(json.dumps({"files": {"record.jsonl": digest}}))
    assert not difference(contents(tmp_path / "one"), contents(tmp_path / "other"))
    (tmp_path / "other" / "record.jsonl").write_bytes(b'{"seconds": 3.0}\n')
    assert "/files/record.jsonl" in difference(contents(tmp_path / "one"), contents(tmp_path / "other"))


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_a_kill_reaches_a_child_with_a_session_of_its_own() -> None:
    tree = subprocess.Popen([sys.executable, "-c", TREE], stdout=subprocess.PIPE, start_new_session=True)
    assert tree.stdout is not None
    child = int(tree.stdout.readline())
    assert parents()[child] == tree.pid
    begun = time.monotonic()
    kill(tree)
    tree.stdout.close()
    assert tree.returncode == -9 and child not in parents() and time.monotonic() - begun < 30


def test_moments_are_the_same_each_time_and_of_all_phases() -> None:
    drawn = moments(100, seed=1)
    assert drawn == moments(100, seed=1) != moments(100, seed=2)
    assert {one.phase for one in drawn} == {"startup", "training", "conclusion"}
    assert all(0 <= one.share <= 1 for one in drawn)


def test_figures_are_kept_by_name_and_only_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    record("nothing", trials=1)
    assert not os.listdir(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "deep" / "figures.json"))
    for name, count in (("first", 1), ("second", 2), ("first", 3)):
        record(name, files_read=count, share=0.25)
    assert read(tmp_path / "deep" / "figures.json") == {
        "first": {"files read": 3, "share": 0.25, "commit": commit()},
        "second": {"files read": 2, "share": 0.25, "commit": commit()},
    }


def test_the_summary_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    page, source = tmp_path / "PAGE.md", tmp_path / "figures.json"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    source.write_text(json.dumps({"a | b": {"kills": 13, "share": 0.12345, "commit": f"{'a1' * 20}-dirty"}}))
    main(str(source), str(page))
    text = page.read_text()
    assert text == f"before\n{block(read(source))}\nafter\n" and "old" not in text
    assert (
        "| a \\| b | kills 13; share 0.123 | a1a1a1a1a1a1 with changes |" in text
        and f"torch {torch.__version__}" in text
    )
    main(str(source), str(page))
    assert page.read_text() == text


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"])
def test_a_page_without_a_place_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="each once"):
        placed(page, "block")
