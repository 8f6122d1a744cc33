"""Pickled image batches, read without running code from the file; no other module of this project reads pickles.

Of all names a pickle may ask for, five are known: `numpy.ndarray`, `numpy.dtype`, `_reconstruct`, `_frombuffer` and
`_codecs.encode`. They are answered by stand-ins that only note the description of an array in the file; not even NumPy
is called before type, shape and number of bytes are seen to agree. Protocols 0 to 5, Python 2 included.
"""

import io
import math
import pickle
import pickletools
from typing import Any

import numpy as np
import torch

from energy.data.check import Examples
from energy.errors import DataError

TYPES = {"u1": np.uint8, "i4": np.int32, "i8": np.int64, "f4": np.float32, "f8": np.float64}


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
    try:
        _survey(content)
        entries = _Reader(io.BytesIO(content), encoding="latin1").load()
    except DataError:
        raise
    except Exception as error:  # whatever a malformed stream of opcodes can provoke
        raise DataError(f"not a readable pickle, damaged or cut off: {error}") from None
    if not isinstance(entries, dict):
        raise DataError(f"holds a {type(entries).__name__}; must hold a dictionary")
    return entries


def _survey(content: bytearray) -> None:
    """Walk over the opcodes without obeying them: lengths must fit, and no memo slot may lie beyond the file's size."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name.endswith("PUT") and argument is not None and argument > len(content):
            raise DataError(f"asks for {argument} memo slots, more than it has bytes")


def _entry(entries: dict[Any, Any], name: str) -> Any:
    value = entries.get(name, entries.get(name.encode()))
    if value is None:
        raise DataError(f"has no entry {name!r}; it has {', '.join(sorted(map(str, entries)))[:200]}")
    return value.array() if isinstance(value, _Array) else value


class _Array:
    """The description of an array in a pickle."""

    state: tuple[Any, Any, Any, Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, data = state
        self.state = shape, kind, fortran, data

    def array(self) -> np.ndarray:
        """Return the array itself, if its bytes are those that its type and shape announce."""
        shape, kind, fortran, data = self.state or ((), None, False, b"")
        if not isinstance(kind, _Kind) or kind.code not in TYPES or kind.order not in {"|", "<", "="}:
            raise DataError("holds an array of objects or of an unknown type; only plain numbers are read")
        if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
            raise DataError("holds an array whose shape is not a row of sizes")
        data = data.encode("latin1") if isinstance(data, str) else data
        wanted = math.prod(shape) * np.dtype(TYPES[kind.code]).itemsize
        if not isinstance(data, bytes | bytearray) or len(data) != wanted:
            raise DataError(f"announces an array of shape {shape}, {wanted} bytes, but does not hold them")
        return np.frombuffer(bytearray(data), TYPES[kind.code]).reshape(shape, order="F" if fortran else "C")


class _Kind:
    """The description of an array's element type in a pickle."""

    def __init__(self, code: object) -> None:
        self.code, self.order = str(code), "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = str(state[1])


class _Name:
    """A stand-in for a name; no attribute of it can be set, so that one file leaves nothing behind for the next."""

    __slots__ = ()


class _NdArray(_Name):
    __slots__ = ()


class _Dtype(_Name):
    __slots__ = ()

    def __call__(self, code: object, align: object = False, copy: object = True) -> _Kind:
        return _Kind(code)


class _Reconstruct(_Name):
    __slots__ = ()

    def __call__(self, kind: object, shape: object, code: object) -> _Array:
        return _Array()


class _FromBuffer(_Name):
    __slots__ = ()

    def __call__(self, data: object, kind: object, shape: object, order: str, axes: None = None) -> _Array:
        if order not in {"C", "F"}:
            raise DataError(f"holds an array in the order {order!r}; must be C or F")
        array = _Array()
        array.__setstate__((1, shape, kind, order == "F", data))
        return array


class _Encode(_Name):
    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding not in {"latin1", "latin-1"}:
            raise DataError(f"asks for the text encoding {encoding!r}; must be latin1")
        return text.encode("latin1")


KNOWN: dict[tuple[str, str], _Name] = {
    ("numpy", "ndarray"): _NdArray(),
    ("numpy", "dtype"): _Dtype(),
    ("_codecs", "encode"): _Encode(),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Reconstruct() for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FromBuffer() for core in ("core", "_core")},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in KNOWN:
            raise DataError(f"asks for {module_name}.{global_name}, which image batches do not need; refused")
        return KNOWN[module_name, global_name]
