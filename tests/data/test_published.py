"""From files to images: found, verified, converted once, and refused without a trace."""

import gzip
import hashlib
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from energy.data import Cifar10, Cifar100, DataError, FashionMnist, ImageNet32, ImageNette32, Mnist, Published, Stl10
from energy.data import cache as cache_module
from energy.data.source import File, content

Make = Callable[..., Any]
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
IMAGENET = [*(f"train_data_batch_{number}" for number in range(1, 11)), "val_data"]


def put(folder: Path, name: str, data: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def records(rows: np.ndarray, labels: np.ndarray, coarse: int = 0) -> bytes:
    head = np.full((len(rows), coarse), 5, np.uint8)
    return np.concatenate([head, labels.astype(np.uint8)[:, None], rows], axis=1).tobytes()


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def pickled_cifar(root: Path, batch: Make, pickled: Make) -> Path:
    for number, name in enumerate(BATCHES):
        put(root / "cifar-10-batches-py", name, pickled(batch(20, seed=number)))
    return root / "cifar-10-batches-py"


@pytest.fixture
def npz_imagenet(root: Path, batch: Make, zipped: Make) -> Path:
    for number, name in enumerate(IMAGENET):
        rows, labels = batch(10, first=1, seed=number)
        put(root / "imagenette32", f"{name}.npz", zipped(data=rows, labels=labels))
    return root / "imagenette32"


def snapshot(folder: Path) -> dict[Path, tuple[int, str]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


def test_cifar10_in_pickles_and_in_records_is_the_same_set(pickled_cifar: Path, root: Path, batch: Make) -> None:
    from_pickles = Cifar10(verify=False).read()
    assert len(from_pickles.train.labels) == 100
    assert np.array_equal(from_pickles.train.pixels[20:40].flatten(1).numpy(), batch(20, seed=1)[0])
    for number, name in enumerate(BATCHES):
        put(root / "cifar-10-batches-bin", f"{name}.bin", records(*batch(20, seed=number)))
    shutil.rmtree(pickled_cifar)
    for ours, theirs in zip(Cifar10(verify=False).read(), from_pickles, strict=True):
        assert torch.equal(ours.pixels, theirs.pixels)
        assert torch.equal(ours.labels, theirs.labels)


def test_records_are_preferred_to_pickles(pickled_cifar: Path, root: Path, batch: Make) -> None:
    for name in BATCHES:
        put(root / "cifar-10-batches-bin", f"{name}.bin", records(*batch(3)))
    assert len(Cifar10(verify=False).read().test.labels) == 3


@pytest.mark.parametrize("form", ["binary", "pickled"])
def test_cifar100_is_read_with_its_fine_labels(form: str, root: Path, batch: Make, pickled: Make) -> None:
    for name in ("train", "test"):
        rows, labels = batch(100, classes=100)
        if form == "binary":
            put(root / "cifar-100-binary", f"{name}.bin", records(rows, labels, coarse=1))
        else:
            put(root / "cifar-100-python", name, pickled((rows, labels), "fine_labels"))
    assert Cifar100(verify=False).read().train.labels.tolist() == list(range(100))


@pytest.mark.parametrize("kind", [Mnist, FashionMnist])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_zipped_or_not(kind: type[Published], packed: bool, root: Path, batch: Make) -> None:
    rows, labels = batch(20, size=784)
    folder = root / kind.layouts[0].folders[0]
    for part in ("train", "t10k"):
        for name, array in (("images-idx3", rows.reshape(20, 28, 28)), ("labels-idx1", labels.astype(np.uint8))):
            data = idx_bytes(array)
            put(folder, f"{part}-{name}-ubyte{'.gz' * packed}", gzip.compress(data) if packed else data)
    raw = kind(verify=False).read()
    assert np.array_equal(raw.train.pixels.flatten(1).numpy(), rows)
    assert raw.test.labels.tolist() == labels.tolist()


def test_stl10_labels_start_at_1(root: Path, batch: Make) -> None:
    rows, labels = batch(10, size=3 * 96 * 96, first=1)
    for split in ("train", "test"):
        put(root / "stl10_binary", f"{split}_X.bin", rows.tobytes())
        put(root / "stl10_binary", f"{split}_y.bin", labels.astype(np.uint8).tobytes())
    raw = Stl10(verify=False).read()
    assert raw.train.labels.tolist() == list(range(10))
    assert np.array_equal(raw.train.pixels.transpose(2, 3).flatten(1).numpy(), rows)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_imagenet32_pickled_and_zipped_are_the_same_set(
    protocol: int, npz_imagenet: Path, batch: Make, pickled: Make
) -> None:
    from_npz = ImageNette32(verify=False).read()
    assert from_npz.train.labels.tolist() == list(range(10)) * 10
    shutil.rmtree(npz_imagenet)
    for number, name in enumerate(IMAGENET):
        put(npz_imagenet, name, pickled(batch(10, first=1, seed=number), protocol=protocol))
    for ours, theirs in zip(ImageNette32(verify=False).read(), from_npz, strict=True):
        assert torch.equal(ours.pixels, theirs.pixels)
        assert torch.equal(ours.labels, theirs.labels)


def test_imagenet32_is_found_in_the_two_folders_of_its_archives(root: Path, batch: Make, zipped: Make) -> None:
    rows, labels = batch(4, first=997)
    for name in IMAGENET:
        folder = "Imagenet32_val_npz" if name == "val_data" else "Imagenet32_train_npz"
        put(root / folder, f"{name}.npz", zipped(data=rows, labels=labels))
    assert ImageNet32(verify=False).read().test.labels.tolist() == [996, 997, 998, 999]


@pytest.mark.parametrize("label", [0, 11, -1])
def test_labels_outside_the_range_of_the_file_are_refused(
    label: int, npz_imagenet: Path, batch: Make, zipped: Make
) -> None:
    rows, labels = batch(10, first=1)
    labels[4] = label
    put(npz_imagenet, "train_data_batch_3.npz", zipped(data=rows, labels=labels))
    with pytest.raises(DataError, match=r"train_data_batch_3\.npz: labels run from .* between 1 and 10"):
        ImageNette32(verify=False).read()


def test_a_missing_set_says_what_to_fetch_from_where_and_to_where(root: Path) -> None:
    with pytest.raises(DataError) as caught:
        Cifar10().load("cpu", seed=0)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "cifar10",
        "energy data fetch cifar10",
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        str(root),
    ):
        assert part in message


def test_a_set_without_an_archive_says_how_it_is_made(root: Path) -> None:
    with pytest.raises(DataError, match=r"github\.com/fastai/imagenette"):
        ImageNette32().load("cpu", seed=0)


def test_a_part_of_a_set_is_told_by_what_it_lacks(pickled_cifar: Path) -> None:
    (pickled_cifar / "data_batch_3").unlink()
    with pytest.raises(DataError, match="lacks data_batch_3 of the pickled form"):
        Cifar10(verify=False).read()


def test_without_the_variable_the_folder_of_the_user_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ENERGY_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DataError, match=str(tmp_path / ".local/share/energy")):
        Cifar10().read()


def test_a_changed_file_is_noticed_by_its_digest_before_it_is_parsed(pickled_cifar: Path, cache: Path) -> None:
    with pytest.raises(DataError, match=r"data_batch_1: its contents have the MD5 .* c99cafc152244af753f735de768cd75f"):
        Cifar10().read()
    assert not cache.exists()


def test_wrong_counts_are_refused_where_no_digest_is_published(npz_imagenet: Path, cache: Path) -> None:
    with pytest.raises(DataError, match=r"holds \(100, 10\) .* published are \(9469, 3925\)"):
        ImageNette32().read()
    assert not cache.exists()


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_holds_too_much_is_not_read_to_its_end(tmp_path: Path, packed: bool) -> None:
    data = bytes(40_000_000)
    path = put(tmp_path, f"file{'.gz' * packed}", gzip.compress(data, 1) if packed else data)
    with pytest.raises(DataError, match="more than the 1000 bytes"):
        content(path, File("file", 1000), verify=False)


def test_a_zipped_file_cut_off_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "file.gz", gzip.compress(os.urandom(1000))[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        content(path, File("file", 10_000), verify=False)


def test_nothing_is_written_when_a_set_is_refused(pickled_cifar: Path, cache: Path, batch: Make, pickled: Make) -> None:
    for name, data in (
        ("test_batch", pickled(batch(20, size=3071))),
        ("data_batch_5", (pickled_cifar / "data_batch_5").read_bytes()[:5000]),
        ("data_batch_2", b"cos\nsystem\n(S'false'\ntR."),
        ("data_batch_4", pickled((batch(20)[0], batch(20, first=1)[1]))),
        ("data_batch_1", pickled(batch(0))),
    ):
        kept = (pickled_cifar / name).read_bytes()
        put(pickled_cifar, name, data)
        before = snapshot(pickled_cifar)
        with pytest.raises(DataError, match=name):
            Cifar10(verify=False).read()
        assert snapshot(pickled_cifar) == before
        assert not cache.exists()
        put(pickled_cifar, name, kept)
    assert len(Cifar10(verify=False).read().train.labels) == 100


def test_a_set_is_parsed_once(pickled_cifar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Cifar10(verify=False).read()
    monkeypatch.setattr(Cifar10, "_parse", None)
    second = Cifar10(verify=False).read()
    assert torch.equal(first.train.pixels, second.train.pixels)
    assert torch.equal(first.test.labels, second.test.labels)


def test_a_changed_source_is_converted_again(pickled_cifar: Path, batch: Make, pickled: Make) -> None:
    before = Cifar10(verify=False).read()
    put(pickled_cifar, "data_batch_1", pickled(batch(20, seed=99)))
    os.utime(pickled_cifar / "data_batch_1", ns=(1, 1))
    assert not torch.equal(before.train.pixels, Cifar10(verify=False).read().train.pixels)


def test_what_was_converted_unverified_does_not_pass_as_verified(pickled_cifar: Path) -> None:
    Cifar10(verify=False).read()
    with pytest.raises(DataError, match="MD5"):
        Cifar10().read()


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_cache_is_made_again(damage: str, pickled_cifar: Path, cache: Path) -> None:
    first = [part.pixels.clone() for part in Cifar10(verify=False).read()]
    (path,) = cache.glob("*.safetensors")
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    path.unlink()
    path.write_bytes({"flip": flipped, "cut": whole[:-1], "empty": b""}[damage])
    second = Cifar10(verify=False).read()
    assert all(torch.equal(part.pixels, pixels) for part, pixels in zip(second, first, strict=True))
    assert path.read_bytes() == whole


def test_the_cache_is_left_alone_by_what_is_done_with_its_tensors(pickled_cifar: Path, cache: Path) -> None:
    raw = Cifar10(verify=False).read()
    before = snapshot(cache)
    raw.train.pixels.zero_()
    assert snapshot(cache) == before


def test_two_conversions_write_the_same_bytes_and_leave_nothing_else(pickled_cifar: Path, cache: Path) -> None:
    Cifar10(verify=False).read()
    first = {path.name for path in cache.iterdir()}
    shutil.rmtree(cache)
    Cifar10(verify=False).read()
    assert {path.name for path in cache.iterdir()} == first
    assert len(first) == 1


def test_without_a_place_for_the_cache_the_set_is_read_all_the_same(
    pickled_cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    occupied = put(tmp_path, "occupied", b"a file, not a folder")
    monkeypatch.setenv("ENERGY_CACHE", str(occupied / "cache"))
    assert len(Cifar10(verify=False).read().train.labels) == 100
    assert occupied.read_bytes() == b"a file, not a folder"


def test_a_disk_that_fills_up_leaves_no_piece_behind(
    pickled_cifar: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        path.write_bytes(b"the first bytes")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "save_file", full)
    assert len(Cifar10(verify=False).read().train.labels) == 100
    assert list(cache.iterdir()) == []


def test_the_source_folder_is_never_written(npz_imagenet: Path) -> None:
    before = snapshot(npz_imagenet)
    ImageNette32(verify=False).load("cpu", seed=0)
    assert snapshot(npz_imagenet) == before
    assert {path.name for path in npz_imagenet.iterdir()} == {f"{name}.npz" for name in IMAGENET}
