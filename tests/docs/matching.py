"""Whether what was printed is what the page shows.

``...`` stands for anything. White space is white space. Whole numbers are compared exactly, and so is text. A number
with a decimal point may be off by a tenth (or by 0.01), and one written with an exponent, which is an order of
magnitude, by a factor of three: processors differ in their last digits, and trained networks in more.
"""

import re
from typing import Final

NUMBER: Final = re.compile(r"(?<![\w.])([+-]?\d+\.\d+(?:e[+-]?\d+)?|[+-]?\d+e[+-]?\d+)(?![\w]|\.\d)")


def mismatch(shown: str, printed: str) -> str:
    """What differs, in words; empty if nothing does."""
    numbers: list[str] = []
    parts = [_pattern(part, numbers) for part in re.split(r"\.\.\.", shown.strip())]
    found = re.fullmatch(r"[\s\S]*?".join(parts), printed.strip())
    if found is None:
        return f"shown:\n{shown}\nprinted:\n{printed}"
    for wanted, got in zip(numbers, found.groups(), strict=True):
        if not _near(wanted, float(got)):
            return f"shown {wanted}, printed {got}, in:\n{printed}"
    return ""


def _near(shown: str, printed: float) -> bool:
    wanted = float(shown)
    if "e" in shown:
        return wanted / 3 <= printed <= wanted * 3
    return abs(printed - wanted) <= max(0.1 * abs(wanted), 0.01)


def _pattern(text: str, numbers: list[str]) -> str:
    """A pattern with a group for every decimal number of ``text``, which is added to ``numbers``."""
    pieces, end = [], 0
    for found in NUMBER.finditer(text):
        pieces += [_spaced(text[end : found.start()]), r"([+-]?\d+\.?\d*(?:e[+-]?\d+)?)"]
        numbers.append(found[0])
        end = found.end()
    return "".join([*pieces, _spaced(text[end:])])


def _spaced(text: str) -> str:
    return r"\s+".join(re.escape(word) for word in re.split(r"\s+", text))
