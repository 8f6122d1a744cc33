"""Pickles that would crash, hash, grow or loop: each is refused in one line, within the memory of its file."""

import pickle
import struct
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from energy.data import DataError, archive, opcodes
from energy.data.pickle_machine import DEEPEST, LETTERS, VALUES

SHAPE = (3, 32, 32)
MIB = 1 << 20
KEY = b"X\x04\0\0\0data"
Make = Callable[..., Any]


def refused(content: bytes, most: int = 64 * MIB) -> str:
    """The line of a refusal, which took little time and at most so many bytes."""
    tracemalloc.start()
    begun = time.process_time()
    try:
        with pytest.raises(DataError) as caught:
            archive.pickled_examples(bytearray(content), "labels", SHAPE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - begun < 30
    assert peak < most + 2 * len(content)
    assert len(str(caught.value)) < 600 and str(caught.value).isprintable()
    return str(caught.value)


NESTED = {
    "tuple-key": b"}N" + b"\x85" * 1_000_000 + b"Ns.",
    "tuple-value": b"}" + KEY + b"N" + b"\x85" * 1_000_000 + b"s.",
    "lists": b"]" * 1000 + b"a" * 999 + b".",
    "dictionaries": (b"}" + KEY) * 1000 + b"N" + b"s" * 1000 + b".",
    "marks": b"(" * 1000 + b"N" + b"t" * 1000 + b".",
    "type": b"cnumpy\ndtype\n" + b"N" + b"\x85" * 1_000_000 + b"\x85R.",
    "state": b"cnumpy\ndtype\nX\2\0\0\0u1\x85R(NN" + b"\x85" * 1_000_000 + b"tb.",
    "array-state": b"cnumpy.core.multiarray\n_reconstruct\n(NNNtR(N)" + b"N" + b"\x85" * 99 + b"NNtb.",
    "encode": b"c_codecs\nencode\n" + b"N" + b"\x85" * 99 + b"X\6\0\0\0latin1\x86R.",
}


@pytest.mark.parametrize("content", NESTED.values(), ids=NESTED)
def test_deep_nesting_is_refused_before_anything_follows_it(content: bytes) -> None:
    assert f"more than {DEEPEST} deep" in refused(b"\x80\x02" + content, 4 * MIB)


@pytest.mark.parametrize("end", [b"\x85R.", b"Ns.", b"."])
@pytest.mark.parametrize("pair", [b"2\x86", b"q\0h\0\x86", b"q\0](h\0h\0e"])
def test_a_shared_container_counts_each_time(pair: bytes, end: bytes) -> None:
    """Doubled up to the depth that is allowed, and further."""
    before = b"cnumpy\ndtype\n" if end == b"\x85R." else b"}" if end == b"Ns." else b""
    for times in (DEEPEST - 2, DEEPEST + 1, 26):
        said = refused(b"\x80\x02" + before + b")" + pair * times + end, 4 * MIB)
        assert times < DEEPEST or "deep" in said


def test_wide_sharing_is_counted_as_a_tree() -> None:
    """A list of 4,000 numbers that stands in a list 4,000 times is 16 million values."""
    row = b"](" + b"K\1" * 4000 + b"eq\1"
    assert f"more than {VALUES} values" in refused(b"\x80\x02" + row + b"](" + b"h\1" * 4000 + b"e.")


OPCODES = [b"\x8f", b"]", b"}", b")", b"(", b"N", b"\x8c\0", b"C\0", b"K\1", b"2", b"cnumpy\ndtype\n", b"N0", b"]0"]


@pytest.mark.parametrize("opcode", OPCODES)
def test_endless_values_are_refused(opcode: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcodes, "STEPS", 10_000)
    said = refused(b"\x80\x04N" + opcode * 100_000 + b".", 8 * MIB)
    assert "10000 opcodes" in said or "no batch needs the opcode" in said


def test_millions_of_values_are_refused_in_seconds() -> None:
    assert opcodes.STEPS <= 1_000_000
    begun = time.process_time()
    with pytest.raises(DataError, match="opcodes"):
        archive.pickled_examples(bytearray(b"\x80\x04" + b"N" * 13_000_000 + b"."), "labels", SHAPE)
    assert time.process_time() - begun < 10


def test_texts_have_a_budget() -> None:
    """One letter of four bytes makes the whole text four times as large."""
    text = "\U0001f600".encode() + b"a" * 65_000
    one = b"X" + struct.pack("<I", len(text)) + text
    assert f"{LETTERS} bytes" in refused(b"\x80\x02" + one * (LETTERS // len(text) + 2), 5 * LETTERS)


@pytest.mark.parametrize(
    "number",
    [
        b"\x8a\xff" + b"\1" * 255,
        b"\x8b" + struct.pack("<I", 1_000_000) + b"\1" * 1_000_000,
        b"\x8b" + struct.pack("<i", -1),
        b"L" + b"9" * 1_000_000 + b"L\n",
        b"I" + b"-" * 9000 + b"\n",
        b"F" + b"9" * 1_000_000 + b"\n",
        b"I1_0\n",
        b"I\xd9\xa1\n",
    ],
)
def test_numbers_are_short_and_plain(number: bytes) -> None:
    refused(b"\x80\x02" + number + b".", 4 * MIB)


@pytest.mark.parametrize(
    "content",
    [
        b"]q\0h\0a.",
        b"]q\0]q\1h\0ah\1a.",
        b"}q\0" + KEY + b"h\0s.",
        b"](q\0h\0te.",
        b"]q\0\x85h\0K\1a.",
        b"}(" + KEY + b"u.",
        b"(" + KEY + b"d.",
        b"h\5.",
        b"g-1\n.",
        b"0.",
        b"R.",
        b"b.",
        b"t.",
        b"e.",
        b"NNs.",
        b"}NNs.",
        b"})Ns.",
        b"}]Ns.",
        b"cnumpy\ndtype\n)R.",
        b"cnumpy\ndtype\n(NNNNNtR.",
        b"cnumpy\ndtype\n]\x85R.",
        b"cnumpy\ndtype\nK\1\x85R.",
        b"cnumpy\ndtype\n]R.",
        b"cnumpy\ndtype\ncnumpy\ndtype\n\x85R.",
        b"cnumpy.core.multiarray\n_reconstruct\n)R.",
        b"X\xff\xff\0\0a.",
        b"X\1\0\0\0\xff.",
        b"c" + b"a" * 100_000 + b"\nb\n.",
        b"c\xff\n\xff\n.",
        b"V\\ud800\n.",
        b"S'\\x\n'\n.",
        b"SN\n.",
        b"cnumpy.core.numeric\n_frombuffer\n(NNNX\1\0\0\0ZtR.",
    ],
)
def test_malformed_streams_are_refused(content: bytes) -> None:
    refused(b"\x80\x02" + content, 4 * MIB)


@pytest.mark.parametrize("content", [b"]q\0\x85h\0K\1a.", b"]q\0](h\0h\0eh\0K\1a.", b"}q\0\x85h\0" + KEY + b"Ns."])
def test_a_container_inside_another_is_finished(content: bytes) -> None:
    """Else its size could not be known when it is taken up."""
    assert "after it stands in another" in refused(b"\x80\x02" + content, 4 * MIB)


def test_random_bytes_and_changed_files_are_read_or_refused(batch: Make, pickled: Make) -> None:
    random = np.random.default_rng(0)
    whole = bytearray(pickled(batch(2)))
    for _ in range(400):
        changed = bytearray(whole)
        for at in random.integers(0, 160 if random.random() < 0.7 else len(changed), 2):
            changed[at] = random.integers(256)
        try:
            archive.pickled_examples(changed, "labels", SHAPE)
        except DataError as error:
            assert str(error).isprintable() and len(str(error)) < 600
    for size in (1, 10, 100, 1000):
        for _ in range(50):
            refused(b"\x80\x02" + random.integers(0, 256, size, dtype=np.uint8).tobytes(), 4 * MIB)


@pytest.mark.parametrize("protocol", range(6))
def test_a_whole_batch_with_names_of_files_is_read(batch: Make, protocol: int) -> None:
    """As CIFAR has it: names, a title, and lists that several entries share."""
    rows, labels = batch(2_000)
    listed = labels.tolist()
    entries = {
        "data": rows,
        "labels": listed,
        "fine_labels": listed,
        "filenames": [f"a_photo_s_{number:06}.png" for number in range(2_000)],
        "batch_label": "training batch 1 of 5",
        "mean": rows.mean(0),
    }
    found = archive.pickled_examples(bytearray(pickle.dumps(entries, protocol)), "labels", SHAPE)
    assert np.array_equal(found.pixels.flatten(1).numpy(), rows)
    assert found.labels.tolist() == listed


@pytest.mark.parametrize("kind", [">i4", ">i8", ">u2"])
def test_another_order_of_bytes_is_refused(batch: Make, kind: str) -> None:
    rows, labels = batch(3)
    with pytest.raises(DataError, match="only plain numbers"):
        content = pickle.dumps({"data": rows, "labels": labels.astype(kind)})
        archive.pickled_examples(bytearray(content), "labels", SHAPE)
