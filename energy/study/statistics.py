"""Mean and standard deviation, and their format."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from energy.errors import UsageError


def sample_statistics(values: Sequence[float]) -> dict[str, Any]:
    """Return `{"mean", "sd", "n", "values"}` of finite numbers; `sd` divides by n - 1 and is None for a single one.

    Raises:
        ValueError: when there is nothing to summarize, or a value is not finite.
    """
    if not values:
        raise UsageError("there are no values to summarize")
    if not all(math.isfinite(value) for value in values):
        raise UsageError(f"values={list(values)}: must be finite to be summarized")
    mean = math.fsum(values) / len(values)
    spread = math.fsum((value - mean) ** 2 for value in values)
    sd = math.sqrt(spread / (len(values) - 1)) if len(values) > 1 else None
    return {"mean": mean, "sd": sd, "n": len(values), "values": list(values)}


def plus_minus(stats: Mapping[str, Any], digits: int = 2) -> str:
    """Format `mean ± s.d.`, or the mean alone if there is one value.

    Example:
        >>> plus_minus(sample_statistics([97.0, 98.0, 99.0]))
        '98.00 ± 1.00'
    """
    mean = f"{stats['mean']:.{digits}f}"
    return mean if stats["sd"] is None else f"{mean} ± {stats['sd']:.{digits}f}"


def number(value: float | None, form: str, missing: str = "–") -> str:
    """Format a number by `form`; None gives `missing`.

    Example:
        >>> number(3.14159, ".2f")
        '3.14'
    """
    return missing if value is None else format(value, form)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table, padded: the first column to the left, the others to the right."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(head))]

    rule = ["-" * widths[0], *["-" * (width - 1) + ":" for width in widths[1:]]]
    lines = [_padded(row, widths) for row in cells]
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]]) + "\n"


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    return f"| {' | '.join([first[0].ljust(first[1]), *[cell.rjust(width) for cell, width in others]])} |"
