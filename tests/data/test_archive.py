"""Pickled batches: every protocol is read, and nothing in a file is ever run, called or believed unchecked."""

import builtins
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from energy.data import DataError, archive
from energy.data.check import Examples

SHAPE = (3, 32, 32)
Make = Callable[..., Any]


def read(content: bytes, label: str = "labels") -> Examples:
    return archive.pickled_examples(bytearray(content), label, SHAPE)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("label", ["labels", "fine_labels"])
def test_every_protocol_gives_back_what_was_written(batch: Make, pickled: Make, protocol: int, label: str) -> None:
    rows, labels = batch(7)
    examples = read(pickled((rows, labels), label, protocol), label)
    assert np.array_equal(examples.pixels.flatten(1).numpy(), rows)
    assert examples.pixels.shape[1:] == SHAPE
    assert examples.labels.tolist() == labels.tolist()


@pytest.mark.parametrize("protocol", range(6))
def test_fortran_order_and_labels_as_an_array(batch: Make, protocol: int) -> None:
    rows, labels = batch(5)
    examples = read(pickle.dumps({"data": np.asfortranarray(rows), "labels": labels}, protocol))
    assert np.array_equal(examples.pixels.flatten(1).numpy(), rows)
    assert examples.labels.tolist() == labels.tolist()


def test_names_of_python_2_and_of_old_numpy(batch: Make) -> None:
    rows, _ = batch(2)
    body = rows.tobytes()
    content = (
        b"\x80\x02}(U\x06labels](K\x01K\x09eU\x04datacnumpy.core.multiarray\n_reconstruct\n"
        b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", len(body)) + body + b"tbu."
    )
    examples = read(content)
    assert np.array_equal(examples.pixels.flatten(1).numpy(), rows)
    assert examples.labels.tolist() == [1, 9]


def test_keys_of_bytes(batch: Make) -> None:
    rows, labels = batch(3)
    assert len(read(pickle.dumps({b"data": rows, b"labels": labels.tolist()})).labels) == 3


class Bomb:
    """Pickles into a call of ``function``."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "function", [os.system, os.mkdir, builtins.eval, builtins.exec, builtins.getattr, np.load, torch.load, bytearray]
)
def test_a_call_hidden_in_a_pickle_is_refused_by_name(function: Make, protocol: int, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    content = pickle.dumps({"data": Bomb(function, f"mkdir {trace}"), "labels": [0]}, protocol)
    with pytest.raises(DataError, match="refused"):
        read(content)
    assert not trace.exists()


def test_an_array_of_objects_is_refused_before_its_objects_are_made() -> None:
    with pytest.raises(DataError, match="objects"):
        read(pickle.dumps({"data": np.array([[1, None]], dtype=object), "labels": [0]}))


def forged(shape: str, code: str = "u1", body: bytes = b"abc") -> bytes:
    """A batch whose array says ``shape`` and ``code`` but holds ``body``."""
    return (
        b"\x80\x02}(X\x06\0\0\0labels](K\0eX\x04\0\0\0datacnumpy.core.multiarray\n_reconstruct\n"
        b"cnumpy\nndarray\nI100000000000\n\x85C\x01b\x87R(K\x01"
        + shape.encode()
        + b"cnumpy\ndtype\nX"
        + struct.pack("<I", len(code))
        + code.encode()
        + b"K\0K\1\x87R(K\x03X\x01\0\0\0|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\0tb\x89B" + struct.pack("<I", len(body)) + body + b"tbu."
    )


@pytest.mark.parametrize(
    "shape", ["(I32552083\nI3072\nt", "(I-1\nI3072\nt", "(I3\nt", "I3\n", "(NI3072\nt", "(I0\nI3072\nt"]
)
def test_a_shape_that_its_bytes_do_not_fill_is_refused(shape: str) -> None:
    with pytest.raises(DataError, match=r"shape|rows"):
        read(forged(shape))


@pytest.mark.parametrize("code", ["O", "O8", "V3072", "u8", "S1", "M8", "U1"])
def test_only_plain_numbers_are_read(code: str) -> None:
    with pytest.raises(DataError, match="only plain numbers"):
        read(forged("(I1\nI3\nt", code))


def test_an_honest_file_of_the_forger_is_read() -> None:
    assert read(forged("(I1\nI3072\nt", body=bytes(3072))).pixels.shape == (1, *SHAPE)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\x80\x02}r\xff\xff\xff\x7f.", "memo slots"),
        (b"\x80\x02}p4000000000\n.", "memo slots"),
        (b"\x80\x05\x96" + struct.pack("<Q", 10**11) + b"abc.", "damaged"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 10**11) + b"abc.", "damaged"),
        (b"\x80\x02B\xff\xff\xff\x7fabc.", "damaged"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "damaged"),
        (b"\x80\x02P5\n.", "damaged"),
        (b"\x80\x02\x82\x05.", "damaged"),
        (b"\x80\x02cnumpy\ndtype\nN}X\x04\0\0\0codeK\x01s\x86b.", "damaged"),
        (b"\x80\x02cnumpy\nndarray\nI100000000000\n\x85R.", "damaged"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "damaged"),
        (b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0rot13\x86R.", "latin1"),
        (b"\x80\x09N.", "damaged"),
        (b"", "damaged"),
        (b"not a pickle", "damaged"),
        (b"\x80\x02]K\x01a.", "dictionary"),
        (b"\x80\x02}.", "no entry 'data'"),
        (b"\x80\x02}(X\x04\0\0\0dataK\x01X\x06\0\0\0labelsK\x01u.", "class numbers"),
        (b"\x80\x02}(X\x04\0\0\0dataK\x01X\x06\0\0\0labels]u.", "array of bytes"),
        (b"\x80\x02}(X\x04\0\0\0data]X\x06\0\0\0labels]\x88au.", "class numbers"),
    ],
)
def test_malformed_and_hostile_streams(content: bytes, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        read(content)


def test_a_file_cut_anywhere_is_refused(batch: Make, pickled: Make) -> None:
    content = pickled(batch(2))
    for end in [*range(0, 200, 7), *range(200, len(content), 501)]:
        with pytest.raises(DataError):
            read(content[:end])


def test_a_hostile_file_leaves_nothing_behind_for_the_next(batch: Make, pickled: Make) -> None:
    for name in (b"numpy\ndtype", b"numpy\nndarray", b"numpy.core.multiarray\n_reconstruct", b"_codecs\nencode"):
        with pytest.raises(DataError):
            read(b"\x80\x02c" + name + b"\nN}X\x04\0\0\0codeK\x01s\x86b.")
    rows, labels = batch(3)
    assert np.array_equal(read(pickled((rows, labels))).pixels.flatten(1).numpy(), rows)


def test_rows_of_another_length_are_refused(batch: Make, pickled: Make) -> None:
    with pytest.raises(DataError, match="3072"):
        read(pickled(batch(3, size=100)))
