"""The cache: an entry is used only if it was made here, of these very files, and is what it was when it was written."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from energy.data import Cifar10, DataError, Published
from energy.data import cache as cache_module

Make = Callable[..., Any]
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def write(folder: Path, batch: Make, pickled: Make, first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(BATCHES, first):
        (folder / name).write_bytes(pickled(batch(4, seed=number)))
    return folder


@pytest.fixture
def source(root: Path, batch: Make, pickled: Make) -> Path:
    """A set of 20 + 4 images."""
    return write(root / "cifar-10-batches-py", batch, pickled)


def pixels() -> torch.Tensor:
    return Cifar10(verify=False).read().train.pixels.clone()


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one with each conversion."""
    done: list[str] = []
    convert = Published._convert
    monkeypatch.setattr(Published, "_convert", lambda self, *given: (done.append("x"), convert(self, *given))[1])
    return done


def entry(cache: Path) -> Path:
    (path,) = cache.glob("*.safetensors")
    return path


def test_an_entry_serves_until_its_sources_change(source: Path, conversions: list[str]) -> None:
    first = pixels()
    assert torch.equal(first, pixels()) and len(conversions) == 1
    cache_module.DIGESTS.clear()  # as in another process
    assert torch.equal(first, pixels()) and len(conversions) == 1


def test_a_source_changed_under_its_old_time_is_converted_again(
    root: Path, batch: Make, conversions: list[str]
) -> None:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir()
    for name in BATCHES:
        (folder / f"{name}.bin").write_bytes(bytes([3]) + batch(1)[0].tobytes())
    first, path = pixels(), folder / "data_batch_1.bin"
    before = path.stat()
    with path.open("r+b") as file:  # the same inode
        file.write(bytes([3]) + bytes(3072))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)
    second = pixels()
    assert len(conversions) == 2 and not second[0].any() and torch.equal(first[1:], second[1:])


def test_an_entry_of_other_files_is_not_taken_for_one_of_these(
    source: Path, cache: Path, batch: Make, pickled: Make, conversions: list[str]
) -> None:
    """The same place held other files when it was made; its own digest is right."""
    shutil.move(source, source.with_name("kept"))
    write(source, batch, pickled, first=50)
    pixels()
    other = entry(cache).read_bytes()
    shutil.rmtree(source)
    shutil.move(source.with_name("kept"), source)
    first = pixels()
    entry(cache).write_bytes(other)
    assert torch.equal(pixels(), first) and len(conversions) == 3
    assert entry(cache).read_bytes() != other


def forged(path: Path, change: str) -> None:
    """Write other arrays into an entry, with the digests that the change allows for."""
    arrays = load_file(path)
    arrays = {name: array.clone() for name, array in arrays.items()}
    arrays["train.pixels"].zero_()
    if change == "digest":
        sources, _ = json.loads(bytes(arrays["facts"].numpy()))
        told = json.dumps([sources, hashlib.sha256(path.read_bytes()).hexdigest()]).encode()
        arrays["facts"] = torch.frombuffer(bytearray(told), dtype=torch.uint8)
    if change == "shape":
        arrays["train.pixels"] = arrays["train.pixels"].reshape(-1, 3, 1024, 1)
    if change == "type":
        arrays["train.labels"] = arrays["train.labels"].int()
    if change == "more":
        arrays["more"] = torch.zeros(3)
    if change == "less":
        del arrays["test.labels"]
    if change == "no facts":
        del arrays["facts"]
    path.unlink()
    save_file(arrays, path)


@pytest.mark.parametrize("change", ["arrays", "digest", "shape", "type", "more", "less", "no facts"])
def test_a_forged_entry_is_written_anew(source: Path, cache: Path, change: str) -> None:
    first = pixels()
    whole = entry(cache).read_bytes()
    forged(entry(cache), change)
    assert torch.equal(pixels(), first)
    assert entry(cache).read_bytes() == whole


@pytest.mark.parametrize("length", [0, 7, 8, 1 << 20, 1 << 40, 2**64 - 1])
@pytest.mark.parametrize(
    "head", [b"", b"{}", b"[" * 50_000, b'{"a": {"dtype": "U8", "shape": [-1], "data_offsets": [0, 1]}}']
)
def test_a_header_of_any_other_form_is_written_anew(source: Path, cache: Path, length: int, head: bytes) -> None:
    first = pixels()
    entry(cache).write_bytes(length.to_bytes(8, "little") + head)
    assert torch.equal(pixels(), first)


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder", "unreadable"])
def test_what_is_no_plain_file_of_ours_is_not_read(
    source: Path, cache: Path, tmp_path: Path, kind: str, conversions: list[str]
) -> None:
    first, path = pixels(), entry(cache)
    aside = tmp_path / "aside.safetensors"
    shutil.move(path, aside)
    if kind == "link":
        path.symlink_to(aside)
    elif kind == "hard link":
        path.hardlink_to(aside)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(aside.read_bytes())
        path.chmod(0)
    kept = aside.read_bytes()
    assert torch.equal(pixels(), first)
    assert aside.read_bytes() == kept
    if kind not in ("folder", "unreadable"):  # the superuser reads what nobody may
        assert len(conversions) == 2 and path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1


def test_a_foreign_owner_is_not_trusted(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, conversions: list[str]
) -> None:
    first = pixels()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert torch.equal(pixels(), first) and len(conversions) == 2


@pytest.mark.parametrize("how", ["truncated", "overwritten", "removed"])
def test_what_happens_to_the_file_later_does_not_reach_the_arrays(source: Path, cache: Path, how: str) -> None:
    first = pixels()
    held = Cifar10(verify=False).read()
    if how == "truncated":
        os.truncate(entry(cache), 100)
    elif how == "overwritten":
        with entry(cache).open("r+b") as file:
            file.write(bytes(entry(cache).stat().st_size))
    else:
        entry(cache).unlink()
    assert torch.equal(held.train.pixels, first)


def test_a_source_that_changes_during_the_conversion_is_not_cached(
    source: Path, cache: Path, batch: Make, pickled: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = Published._convert

    def slow(self: Published, *given: Any) -> Any:
        raw = convert(self, *given)
        (source / "data_batch_1").write_bytes(pickled(batch(4, seed=99)))
        return raw

    monkeypatch.setattr(Published, "_convert", slow)
    pixels()
    assert not cache.exists()


def test_leftovers_of_killed_conversions_are_swept_and_those_at_work_are_not(source: Path, cache: Path) -> None:
    cache.mkdir()
    dead, live, other = (cache / name for name in (f".cifar10-{'0' * 16}-abc", f".mnist-{'1' * 16}-abc", ".keep"))
    for folder in (dead, live, other):
        folder.mkdir()
        (folder / "part.safetensors").write_bytes(b"the first bytes")
    with cache_module._held(live):
        pixels()
        assert not dead.exists() and live.exists() and other.exists()


def test_a_killed_conversion_leaves_nothing_that_counts(source: Path, cache: Path, root: Path) -> None:
    program = (
        "import os, signal\n"
        "from energy.data import Cifar10, cache\n"
        "cache.save_file = lambda arrays, path: (path.write_bytes(b'x' * 9), os.kill(os.getpid(), signal.SIGKILL))\n"
        "Cifar10(verify=False).read()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, env={**os.environ})
    assert done.returncode == -9, done.stderr.decode()
    (leftover,) = cache.iterdir()
    assert leftover.is_dir()
    pixels()
    assert list(cache.iterdir()) == [entry(cache)]


def test_two_conversions_at_once_agree(source: Path, cache: Path) -> None:
    program = "from energy.data import Cifar10; print(int(Cifar10(verify=False).read().train.pixels.sum()))"
    running = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(2)]
    sums = {one.communicate(timeout=300)[0].strip() for one in running}
    assert sums == {str(int(pixels().sum())).encode()}
    assert list(cache.iterdir()) == [entry(cache)]


def test_a_source_above_its_limit_is_refused_before_it_is_hashed(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.truncate(source / "data_batch_1", 1 << 40)  # sparse
    monkeypatch.setattr(hashlib, "file_digest", None)
    with pytest.raises(DataError, match="data_batch_1: holds more than the 40000000 bytes"):
        pixels()


def test_more_images_than_were_published_are_refused(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cifar10, "counts", (20, 3))
    with pytest.raises(DataError, match="more than the 23 images"):
        pixels()
    monkeypatch.setattr(Cifar10, "counts", (20, 4))
    assert len(pixels()) == 20


def test_a_home_that_nobody_has_is_one_line(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGY_CACHE", "~nobody_of_this_name/cache")
    with pytest.raises(ValueError, match="nobody's home folder"):
        pixels()
