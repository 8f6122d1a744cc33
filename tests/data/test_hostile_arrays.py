"""Archives of arrays by a strict grammar: what NumPy writes is read, anything else is refused before it is unpacked."""

import io
import json
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from energy.data import DataError, npz
from energy.data.source import File, content
from energy.errors import DamagedFileError
from energy.io.arrays import DENSE, DIRECTORY, RATIO, array_header, npz_arrays
from energy.io.figure_data import read_figure_data, write_figure_data

SHAPE = (3, 32, 32)
MIB = 1 << 20
Make = Callable[..., Any]


def head(descr: str = "'|u1'", shape: str = "(3, 4)", fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


def entry(header: str, body: bytes, version: int = 1) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text + body


def packed(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, body in entries.items():
            archive.writestr(name, body)
    return stream.getvalue()


def refused(blob: bytes, limit: int = 1 << 28, most: int = 8 * MIB) -> str:
    """The line of a refusal that took at most so many bytes beside the archive itself."""
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError) as caught:
            npz_arrays(blob, limit)
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 900 and str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("kind", ["?", "u1", "<u2", "<u8", "i1", "<i4", "<f2", "<f4", "<f8", "<U7"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (3, 0, 2), (2, 3, 4)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_writes_is_read(kind: str, shape: tuple[int, ...], order: Any) -> None:
    values = np.random.default_rng(0).integers(0, 2, shape).astype(kind, order=order)
    stream, plain = io.BytesIO(), io.BytesIO()
    np.savez_compressed(stream, some=values)
    np.savez(plain, some=values)
    for blob in (stream, plain):
        found = npz_arrays(blob.getvalue(), 1 << 20)["some"]
        assert found.dtype == values.dtype and found.shape == shape and np.array_equal(found, values)


@pytest.mark.parametrize(
    "text",
    [
        head() + "}",
        head()[:-1],
        "    " + head(),
        "\n" + head(),
        head(shape="(" + "-" * 9000 + "1,)"),
        head(shape="(" * 9000 + ")" * 9000),
        head(shape="(3, 4"),
        head(shape="(-3, 4)"),
        head(shape="(3.0, 4)"),
        head(shape="(1e3,)"),
        head(shape="(0x10,)"),
        head(shape="(1_0,)"),
        head(shape="(٣,)"),
        head(shape="((3,), 4)"),
        head(shape="[3, 4]"),
        head(shape="3"),
        head(shape="(" + "9" * 5000 + ",)"),
        head(shape="(" + "1, " * 33 + ")"),
        head(descr="'|O'"),
        head(descr="'<V4'"),
        head(descr="'|S5'"),
        head(descr="'<M8[s]'"),
        head(descr="'<c16'"),
        head(descr="'<U0'"),
        head(descr="'<U9999999'"),
        head(descr="[('a', '<i4')]"),
        head(descr="None"),
        head(descr="__import__('os').abort()"),
        head(fortran="0"),
        "{'descr': '|u1', 'shape': (3, 4)}",
        head().replace("}", "'more': 1}"),
        head() + " \x00",
        head() + "# more",
        "\\",
        "'''",
        "é" * 100,
        "",
    ],
)
def test_a_header_of_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(DamagedFileError) as caught:
        array_header(text.encode(), "x.npy")
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()
    refused(packed({"x.npy": entry(text, bytes(12), 2 if len(text) > 60_000 else 1)}))


@pytest.mark.parametrize("kind", [">u2", ">i4", ">f8", ">U3", ">u8"])
def test_the_largest_byte_first_is_refused_by_name(kind: str) -> None:
    stream = io.BytesIO()
    np.savez(stream, some=np.zeros(4, kind))
    assert "smallest byte first" in refused(stream.getvalue())


def test_objects_are_refused_before_their_size_is_looked_at() -> None:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, some=np.array([1, None], dtype=object))
    assert "objects, which are never read" in refused(stream.getvalue())
    assert "objects, which are never read" in refused(packed({"x.npy": entry(head("'|O'", "(2,)"), bytes(16))}))


@pytest.mark.parametrize("shape", ["(3, 5)", "(3,)", "()", "(999999999999,)", "(999999999999, 0)", "(0,)"])
def test_a_shape_of_another_size_is_refused_before_anything_is_allocated(shape: str) -> None:
    assert "announces" in refused(packed({"x.npy": entry(head(shape=shape), bytes(12))}))


def test_sizes_are_compared_before_anything_is_unpacked() -> None:
    size = 2 * DENSE
    bomb = packed({"x.npy": entry(head(shape=f"({size},)"), bytes(size))})
    assert len(bomb) < size // RATIO
    assert f"at most {RATIO} times as many" in refused(bomb)
    assert "must be at most 1000" in refused(bomb, limit=1000)
    small = packed({f"{name}.npy": entry(head(shape="(1000,)"), bytes(1000)) for name in range(10)})
    assert "must be at most 5000" in refused(small, limit=5000)
    assert len(npz_arrays(small, 20_000)) == 10


def test_a_size_that_the_directory_belies_is_refused() -> None:
    """The directory says 140 bytes; deflated are 64 MiB."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", entry(head(), bytes(12)) + bytes(64 * MIB))
    blob = bytearray(stream.getvalue())
    size = len(entry(head(), bytes(12)))
    for at in (blob.rindex(b"PK\1\2") + 24, 22):
        blob[at : at + 4] = struct.pack("<I", size)
    refused(bytes(blob))


@pytest.mark.parametrize("at", ["before", "behind", "comment", "archive before"])
def test_garbage_around_an_archive_is_refused(at: str) -> None:
    good = packed({"x.npy": entry(head(), bytes(12))})
    stream = io.BytesIO(good)
    if at == "comment":
        with zipfile.ZipFile(stream, "a") as archive:
            archive.comment = b"more"
    blobs = {"before": b"garbage" + good, "behind": good + b"garbage", "comment": stream.getvalue()}
    assert npz_arrays(good, 1000)["x"].shape == (3, 4)
    said = refused({**blobs, "archive before": good + good}[at])
    assert ("must end it" if at == "archive before" else "before or behind") in said


def test_a_large_directory_is_refused_unread() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(20):
            archive.writestr(zipfile.ZipInfo(f"{number}" + "x" * 60_000), b"")
    assert f"at most {DIRECTORY}" in refused(stream.getvalue())


def test_a_name_that_stands_twice_is_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("x.npy", entry(head(), bytes(12)))
        archive.writestr("x.npy", entry(head(), bytes(12)))
    assert "each name once" in refused(stream.getvalue())


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_packing_is_refused(method: int) -> None:
    assert "stored or deflated" in refused(packed({"x.npy": entry(head(), bytes(12))}, method))


def test_random_changes_are_noticed_or_harmless() -> None:
    good = packed({"x.npy": entry(head(), bytes(range(12)))})
    random = np.random.default_rng(0)
    for _ in range(500):
        blob = bytearray(good)
        blob[random.integers(len(blob))] = random.integers(256)
        try:
            found = npz_arrays(blob, 1000)
        except DamagedFileError as error:
            assert str(error).isprintable() and len(str(error)) < 900
            continue
        assert all(np.array_equal(one.flatten(), np.arange(12)) for one in found.values())


def test_a_batch_names_the_fault(batch: Make, zipped: Make) -> None:
    rows, labels = batch(3)
    with pytest.raises(DataError, match="smallest byte first"):
        npz.npz_examples(bytearray(zipped(data=rows, labels=labels.astype(">i4"))), SHAPE, 1 << 20)
    with pytest.raises(DataError, match="before or behind"):
        npz.npz_examples(bytearray(zipped(data=rows, labels=labels) + b"more"), SHAPE, 1 << 20)


def test_pictures_of_a_run_are_read_alike(tmp_path: Path) -> None:
    path = write_figure_data(tmp_path / "pictures.npz", {"a": np.arange(3)}, {"title": "α"})
    assert read_figure_data(path)[1] == {"title": "α", "format": 1}
    deep = np.array("[" * 100_000)
    for blob in (
        packed({"facts.npy": entry(head()[:-1], bytes(12))}),
        packed({"facts.npy": entry(" " + head(), bytes(12))}),
        packed({"facts.npy": entry(head(shape="(" + "-" * 9000 + "1,)"), bytes(12))}),
        packed({"facts.npy": entry(head("'<U1'", "()"), b"\xff\xff\xff\xff")}),
        packed({"a.npy": entry(head(), bytes(12))}),
        packed({"facts.npy": entry(head(f"'<U{deep.size * 100_000}'", "()"), deep.tobytes())}),
        path.read_bytes() + b"more",
        path.read_bytes()[:-9],
        b"",
    ):
        path.unlink()
        path.write_bytes(blob)
        with pytest.raises(DamagedFileError, match=r"pictures\.npz: no record of pictures") as caught:
            read_figure_data(path)
        assert len(str(caught.value)) < 900 and str(caught.value).isprintable()


def test_a_packed_file_is_not_read_behind_its_limit(tmp_path: Path) -> None:
    """Behind 40 MB the packed bytes are damaged: who reads on notices that, and not the limit."""
    pack = zlib.compressobj(1, zlib.DEFLATED, 31)
    blob = pack.compress(bytes(40_000_000)) + pack.flush(zlib.Z_FULL_FLUSH)
    path = tmp_path / "file.gz"
    path.write_bytes(blob + b"\xff" * 100)
    with pytest.raises(DataError, match="more than the 1000 bytes"):
        content(path, File("file", 1000), verify=False)
    with pytest.raises(DataError, match="cannot be read"):
        content(path, File("file", 100_000_000), verify=False)


def test_facts_are_strict_json(tmp_path: Path) -> None:
    path = write_figure_data(tmp_path / "pictures.npz", {}, {"layers": ["one"]})
    stored = npz_arrays(path.read_bytes(), 1 << 20)
    assert json.loads(str(stored["facts"])) == {"layers": ["one"], "format": 1}
