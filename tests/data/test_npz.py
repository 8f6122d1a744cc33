"""Batches in npz form: read like NumPy would, refused where NumPy would allocate, unpickle or trust a header."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from energy.data import DataError, npz
from energy.data.check import Examples

SHAPE = (3, 32, 32)
Make = Callable[..., Any]


def read(content: bytes, limit: int = 1 << 24) -> Examples:
    return npz.npz_examples(bytearray(content), SHAPE, limit)


def packed(header: str, body: bytes, labels: bytes | None = None) -> bytes:
    """An archive whose entry ``data`` has a header of one's own."""
    text = header.encode().ljust(117) + b"\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body)
        if labels is not None:
            archive.writestr("labels.npy", labels)
    return stream.getvalue()


def plain(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, "<u2"])
def test_what_was_written_is_read(batch: Make, zipped: Make, kind: Any) -> None:
    rows, labels = batch(6)
    examples = read(zipped(data=rows, labels=labels.astype(kind), mean=rows.mean(0)))
    assert np.array_equal(examples.pixels.flatten(1).numpy(), rows)
    assert examples.labels.tolist() == labels.tolist()


def test_fortran_order(batch: Make, zipped: Make) -> None:
    rows, labels = batch(6)
    examples = read(zipped(data=np.asfortranarray(rows), labels=labels))
    assert np.array_equal(examples.pixels.flatten(1).numpy(), rows)


def test_a_header_of_python_2(batch: Make) -> None:
    rows, labels = batch(2)
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2L, 3072L), }"
    assert np.array_equal(read(packed(header, rows.tobytes(), plain(labels))).pixels.flatten(1).numpy(), rows)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (32552083, 3072), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, -3072), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1, 384), }",
        "{'descr': '<U768', 'fortran_order': False, 'shape': (1, 1), }",
        "{'descr': __import__('os').abort(), 'fortran_order': False, 'shape': (1, 3072), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': ((1, 2), 3072), }",
    ],
)
def test_a_forged_header_is_refused_before_anything_is_allocated(batch: Make, header: str) -> None:
    with pytest.raises(DataError):
        read(packed(header, bytes(3072), plain(batch(1)[1])))


def test_objects_are_never_unpickled(zipped: Make, batch: Make) -> None:
    rows, _ = batch(2)
    with pytest.raises(DataError, match="object"):
        read(zipped(data=rows, labels=np.array([1, None], dtype=object)))


def test_an_entry_that_unpacks_to_more_than_its_limit_is_refused(zipped: Make) -> None:
    bomb = zipped(data=np.zeros((4000, 3072), np.uint8), labels=np.zeros(4000, np.int64))
    assert len(bomb) < 100_000
    with pytest.raises(DataError, match="at most 1000000"):
        read(bomb, limit=1_000_000)


def test_missing_entries_wrong_types_and_wrong_rows(zipped: Make, batch: Make) -> None:
    rows, labels = batch(3)
    for arrays, fault in (
        ({"data": rows}, "labels.npy"),
        ({"data": rows.astype(np.float32), "labels": labels}, "float32"),
        ({"data": rows[:, :5], "labels": labels}, "3072"),
        ({"data": rows, "labels": labels.astype(float)}, "integers"),
    ):
        with pytest.raises(DataError, match=fault):
            read(zipped(**arrays))


def test_a_cut_or_a_flipped_byte_is_noticed(zipped: Make, batch: Make) -> None:
    rows, labels = batch(3)
    content = zipped(data=rows, labels=labels)
    for end in range(0, len(content), 97):
        with pytest.raises(DataError):
            read(content[:end])
    middle = len(content) // 2
    with pytest.raises(DataError):
        read(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


def test_another_version_of_the_format_is_named(batch: Make) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("data.npy", b"\x93NUMPY\x09\x00" + bytes(100))
        archive.writestr("labels.npy", plain(batch(1)[1]))
    with pytest.raises(DataError, match=r"version \(9, 0\)"):
        read(stream.getvalue())
