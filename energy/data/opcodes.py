"""A restricted reader of pickles: values of image batches, and nothing that could run, hash or grow.

It obeys the opcodes that plain data and NumPy arrays need, of protocols 0 to 5, Python 2 included, and refuses every
other. Values form a tree whose size is known at any time: a container that stands in another is finished, and one that
stands in several counts each time. Keys are texts. Long texts and bytes are views of the file.

Reference:
    The comments of `pickletools` in Python's standard library, which describe every opcode.
"""

import codecs
import struct
from collections.abc import Callable
from typing import Any, Final

from energy.data.pickle_machine import MARK, PickleMachine
from energy.data.pickled import ESCAPED, Container, Name
from energy.errors import DataError

STEPS: Final = 1_000_000  # opcodes


def unpickled(content: bytearray, names: dict[tuple[str, str], Name]) -> Any:
    """Return the value that a pickle describes: texts, numbers, containers, described arrays.

    Args:
        content: the file.
        names: the names that it may ask for, by module and name.

    Raises:
        DataError: for a file that is damaged, asks for anything else, or leads above a limit.
    """
    machine = PickleMachine(memoryview(content), names)
    try:
        for _ in range(STEPS):
            code = machine.take(1)[0]
            name = OPCODES.get(code)
            if name is None:
                place = f"{code:#04x} at byte {machine.at - 1}"
                raise DataError(f"damaged, or no image batch: no batch needs the opcode {place}")
            if name == "STOP":
                return machine.stack.pop()
            _step(machine, name)
    except DataError:
        raise
    except Exception as error:  # an empty stack, a slot without a value, a text that is not in its encoding
        raise DataError(f"damaged or cut off at byte {machine.at} ({type(error).__name__})") from None
    raise DataError(f"has more than {STEPS} opcodes, the most that are read")


def _step(machine: PickleMachine, name: str) -> None:
    """Obey one opcode."""
    if name in READERS:
        machine.stack.append(READERS[name](machine))
    elif name in CONSTANTS:
        machine.stack.append(CONSTANTS[name])
    elif name in MADE:
        machine.stack.append(Container(MADE[name]()))
    else:
        ACTIONS[name](machine)


def _quoted(machine: PickleMachine) -> Any:
    """A text of Python 2 in quotes, with escapes."""
    view = machine.line()
    if len(view) < 2 or view[0] != view[-1] or view[0] not in b"'\"":
        raise DataError("damaged: a text has no quotes")
    if len(view) > ESCAPED:
        raise DataError(f"holds a text in quotes of {len(view)} bytes; must have at most {ESCAPED}")
    plain = codecs.escape_decode(bytes(view[1:-1]))[0]  # pyright: ignore[reportAttributeAccessIssue]
    return machine.text(memoryview(plain), "latin1")


def _real(machine: PickleMachine) -> float:
    view = machine.line()
    if len(view) > 40:
        raise DataError("damaged: a number has more than 40 letters")
    return float(bytes(view))


def _letters(machine: PickleMachine) -> Any:
    """A text of protocol 0."""
    view = machine.line()
    if len(view) > ESCAPED:
        raise DataError(f"holds a text with escapes of {len(view)} bytes; must have at most {ESCAPED}")
    return machine.text(view, "raw-unicode-escape")


def _global(machine: PickleMachine) -> None:
    module, name = machine.line()[:200], machine.line()[:200]
    machine.name(str(module, "utf-8", "replace"), str(name, "utf-8", "replace"))


def _stack_global(machine: PickleMachine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.name(module, name)


def _pairs(machine: PickleMachine) -> None:
    made = machine.since_mark()
    machine.stack.append(Container({}))
    machine.set(made)


def _listed(machine: PickleMachine) -> None:
    made = machine.since_mark()
    machine.stack.append(Container([]))
    machine.append(made)


def _one_pair(machine: PickleMachine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.set([key, value])


def _protocol(number: int) -> None:
    if number > 5:
        raise DataError(f"damaged, or of protocol {number}; 0 to 5 are read")


OPCODES: Final = {
    code: name
    for name, code in {
        "MARK": 0x28, "STOP": 0x2E, "POP": 0x30, "POP_MARK": 0x31, "DUP": 0x32, "FLOAT": 0x46, "INT": 0x49,
        "BININT": 0x4A, "BININT1": 0x4B, "LONG": 0x4C, "BININT2": 0x4D, "NONE": 0x4E, "REDUCE": 0x52, "STRING": 0x53,
        "BINSTRING": 0x54, "SHORT_BINSTRING": 0x55, "UNICODE": 0x56, "BINUNICODE": 0x58, "APPEND": 0x61, "BUILD": 0x62,
        "GLOBAL": 0x63, "DICT": 0x64, "EMPTY_DICT": 0x7D, "APPENDS": 0x65, "GET": 0x67, "BINGET": 0x68,
        "LONG_BINGET": 0x6A, "LIST": 0x6C, "EMPTY_LIST": 0x5D, "PUT": 0x70, "BINPUT": 0x71, "LONG_BINPUT": 0x72,
        "SETITEM": 0x73, "TUPLE": 0x74, "EMPTY_TUPLE": 0x29, "SETITEMS": 0x75, "BINFLOAT": 0x47, "PROTO": 0x80,
        "TUPLE1": 0x85, "TUPLE2": 0x86, "TUPLE3": 0x87, "NEWTRUE": 0x88, "NEWFALSE": 0x89, "LONG1": 0x8A,
        "LONG4": 0x8B, "BINBYTES": 0x42, "SHORT_BINBYTES": 0x43, "SHORT_BINUNICODE": 0x8C, "BINUNICODE8": 0x8D,
        "BINBYTES8": 0x8E, "STACK_GLOBAL": 0x93, "MEMOIZE": 0x94, "FRAME": 0x95, "BYTEARRAY8": 0x96,
    }.items()
}  # fmt: skip
CONSTANTS: Final = {"MARK": MARK, "NONE": None, "NEWTRUE": True, "NEWFALSE": False}
MADE: Final[dict[str, Callable[[], Any]]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
READERS: Final[dict[str, Callable[[PickleMachine], Any]]] = {
    "INT": PickleMachine.number,
    "LONG": PickleMachine.number,
    "FLOAT": _real,
    "BININT": lambda machine: machine.long(4),
    "BININT1": lambda machine: machine.whole(1),
    "BININT2": lambda machine: machine.whole(2),
    "LONG1": lambda machine: machine.long(machine.whole(1)),
    "LONG4": lambda machine: machine.long(machine.whole(4)),
    "BINFLOAT": lambda machine: struct.unpack(">d", machine.take(8))[0],
    "STRING": _quoted,
    "BINSTRING": lambda machine: machine.text(machine.take(machine.whole(4)), "latin1"),
    "SHORT_BINSTRING": lambda machine: machine.text(machine.take(machine.whole(1)), "latin1"),
    "UNICODE": _letters,
    "BINUNICODE": lambda machine: machine.text(machine.take(machine.whole(4)), "utf-8"),
    "SHORT_BINUNICODE": lambda machine: machine.text(machine.take(machine.whole(1)), "utf-8"),
    "BINUNICODE8": lambda machine: machine.text(machine.take(machine.whole(8)), "utf-8"),
    "BINBYTES": lambda machine: machine.raw(machine.take(machine.whole(4))),
    "SHORT_BINBYTES": lambda machine: machine.raw(machine.take(machine.whole(1))),
    "BINBYTES8": lambda machine: machine.raw(machine.take(machine.whole(8))),
    "BYTEARRAY8": lambda machine: machine.raw(machine.take(machine.whole(8))),
    "GET": lambda machine: machine.memo[machine.number()],
    "BINGET": lambda machine: machine.memo[machine.whole(1)],
    "LONG_BINGET": lambda machine: machine.memo[machine.whole(4)],
    "DUP": lambda machine: machine.stack[-1],
}
ACTIONS: Final[dict[str, Callable[[PickleMachine], Any]]] = {
    "PROTO": lambda machine: _protocol(machine.whole(1)),
    "FRAME": lambda machine: machine.take(8),
    "POP": lambda machine: machine.stack.pop(),
    "POP_MARK": PickleMachine.since_mark,
    "PUT": lambda machine: machine.put(machine.number()),
    "BINPUT": lambda machine: machine.put(machine.whole(1)),
    "LONG_BINPUT": lambda machine: machine.put(machine.whole(4)),
    "MEMOIZE": lambda machine: machine.put(len(machine.memo)),
    "TUPLE": lambda machine: machine.tuple(machine.since_mark()),
    "TUPLE1": lambda machine: machine.tuple([machine.stack.pop()]),
    "TUPLE2": lambda machine: machine.tuple([machine.stack.pop() for _ in range(2)][::-1]),
    "TUPLE3": lambda machine: machine.tuple([machine.stack.pop() for _ in range(3)][::-1]),
    "APPEND": lambda machine: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine: machine.append(machine.since_mark()),
    "SETITEM": _one_pair,
    "SETITEMS": lambda machine: machine.set(machine.since_mark()),
    "LIST": _listed,
    "DICT": _pairs,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": PickleMachine.reduce,
    "BUILD": PickleMachine.build,
}
