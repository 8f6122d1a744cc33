"""The state of a reader of pickles: a stack, a memory, and budgets that are kept before a value is taken up."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from energy.data.pickled import Chunk, Container, Described, Kind, Name
from energy.errors import DataError, shown

VALUES: Final = 4_000_000  # values in the tree, those that stand in several places counted each time
LETTERS: Final = 1 << 26  # bytes of all short texts
SHORT: Final = 1 << 16  # bytes of a text that is made into one
DEEPEST: Final = 8  # containers inside each other
WIDEST: Final = 16  # entries of a tuple
MARK: Final = object()


@dataclass(slots=True)
class PickleMachine:
    """The state of a reader.

    Attributes:
        content: the file.
        names: the names that it may ask for, by module and name.
    """

    content: memoryview
    names: dict[tuple[str, str], Name]
    at: int = 0
    letters: int = 0
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def take(self, count: int) -> memoryview:
        """The next bytes of the file."""
        found = self.content[self.at : self.at + count]
        if len(found) < count:
            raise DataError(f"damaged or cut off: {count} bytes are announced at byte {self.at}")
        self.at += count
        return found

    def whole(self, count: int) -> int:
        """A whole number of `count` bytes, the smallest first."""
        return int.from_bytes(self.take(count), "little")

    def line(self) -> memoryview:
        """The bytes up to the end of the line."""
        end = self.content.obj.find(b"\n", self.at)  # pyright: ignore[reportAttributeAccessIssue]
        if end < 0:
            raise DataError("damaged or cut off: a line has no end")
        found = self.take(end - self.at)
        self.at += 1
        return found

    def text(self, view: memoryview, encoding: str) -> str | Chunk:
        """A short text as one, a long one as a view."""
        if len(view) > SHORT:
            return Chunk(view, encoding)
        self.letters += len(view)
        if self.letters > LETTERS:
            raise DataError(f"holds texts of more than {LETTERS} bytes")
        return str(view, encoding)

    def raw(self, view: memoryview) -> bytes | Chunk:
        """A short row of bytes as one, a long one as a view."""
        self.letters += len(view) if len(view) <= SHORT else 0
        return Chunk(view, "bytes") if len(view) > SHORT or self.letters > LETTERS else bytes(view)

    def since_mark(self) -> list[Any]:
        """Take everything off the stack down to the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise DataError("damaged: a mark is missing")
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def put(self, slot: int) -> None:
        """Remember the top of the stack."""
        if slot > len(self.content):
            raise DataError(f"asks for {slot} memo slots, more than it has bytes")
        self.memo[slot] = self.stack[-1]

    def add(self, above: Any, items: list[Any]) -> None:
        """Count values into the container that takes them up."""
        if not isinstance(above, Container) or above.closed:
            raise DataError("damaged, or no image batch: a container is changed after it stands in another")
        for item in items:
            above.values += 1
            if item is above:
                raise DataError("damaged: a container is put into itself")
            if item is above:
                raise DataError("damaged: a container is put into itself")
            if isinstance(item, Container):
                item.closed = True
                above.values += item.values - 1
                above.depth = max(above.depth, item.depth + 1)
        if above.depth > DEEPEST:
            raise DataError(f"nests containers more than {DEEPEST} deep")
        if above.values > VALUES:
            raise DataError(f"holds more than {VALUES} values, those that stand in several places counted each time")

    def tuple(self, items: list[Any]) -> None:
        """Put a tuple on the stack."""
        if len(items) > WIDEST:
            raise DataError(f"holds a tuple of {len(items)} entries; must have at most {WIDEST}")
        made = Container(())
        self.add(made, items)
        made.items = tuple(items)
        self.stack.append(made)

    def append(self, items: list[Any]) -> None:
        """Extend the list on top of the stack."""
        above = self.stack[-1]
        self.add(above, items)
        if not isinstance(above.items, list):
            raise DataError("damaged: entries are added to what is no list")
        above.items += items

    def set(self, items: list[Any]) -> None:
        """Set entries of the dictionary on top of the stack."""
        above = self.stack[-1]
        keys, values = items[::2], items[1::2]
        self.add(above, items)
        if not isinstance(above.items, dict) or len(keys) != len(values):
            raise DataError("damaged: entries are set in what is no dictionary")
        for key, value in zip(keys, values, strict=True):
            if not isinstance(key, str | bytes):
                raise DataError(f"has a key that is a {type(key).__name__}; must be a text")
            above.items[key] = value

    def name(self, module: Any, title: Any) -> None:
        """Put a known name on the stack."""
        if not isinstance(module, str) or not isinstance(title, str) or (module, title) not in self.names:
            said = shown(f"{module}.{title}")
            raise DataError(f"asks for {said}, which image batches do not need; refused")
        self.stack.append(self.names[module, title])

    def reduce(self) -> None:
        """Replace a name and its arguments by the value that they describe."""
        arguments, name = self.stack.pop(), self.stack.pop()
        given = arguments.items if isinstance(arguments, Container) else None
        if not isinstance(name, Name) or name.call is None or not isinstance(given, tuple):
            raise DataError("damaged, or no image batch: something is called that cannot be")
        self.stack.append(name.call(*given))

    def build(self) -> None:
        """Give an array or a type the state on top of the stack."""
        state, made = self.stack.pop(), self.stack[-1]
        given = state.items if isinstance(state, Container) else None
        if not isinstance(made, Described | Kind) or not isinstance(given, tuple):
            raise DataError("damaged, or no image batch: a state is set on what has none")
        made.build(given)

    def number(self) -> int:
        """A decimal whole number of protocol 0, with `L` behind it or not; 00 and 01 are truth values."""
        line = self.line()
        view = bytes(line[:32])
        if view in (b"00", b"01"):
            return view == b"01"
        if not re.fullmatch(rb"-?[0-9]{1,20}L?", view):
            raise DataError(f"damaged, or no image batch: {shown(view)} is no whole number of image batches")
        return int(view.rstrip(b"L"))

    def long(self, count: int) -> int:
        """A whole number of `count` bytes with a sign."""
        if count > 9:
            raise DataError(f"holds a whole number of {count} bytes; must be below 2**63")
        return int.from_bytes(self.take(count), "little", signed=True)
