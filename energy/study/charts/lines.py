"""Lines over the seeds of a study: a point for each group, at the median, with the range as its interval."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from energy.plots.chart import Series
from energy.study.points import StudyPoint, Summary, measure, rung_text, shortfall, summarized, total_sweeps

Reading = Callable[[StudyPoint], float | None]
OVER_SEEDS: Final = "Lines are medians over seeds, bands the range from the least to the greatest"
BELOW_ONE: Final = "1 − cosine (log; lower is better)"
CUT: Final = "1 − cosine is cut at 1e-8, below which rounding decides"
COSINES: Final = ((0.1, "cosine 0.9"), (0.05, "0.95"), (0.01, "0.99"))  # heights of 1 − cosine
ACROSS: Final[dict[str, Reading]] = {
    "sweeps": total_sweeps,
    "BP steps": measure("backprop_steps"),
    "seconds": measure("seconds"),
    "joules": measure("joules"),
}
ACROSS_LABELS: Final = {
    "sweeps": "sweeps, free and nudged (log)",
    "BP steps": "price in back-propagation steps (log)",
    "seconds": "seconds a step on this machine (log)",
    "joules": "joules a step on this machine (log)",
}


def seeds_line(groups: Iterable[Sequence[StudyPoint]], across: Reading, up: Reading, *, label: str) -> Series | None:
    """Return a line with one point for each group of points that differ in their seeds.

    Args:
        groups: points of one abscissa each.
        across: reads the abscissa of a point; a group stands at its median.
        up: reads its ordinate.
        label: name of the line.

    Returns:
        Medians, with least and greatest as the interval, by abscissa; None if no group has both numbers.
    """
    found: list[tuple[float, Summary, str]] = []
    for group in groups:
        place, height = summarized(map(across, group)), summarized(map(up, group))
        if place is not None and height is not None:
            found.append((place.middle, height, f"{label}; {rung_text(group[0]['axes'])}; {spread_text(height)}"))
    if not found:
        return None
    found.sort(key=lambda one: one[0])
    return Series(
        label=label,
        x=tuple(place for place, _, _ in found),
        y=tuple(height.middle for _, height, _ in found),
        low=tuple(height.low for _, height, _ in found),
        high=tuple(height.high for _, height, _ in found),
        hover=tuple(text for _, _, text in found),
    )


def spread_text(spread: Summary) -> str:
    """Return median, range and number of seeds as words."""
    seeds = f"{spread.n} seed{'s' if spread.n != 1 else ''}"
    return f"{spread.middle:.4g} ({spread.low:.4g} to {spread.high:.4g}, {seeds})"


def worst_gap(point: StudyPoint) -> float | None:
    """Return 1 − cosine in the worst layer of a point."""
    return shortfall(point["measures"]["cosine_worst"])


def whole_gap(point: StudyPoint) -> float | None:
    """Return 1 − cosine of the whole gradient of a point."""
    return shortfall(point["measures"]["cosine_whole"])


def present(series: Iterable[Series | None]) -> tuple[Series, ...]:
    """Return the series that are there."""
    return tuple(one for one in series if one is not None)


def file_name(text: str) -> str:
    """Return a text as the name of a figure: small letters, digits and hyphens.

    Example:
        >>> file_name("gain 0.7, 5 epochs")
        'gain-0-7-5-epochs'
    """
    kept = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in text.lower())
    return "-".join(kept.split())
