"""Numbers as words of a report, and lists of them."""

from collections.abc import Sequence


def number_text(value: float | None, digits: int = 3) -> str:
    """Return a number with so many significant digits, without an exponent where it is readable; None as a dash.

    Example:
        >>> number_text(1234.5), number_text(0.0123456), number_text(7.0), number_text(None)
        ('1,234', '0.0123', '7.00', '–')
    """
    if value is None:
        return "–"
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits}g}"
    whole = len(f"{abs(value):.0f}")
    if abs(value) >= 10 ** (digits - 1) or not value:
        return f"{value:,.0f}"
    places = digits - whole if abs(value) >= 1 else digits - 1 - _exponent(value)
    return f"{value:.{places}f}"


def seconds_text(value: float | None) -> str:
    """Return a time with its unit; None as a dash.

    Example:
        >>> seconds_text(0.0123), seconds_text(2.5), seconds_text(5400.0)
        ('12.3 ms', '2.50 s', '1.50 h')
    """
    if value is None:
        return "–"
    for unit, least in (("h", 3600.0), ("s", 1.0), ("ms", 1e-3)):
        if value >= least:
            return f"{number_text(value / least)} {unit}"
    return f"{number_text(value * 1e6)} µs"


def listed(parts: Sequence[str], last: str = "and") -> str:
    """Return the parts as an enumeration.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a", "b"], "or"), listed(["a"])
        ('a, b and c', 'a or b', 'a')
    """
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def quoted(label: str) -> str:
    """Return a label between quotation marks."""
    return f"“{label}”"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    Example:
        >>> counted(1, "seed"), counted(3, "seed")
        ('1 seed', '3 seeds')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _exponent(value: float) -> int:
    """The power of ten of the first digit, after rounding to three."""
    return int(f"{value:.2e}".partition("e")[2])
