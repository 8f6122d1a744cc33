"""Values of a restricted pickle: containers whose size is known at any time, views of the file, described arrays."""

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from energy.errors import DataError, shown

DECODED: Final = 1 << 16  # bytes of a long text that are decoded at once
ESCAPED: Final = 1 << 27  # bytes of a text with escapes
TYPES: Final = {"u1": np.uint8, "i4": np.int32, "i8": np.int64, "f4": np.float32, "f8": np.float64}
ORDERS: Final = frozenset({"|", "<", "="})


@dataclass(frozen=True, slots=True)
class Chunk:
    """A long text or a row of bytes in the file, with the way in which its letters are written.

    Attributes:
        view: the bytes in the file.
        encoding: `bytes`, `utf-8`, `raw-unicode-escape` (of protocol 0), or `latin1`.
    """

    view: memoryview
    encoding: str

    def plain(self) -> memoryview | bytearray | bytes:
        """Return the bytes that the letters, all below 256, stand for.

        Raises:
            DataError: for a letter above, and for a text that is not in its encoding.
        """
        if self.encoding in ("bytes", "latin1"):
            return self.view
        try:
            if self.encoding != "utf-8":
                return str(self.view, self.encoding).encode("latin1")
            decode, out = codecs.getincrementaldecoder("utf-8")().decode, bytearray()
            for at in range(0, len(self.view), DECODED):
                out += decode(self.view[at : at + DECODED]).encode("latin1")
        except UnicodeError:
            raise DataError("holds a text with letters above 255 in place of bytes") from None
        return out


@dataclass(slots=True)
class Container:
    """A list, a tuple or a dictionary.

    Attributes:
        items: its entries; those of a dictionary by key.
        values: the number of values in it, itself included.
        depth: the containers inside each other, itself included.
        closed: whether it stands in another container.
    """

    items: Any
    values: int = 1
    depth: int = 1
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Name:
    """A name that a pickle may ask for; `call` makes a value of arguments, if it may be called."""

    call: Callable[..., Any] | None = None


@dataclass(slots=True)
class Kind:
    """The type of an array's elements, such as `u1`, and the order of their bytes."""

    code: str
    order: str = "|"

    def build(self, state: tuple[Any, ...]) -> None:
        """Take the order from a state."""
        if len(state) < 2 or not isinstance(state[1], str):
            raise DataError("damaged: the state of a type has no order of bytes")
        self.order = state[1]


@dataclass(slots=True)
class Described:
    """An array as a pickle describes it, which no value of the pickle can nest any deeper."""

    shape: tuple[int, ...] = ()
    kind: Kind | None = None
    fortran: bool = False
    data: str | bytes | Chunk = b""

    def build(self, state: tuple[Any, ...]) -> None:
        """Take shape, type and bytes from a state.

        Raises:
            DataError: for anything that is no array of plain numbers.
        """
        if len(state) != 5:
            raise DataError("damaged: the state of an array has not five entries")
        _, shape, kind, fortran, data = state
        self.shape, self.fortran = shape_sizes(shape), fortran is True or fortran == 1
        if not isinstance(kind, Kind) or not isinstance(data, str | bytes | Chunk):
            raise DataError("holds an array of objects or of an unknown type; only plain numbers are read")
        self.kind, self.data = kind, data

    def array(self) -> np.ndarray:
        """Return the array itself, if its bytes are those that its type and shape announce."""
        kind = self.kind
        if kind is None or kind.code not in TYPES or kind.order not in ORDERS:
            raise DataError("holds an array of objects or of an unknown type; only plain numbers are read")
        wanted = np.dtype(TYPES[kind.code]).itemsize
        for size in self.shape:
            wanted *= size
        data = self.data.plain() if isinstance(self.data, Chunk) else self.data
        data = data.encode("latin1", "replace") if isinstance(data, str) else data
        if len(data) != wanted:
            raise DataError(f"announces an array of shape {self.shape}, {wanted} bytes, but does not hold them")
        held = data if isinstance(data, bytearray) or not memoryview(data).readonly else bytearray(data)
        return np.frombuffer(held, TYPES[kind.code]).reshape(self.shape, order="F" if self.fortran else "C")


def shape_sizes(shape: object) -> tuple[int, ...]:
    """Return the sizes in a tuple of a pickle.

    Raises:
        DataError: when they are no shape of an array.
    """
    items = shape.items if isinstance(shape, Container) else None
    if not isinstance(items, tuple) or not all(type(size) is int and 0 <= size < 2**40 for size in items):
        raise DataError("holds an array whose shape is not a row of sizes")
    return items


def described_kind(code: object, align: object = False, copy: object = True) -> Kind:
    """Return the type that `numpy.dtype(code)` names."""
    if not isinstance(code, str | bytes) or len(code) > 8:
        raise DataError(f"holds a type that is named by {shown(type(code).__name__)}; only plain numbers are read")
    return Kind(code if isinstance(code, str) else code.decode("latin1"))


def described_array(data: object, kind: object, shape: object, order: object, axes: None = None) -> Described:
    """Return the array that protocol 5 describes in one call.

    Args:
        data: its bytes.
        kind: the type of its elements.
        shape: its sizes.
        order: `C` or `F`.
        axes: never given.

    Raises:
        DataError: for anything that is no array of plain numbers.
    """
    if order not in ("C", "F"):
        raise DataError(f"holds an array in the order {shown(order)!r}; must be C or F")
    array = Described()
    array.build((1, shape, kind, order == "F", data))
    return array


def encoded(text: object, encoding: object) -> bytes | Chunk:
    """Return the bytes that protocol 2 writes as a text."""
    if encoding not in ("latin1", "latin-1"):
        raise DataError(f"asks for the text encoding {shown(encoding)!r}; must be latin1")
    if isinstance(text, Chunk):
        return Chunk(memoryview(text.plain()), "bytes")
    if not isinstance(text, str):
        raise DataError("damaged: something that is no text is encoded")
    return text.encode("latin1")
