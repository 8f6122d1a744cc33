"""Pickled image batches, read without running code from the file; no other module of this project reads pickles.

Of all names a pickle may ask for, five are known: `numpy.ndarray`, `numpy.dtype`, `_reconstruct`, `_frombuffer` and
`_codecs.encode`. They are answered by stand-ins that only note the description of an array in the file; not even NumPy
is called before type, shape and number of bytes are seen to agree. Protocols 0 to 5, Python 2 included.
"""

import math
from typing import Any, Final

import numpy as np
import torch

from energy.data.check import Examples
from energy.data.opcodes import unpickled
from energy.data.pickled import Container, Described, Name, described_array, described_kind, encoded
from energy.errors import DataError, shown

CORES: Final = ("core", "_core")  # of NumPy, before and since 2.0
RECONSTRUCT: Final = Name(lambda kind, shape, code: Described())
KNOWN: Final[dict[tuple[str, str], Name]] = {
    ("numpy", "ndarray"): Name(),
    ("numpy", "dtype"): Name(described_kind),
    ("_codecs", "encode"): Name(encoded),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): RECONSTRUCT for core in CORES},
    **{(f"numpy.{core}.numeric", "_frombuffer"): Name(described_array) for core in CORES},
}


def pickled_examples(content: bytearray, label: str, shape: tuple[int, int, int]) -> Examples:
    """Read the entries `data` and a list of labels from one pickled batch.

    Args:
        content: the file; its `data` are uint8 (N, C*H*W), its labels N integers.
        label: name of the entry with the labels.
        shape: (C, H, W) of an image.

    Raises:
        DataError: for a file that asks for any other name, is cut off, or does not hold these two entries.
    """
    entries = _load(content)
    data, labels = (_entry(entries, name) for name in ("data", label))
    if isinstance(labels, list) and all(type(value) is int and 0 <= value < 2**31 for value in labels):
        labels = np.array(labels, np.int64)
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        raise DataError(f"its entry {label!r} is not a list of class numbers")
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or data.ndim != 2
        or data.shape[1] != math.prod(shape)
    ):
        raise DataError(f"its entry 'data' is not an array of bytes with rows of {math.prod(shape)}")
    return Examples(torch.from_numpy(data.reshape(-1, *shape)), torch.from_numpy(labels.astype(np.int64)))


def _load(content: bytearray) -> dict[Any, Any]:
    entries = unpickled(content, KNOWN)
    if not isinstance(entries, Container) or not isinstance(entries.items, dict):
        kind = type(entries.items if isinstance(entries, Container) else entries).__name__
        raise DataError(f"holds a {kind}; must hold a dictionary")
    return entries.items


def _entry(entries: dict[Any, Any], name: str) -> Any:
    value = entries.get(name, entries.get(name.encode()))
    if value is None:
        raise DataError(f"has no entry {name!r}; it has {shown(', '.join(sorted(map(str, entries))))}")
    if isinstance(value, Described):
        return value.array()
    return value.items if isinstance(value, Container) else value
