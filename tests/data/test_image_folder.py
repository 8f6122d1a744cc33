"""Folders of images: pixels by hand, classes in order, the cache, and everything hostile or damaged by name."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from energy.data import DataError, ImageFolder, describe_sets
from energy.data import image_folder as page
from energy.data.decoding import Fit, decoded
from energy.errors import ConfigurationError
from energy.stream import stream

Put = Callable[[str, Any], Path]


@pytest.fixture
def put(root: Path) -> Put:
    """``put("train/cat/1.png", pixels)``: an image below `pets`, or a file of bytes."""

    def write(name: str, what: Any) -> Path:
        path = root / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, bytes):
            path.write_bytes(what)
        else:
            Image.fromarray(np.asarray(what, np.uint8)).save(path)
        return path

    return write


def plain(value: int, height: int = 4, width: int = 4) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def pets(put: Put, count: int = 3, test: int = 1) -> None:
    for label, name in enumerate(("dog", "ant", "Cat")):
        for split, many in (("train", count), ("test", test)):
            for number in range(many):
                put(f"{split}/{name}/{number:02}.png", plain(10 * label + number + 100 * (split == "test")))


def folder(root: Path, **fields: Any) -> ImageFolder:
    return ImageFolder(root=str(root / "pets"), side=4, **fields)


def png(width: int, height: int, rows: bytes = b"", depth: int = 8, color: int = 2) -> bytes:
    """A PNG written out by hand; its header may say more than there is."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_classes_are_sorted_and_pixels_are_those_of_the_files(root: Path, put: Put) -> None:
    pets(put)
    data = folder(root)
    assert data.names == ("Cat", "ant", "dog")
    assert (data.classes, data.image) == (3, (3, 4, 4))
    train, test = data.examples()
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert train.pixels[:, 0, 0, 0].tolist() == [20, 21, 22, 10, 11, 12, 0, 1, 2]
    assert test.pixels[:, 0, 0, 0].tolist() == [120, 110, 100]
    assert train.pixels.dtype is torch.uint8


def test_channels_places_and_luminance(root: Path, put: Put) -> None:
    """Red at the top left: channel 0, row 0, column 0; its luminance is 0.299 × 255 = 76."""
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[0, 0, 0] = 255
    path = put("train/a/1.png", pixels)
    found = decoded(path, 4, True, Fit.CROP)
    assert found.shape == (3, 4, 4)
    assert found[0, 0, 0] == 255
    assert found.long().sum() == 255
    assert decoded(path, 4, False, Fit.CROP)[0, 0, 0] == 76


def test_the_square_is_the_center_or_all_of_it(root: Path, put: Put) -> None:
    """8 wide, 4 high, the left half black and the right half white: the center has two columns of each."""
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 4:] = 255
    path = put("train/a/1.png", pixels)
    assert decoded(path, 4, False, Fit.CROP)[0].tolist() == [[0, 0, 255, 255]] * 4
    whole = decoded(path, 2, False, Fit.STRETCH)[0]
    assert whole.shape == (2, 2)
    assert (whole[:, 0] < 60).all()
    assert (whole[:, 1] > 195).all()


def test_a_smaller_image_has_the_mean_of_what_it_covers(root: Path, put: Put) -> None:
    board = np.indices((32, 32)).sum(0) % 2 * 200
    path = put("train/a/1.png", np.repeat(board[:, :, None], 3, 2))
    inner = decoded(path, 4, False, Fit.CROP)[0, 1:-1, 1:-1].float()
    assert (inner - 100).abs().max() < 6


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "webp", "ppm", "PNG"])
def test_the_kinds_that_are_decoded(root: Path, put: Put, suffix: str) -> None:
    path = put(f"train/a/1.{suffix}", plain(100, 8, 8))
    assert (decoded(path, 4, True, Fit.CROP).float() - 100).abs().max() <= 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_other_modes_become_color(root: Path, put: Put, mode: str) -> None:
    stored = io.BytesIO()
    Image.fromarray(plain(255)).convert(mode).save(stored, "JPEG" if mode == "CMYK" else "PNG")
    path = put("train/a/1.png", stored.getvalue())
    assert (decoded(path, 4, True, Fit.CROP).float() - 255).abs().max() <= 3


def test_without_a_test_folder_the_names_of_the_files_decide(root: Path, put: Put) -> None:
    for number in range(60):
        put(f"{'ab'[number % 2]}/{number:02}.png", plain(number))
    train, test = folder(root, held=0.3).examples()
    assert len(train.labels) + len(test.labels) == 60
    assert 8 <= len(test.labels) <= 28  # 18 ± 3.5, three deviations
    before = set(test.pixels[:, 0, 0, 0].tolist())
    put("a/new.png", plain(200))
    after = set(folder(root, held=0.3).examples().test.pixels[:, 0, 0, 0].tolist())
    assert before <= after <= before | {200}


def test_the_set_is_decoded_once_and_again_when_a_file_changes(
    root: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    pets(put)
    count = []

    def counted(*given: Any) -> Any:
        count.append(given[0].name)
        return decoded(*given)

    monkeypatch.setattr(page, "decoded", counted)
    first, mark = folder(root).examples(), folder(root).fingerprint()
    assert len(count) == 12
    again = folder(root).examples()
    assert len(count) == 12
    assert torch.equal(first.train.pixels, again.train.pixels)
    put("train/ant/01.png", plain(77))
    changed = folder(root).examples()
    assert len(count) == 24
    assert changed.train.pixels[4, 0, 0, 0] == 77
    assert folder(root).fingerprint() != mark
    folder(root, color=False).examples()
    assert len(count) == 36


def test_the_fingerprint_is_of_names_and_contents_alone(root: Path, put: Put) -> None:
    pets(put)
    mark = folder(root).fingerprint()
    path = root / "pets/train/ant/01.png"
    os.utime(path, (1, 1))
    assert folder(root).fingerprint() == mark
    path.rename(path.with_name("09.png"))
    assert folder(root).fingerprint() != mark


def test_very_many_sources_are_kept_as_a_digest(root: Path, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry names its sources by a hash where their list would be longer than its header may be."""
    from energy.data import cache

    monkeypatch.setattr(cache, "HEADER", 1 << 12)
    pets(put)
    first = folder(root).examples()
    monkeypatch.setattr(page, "decoded", None)
    assert torch.equal(folder(root).examples().train.pixels, first.train.pixels)


def test_augmentation_and_normalization_are_those_of_any_set(root: Path, put: Put) -> None:
    pets(put)
    data = folder(root, mean=[0.5], std=[0.25], validation=0.0, flip=True)
    x, labels = data.load("cpu", 0, torch.float64).test.take(slice(None))
    assert labels.tolist() == [0, 1, 2]
    torch.testing.assert_close(x[0], torch.full((3, 4, 4), (120 / 255 - 0.5) / 0.25, dtype=torch.float64))


def test_hidden_files_and_other_kinds_are_left_aside(root: Path, put: Put) -> None:
    pets(put)
    for name in ("train/.DS_Store", "train/ant/.hidden.png", "train/ant/Thumbs.db", "train/notes.txt", "about.md"):
        put(name, b"nothing")
    assert len(folder(root).examples().train.labels) == 9


def hostile(root: Path, put: Put) -> dict[str, tuple[Callable[[], Any], str]]:
    """What is wrong, by a name; each is put into a sound folder, and the message that it must give."""
    noise = torch.randint(256, (40, 40, 3), generator=stream(0, "noise"), dtype=torch.uint8).numpy()
    stored = io.BytesIO()
    Image.fromarray(noise).save(stored, "JPEG")
    frames = io.BytesIO()
    Image.fromarray(plain(0)).save(frames, "PNG", save_all=True, append_images=[Image.fromarray(plain(9))])
    place = root / "pets/train/ant"
    bomb = png(60_000, 60_000, bytes(1000))
    return {
        "bomb": (lambda: put("train/ant/x.png", bomb), r"x.png: must have at most 67108864 pixels, has more"),
        "large": (lambda: put("train/ant/x.png", png(8200, 8200)), r"at most 67108864 pixels, has 8200 x 8200"),
        "flat": (lambda: put("train/ant/x.png", png(1 << 20, 1)), r"x.png: has 1048576 x 1 pixels; one side is over"),
        "cut off": (lambda: put("train/ant/x.jpg", stored.getvalue()[:700]), r"x.jpg: cannot be decoded"),
        "rows missing": (lambda: put("train/ant/x.png", png(8, 8, bytes(30))), r"x.png: cannot be decoded"),
        "end cut off": (lambda: put("train/ant/x.png", png(2, 2, bytes(14))[:-13]), r"x.png: cannot be decoded"),
        "16 bits": (lambda: put("train/ant/x.png", png(1, 1, bytes(3), 16, 0)), r"x.png: its pixels are I;16"),
        "frames": (lambda: put("train/ant/x.png", frames.getvalue()), r"x.png: has 2 frames; must have one"),
        "text": (lambda: put("train/ant/x.png", b"hello"), r"x.png: is none of PNG, JPEG"),
        "empty": (lambda: put("train/ant/x.png", b""), r"x.png: is none of PNG"),
        "another kind by a false name": (
            lambda: put("train/ant/x.png", b"GIF89a" + bytes(20)),
            r"x.png: is none of PNG",
        ),
        "postscript": (lambda: put("train/ant/x.png", b"%!PS-Adobe-3.0 EPSF-3.0\n"), r"x.png: is none of PNG"),
        "too many bytes": (
            lambda: os.truncate(put("train/ant/x.png", b"\x89PNG"), (1 << 26) + 1),
            r"x.png: has 67108865 bytes; must have at most",
        ),
        "link out": (lambda: (place / "x.png").symlink_to("/etc/passwd"), r"x.png: is a link"),
        "link to a folder": (lambda: (place.parent / "more").symlink_to("/etc"), r"more: is a link"),
        "loop": (lambda: (place.parent / "more").symlink_to(place.parent), r"more: is a link"),
        "pipe": (lambda: os.mkfifo(place / "x.png"), r"x.png: is not a regular file"),
        "beside the classes": (lambda: put("train/x.png", plain(1)), r"x.png: lies in no class"),
        "within a class": (lambda: put("train/ant/inner/x.png", plain(1)), r"inner: is a folder within a class"),
        "not decoded": (lambda: put("train/ant/x.tiff", b"II*"), r"x.tiff: .tiff is not decoded"),
        "class of the test alone": (lambda: put("test/bee/x.png", plain(1)), r"bee: is none of the classes"),
    }


CASES = sorted(hostile(Path(), lambda name, what: Path()))


@pytest.mark.parametrize("case", CASES)
def test_what_is_hostile_or_damaged_is_named(root: Path, put: Put, case: str) -> None:
    pets(put)
    make, message = hostile(root, put)[case]
    make()
    with pytest.raises(DataError, match=message) as caught:
        folder(root).examples()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "PPM"])
def test_a_file_cut_off_anywhere_is_refused(root: Path, put: Put, kind: str) -> None:
    """Of a PNG the last four bytes alone, which are the sum of a chunk that holds nothing, may be missing."""
    noise = torch.randint(256, (12, 12, 3), generator=stream(0, "noise"), dtype=torch.uint8).numpy()
    stored = io.BytesIO()
    Image.fromarray(noise).save(stored, kind)
    whole = stored.getvalue()
    for missing in (*range(5 if kind == "PNG" else 1, 40), *range(40, len(whole), 29)):
        path = put("train/a/1.png", whole[:-missing])
        with pytest.raises(DataError, match=r"1.png: (cannot be decoded|is none of)"):
            decoded(path, 4, True, Fit.CROP)


def test_a_folder_that_is_none_is_named(root: Path, put: Put) -> None:
    with pytest.raises(DataError, match=r"image_folder: must be told where its images are: data.root=FOLDER"):
        ImageFolder().examples()
    with pytest.raises(DataError, match=r"image_folder.root=.*pets: there is no such folder"):
        folder(root).examples()
    (root / "pets").mkdir()
    with pytest.raises(DataError, match=r"pets: has no folders in it"):
        folder(root).examples()
    put("test/a/1.png", plain(1))
    with pytest.raises(DataError, match=r"has a folder test and none called train"):
        folder(root).examples()
    (root / "pets/train/a").mkdir(parents=True)
    with pytest.raises(DataError, match=r"train: holds no images; they end in .png"):
        folder(root).examples()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"side": 0}, r"side=0: must be from 1 to 4096"),
        ({"held": 1.0}, r"held=1.0: must be above 0 and below 1"),
        ({"mean": [0.0, 0.0]}, r"mean=.*one per channel"),
    ],
)
def test_fields_out_of_range(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ImageFolder(**fields)


def test_the_list_of_sets_has_it_without_a_folder() -> None:
    row = next(row for row in describe_sets() if row["name"] == "image_folder")
    assert row["state"] == "your own; data.root=FOLDER"
    assert row["shape"] == "3x32x32"
