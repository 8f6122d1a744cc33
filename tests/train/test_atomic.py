"""Files that appear whole or not at all, whoever else writes them."""

import os
import threading
from pathlib import Path

import pytest

import energy
from energy.io.atomic import replacing, write_text

HOME = Path(energy.__file__).parent


def test_a_file_appears_when_all_of_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "made" / "on the way" / "a"
    with replacing(path) as file:
        file.write(b"one")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"one" and os.listdir(path.parent) == ["a"]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "before")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert (tmp_path / "a").read_text() == "before" and os.listdir(tmp_path) == ["a"]


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is forced to the disk, then renamed, then its folder is forced."""
    done: list[str] = []
    forced, renamed = os.fsync, os.replace

    def fsync(handle: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        forced(handle)

    def replace(source: Path, target: Path) -> None:
        done.append("rename")
        renamed(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_text(tmp_path / "a", "x")
    assert done == ["file", "rename", "folder"]


def test_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    """Two threads that write at the same time: the file is one of theirs, all of it."""
    meet = threading.Barrier(2)

    def write(letter: bytes) -> None:
        for _ in range(20):
            with replacing(tmp_path / "a") as file:
                file.write(letter * 1000)
                meet.wait(10)
                file.write(letter * 1000)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"x", b"y")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_bytes() in (b"x" * 2000, b"y" * 2000) and os.listdir(tmp_path) == ["a"]


def test_files_are_replaced_in_one_place_only() -> None:
    """Checkpoints are folders, which are renamed by themselves."""
    words = ("os.replace(", "os.rename(", ".write_text(", ".write_bytes(")
    found = {
        path.relative_to(HOME).as_posix() for path in HOME.rglob("*.py") if any(w in path.read_text() for w in words)
    }
    assert found <= {"io/atomic.py", "io/checkpoint.py"}
