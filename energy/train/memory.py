"""Out of memory, in one line: the place, the amount that was wanted, and the fields to make smaller."""

import re
from typing import Final

WORDS: Final = ("can't allocate memory", "out of memory", "not enough memory", "bad_alloc", "unable to allocate")
WANTED: Final = re.compile(r"allocate ([\d.,]+ ?[A-Za-z]+)")


def lacks_memory(error: BaseException) -> bool:
    """True for an error of exhausted memory, on the CPU (`MemoryError`, torch's allocator) or on a GPU."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in WORDS)


def memory_line(error: BaseException, where: str, cure: str) -> str:
    """Write `out of memory <where>, <amount> wanted at once: <cure>`."""
    found = WANTED.search(str(error))
    wanted = f", {_amount(found[1])} wanted at once" if found else ""
    return f"out of memory{' ' * bool(where)}{where}{wanted}: {cure}"


def _amount(text: str) -> str:
    number, _, unit = text.partition(" ")
    return f"{int(number) / 2**30:.3g} GiB" if unit == "bytes" and number.isdigit() else text
