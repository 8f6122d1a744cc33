"""Percentiles and maxima of counts."""

from collections.abc import Mapping

from torch import Tensor


def percentile(values: Tensor, percent: int) -> int:
    """Return the smallest value that at least `percent` of the values do not exceed (nearest rank).

    Args:
        values: integers (n,), n at least 1.
        percent: from 0 to 100.

    Example:
        >>> import torch
        >>> percentile(torch.tensor([1, 2, 3, 100]), 75)
        3
    """
    return int(values.sort().values[_rank(len(values), percent)])


def summarize_histogram(histogram: Mapping[int, int]) -> dict[str, float | None]:
    """Return mean, 95th percentile (nearest rank) and maximum of a count by value; None if nothing was counted.

    Example:
        >>> summarize_histogram({2: 3, 4: 1})
        {'mean': 2.5, 'p95': 4, 'max': 4}
    """
    total = sum(histogram.values())
    if not total:
        return {"mean": None, "p95": None, "max": None}
    rank = _rank(total, 95)
    passed = p95 = 0
    for value in sorted(histogram):
        passed += histogram[value]
        if passed > rank:
            p95 = value
            break
    return {"mean": sum(v * n for v, n in histogram.items()) / total, "p95": p95, "max": max(histogram)}


def _rank(count: int, percent: int) -> int:
    return max(1, -(-count * percent // 100)) - 1
