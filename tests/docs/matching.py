"""Whether what was printed is what the page shows.

``...`` stands for anything. White space is white space. Whole numbers are compared exactly, and so is text; a number
with a decimal point or an exponent may be off by a tenth (or by 0.01), since processors differ in their last digits and
trained networks in more.
"""

import re
from typing import Final

NUMBER: Final = re.compile(r"(?<![\w.])([+-]?\d+\.\d+(?:e[+-]?\d+)?|[+-]?\d+e[+-]?\d+)(?![\w]|\.\d)")


def mismatch(shown: str, printed: str) -> str:
    """What differs, in words; empty if nothing does."""
    numbers: list[float] = []
    parts = [_pattern(part, numbers) for part in re.split(r"\.\.\.", shown.strip())]
    found = re.fullmatch(r"[\s\S]*?".join(parts), printed.strip())
    if found is None:
        return f"shown:\n{shown}\nprinted:\n{printed}"
    for wanted, got in zip(numbers, found.groups(), strict=True):
        if abs(float(got) - wanted) > max(0.1 * abs(wanted), 0.01):
            return f"shown {wanted:g}, printed {got}, in:\n{printed}"
    return ""


def _pattern(text: str, numbers: list[float]) -> str:
    """A pattern with a group for every decimal number of ``text``, which is added to ``numbers``."""
    pieces, end = [], 0
    for found in NUMBER.finditer(text):
        pieces += [_spaced(text[end : found.start()]), r"([+-]?\d+\.?\d*(?:e[+-]?\d+)?)"]
        numbers.append(float(found[0]))
        end = found.end()
    return "".join([*pieces, _spaced(text[end:])])


def _spaced(text: str) -> str:
    return r"\s+".join(re.escape(word) for word in re.split(r"\s+", text))
