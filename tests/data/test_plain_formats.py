"""idx files and binary records, written here by hand from their published descriptions."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from energy.data import DataError, idx, records

Make = Callable[..., Any]


def idx_file(array: np.ndarray) -> bytearray:
    return bytearray(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def test_idx(batch: Make) -> None:
    rows, labels = batch(4, size=6)
    examples = idx.idx_examples([idx_file(rows.reshape(4, 2, 3)), idx_file(labels.astype(np.uint8))])
    assert np.array_equal(examples.pixels.numpy(), rows.reshape(4, 1, 2, 3))
    assert examples.labels.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "begins with"),
        (b"\0\0\x08\x03\0\0", "begins with"),
        (b"\0\0\x0d\x03" + bytes(12), "begins with"),
        (struct.pack(">HBB3I", 0, 8, 3, 60000, 28, 28) + b"abc", "announces 47040000 values"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 2**31) + b"abc", "announces"),
        (struct.pack(">HBB3I", 0, 8, 3, 1, 1, 1) + b"abc", "holds 3"),
    ],
)
def test_an_idx_header_that_lies_is_refused(content: bytes, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        idx.idx_examples([bytearray(content), idx_file(np.zeros(1, np.uint8))])


@pytest.mark.parametrize("label_bytes", [1, 2])
def test_cifar_records_take_the_last_label(batch: Make, label_bytes: int) -> None:
    rows, labels = batch(5)
    coarse = np.full((5, label_bytes - 1), 77, np.uint8)
    content = np.concatenate([coarse, labels.astype(np.uint8)[:, None], rows], axis=1).tobytes()
    examples = records.cifar(bytearray(content), label_bytes)
    assert np.array_equal(examples.pixels.flatten(1).numpy(), rows)
    assert examples.labels.tolist() == labels.tolist()


def test_stl_images_are_stored_column_by_column(batch: Make) -> None:
    rows, labels = batch(2, size=3 * 96 * 96)
    image = rows.reshape(2, 3, 96, 96)
    stored = np.stack([image[..., column] for column in range(96)], axis=2)
    examples = records.stl([bytearray(stored.tobytes()), bytearray(labels.astype(np.uint8).tobytes())])
    assert np.array_equal(examples.pixels.numpy(), image)
    assert examples.labels.tolist() == labels.tolist()


def test_a_record_cut_off_is_refused() -> None:
    with pytest.raises(DataError, match="cut off"):
        records.cifar(bytearray(3073 * 2 - 1), 1)
    with pytest.raises(DataError, match="cut off"):
        records.stl([bytearray(100), bytearray(1)])
