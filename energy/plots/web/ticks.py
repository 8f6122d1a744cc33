"""Labels of logarithmic axes: powers of ten, with digits between them where an axis spans few."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from energy.plots.chart import Chart, Panel

FEWEST: Final = 0.8  # decades of an axis below which most digits have labels
FEW: Final = 2.2  # decades below which 2 and 5 have labels
MOST_DIGITS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
FEW_DIGITS: Final = (1.0, 2.0, 5.0)
LABELS: Final = 5  # powers of ten that have labels, at most
PLAIN: Final = (1e-3, 1e5)  # between these a number is written out


def log_ticks(chart: Chart, panel: Panel, letter: str) -> dict[str, Any]:
    """Return plotly's ticks for a logarithmic axis of a panel, whichever choice is shown.

    Args:
        chart: which has the choices.
        panel: one of its panels.
        letter: `x` or `y`.
    """
    spans = [span for choice in chart.choices or ("",) if (span := _span(panel, choice, letter))]
    if not spans:
        return {"tickmode": "auto"}
    low, high = min(low for low, _ in spans), max(high for _, high in spans)
    decades = max(math.log10(high / low) for low, high in spans)
    step = max(1, math.ceil(decades / LABELS))
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    digits = MOST_DIGITS if decades < FEWEST else FEW_DIGITS if decades < FEW else (1.0,)
    pairs = [(digit, power) for power in powers for digit in digits if power % step == 0]
    texts = [tick_text(digit, power) for digit, power in pairs]
    return {"tickmode": "array", "tickvals": [float(f"{digit}e{power}") for digit, power in pairs], "ticktext": texts}


def tick_text(digit: float, power: int) -> str:
    """Return the label of a number, written out where that is short.

    Example:
        >>> tick_text(2, -1), tick_text(1, -6), tick_text(5, 6)
        ('0.2', '10<sup>−6</sup>', '5·10<sup>6</sup>')
    """
    value = float(f"{digit}e{power}")
    if PLAIN[0] <= value < PLAIN[1]:
        return f"{value:g}"
    ten = f"10<sup>{str(power).replace('-', '−')}</sup>"
    return ten if digit == 1 else f"{digit:g}·{ten}"


def _span(panel: Panel, choice: str, letter: str) -> tuple[float, float] | None:
    """The least and the greatest positive number along an axis with a choice."""
    found = list(_positive([one for series in panel.shown(choice) for one in getattr(series, letter)]))
    return (min(found), max(found)) if found else None


def _positive(numbers: Sequence[Any]) -> Iterator[float]:
    for number in numbers:
        if isinstance(number, int | float) and number > 0:
            yield float(number)
