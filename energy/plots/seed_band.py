"""A curve of several seeds: the mean at each epoch, between the least and the greatest."""

from collections.abc import Sequence
from typing import NamedTuple

Points = Sequence[tuple[int, float]]  # (epoch, number)


class SeedBand(NamedTuple):
    """Mean, least and greatest number of several runs at each epoch that any of them has.

    Attributes:
        epochs: in rising order.
        mean: over the runs that have a number there.
        low: the least of them.
        high: the greatest of them.
        whole: how many of the epochs come before the first run ends; all of them if all are equally long.
        runs: number of runs.
    """

    epochs: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    whole: int
    runs: int


def seed_band(curves: Sequence[Points]) -> SeedBand:
    """Join the curves of several runs, which may have different lengths.

    Args:
        curves: points of each run, in rising order; at least one point each.

    Example:
        >>> seed_band([[(1, 2.0), (2, 4.0)], [(1, 4.0)]])
        SeedBand(epochs=[1, 2], mean=[3.0, 4.0], low=[2.0, 4.0], high=[4.0, 4.0], whole=1, runs=2)
    """
    at: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, number in curve:
            at.setdefault(epoch, []).append(number)
    epochs = sorted(at)
    common = min(curve[-1][0] for curve in curves)
    return SeedBand(
        epochs,
        [sum(at[epoch]) / len(at[epoch]) for epoch in epochs],
        [min(at[epoch]) for epoch in epochs],
        [max(at[epoch]) for epoch in epochs],
        sum(epoch <= common for epoch in epochs),
        len(curves),
    )
