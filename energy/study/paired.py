"""Two arms of an experiment over the same seeds: their difference, its uncertainty, and the seeds it takes to see it.

A seed sets the initial weights and the order of the data of both arms, so that its luck cancels in the difference. All
statistics are of the differences d_i = a_i − b_i over the seeds i that both arms have; n is their number.

scipy is imported by the functions that use it.
"""

import itertools
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from energy.errors import UsageError
from energy.study.statistics import sample_statistics

LEVEL: Final = 0.05  # of tests, two-sided; intervals hold with the rest
POWER: Final = 0.8
RESAMPLES: Final = 9999
FLIPS: Final = 2**16  # sign flips are enumerated up to this number, and drawn beyond
BATCH: Final = 4096  # resamples in memory at a time
MOST_SEEDS: Final = 100_000
ROUNDING: Final = 1e-12  # of the largest number: a spread below it is that of rounding
Pair = tuple[float, float]


@dataclass(frozen=True)
class PairedDifference:
    """The difference a − b of two arms over n shared seeds, in the unit of the numbers.

    With three seeds `bootstrap_interval` is too narrow: a resample never leaves the range of the three differences, and
    there are ten different ones. `t_interval` stands on normal differences and is honest about n.

    Attributes:
        seeds: the seeds that both arms have, in order.
        differences: a − b at each of them.
        mean: their mean.
        sd: their standard deviation, dividing by n − 1; None at n = 1.
        t_interval: mean ± t_{n−1} sd/√n at 95 %; None at n = 1 and where all differences are equal.
        bootstrap_interval: 95 % interval of the bootstrap over seeds (BCa); None where `t_interval` is.
        p: of the two-sided sign-flip test, which holds every sign of a difference for a coin toss: the share of sign
            patterns with a mean at least as far from 0. Exact up to 16 seeds, beyond of random patterns; 1 at n = 1.
        smallest_p: the least that `p` can be at this n: 2/2ⁿ if exact. It is above 0.05 below six seeds.
        effect: Cohen's d_z = mean / sd; None where `t_interval` is.
        seeds_needed: seeds that tell a difference of this size with 80 % power, as `seeds_needed` has them; None where
            `effect` is None or 0, and beyond `MOST_SEEDS`.
        told_apart: whether the arms differ at 5 %: by `p` if `smallest_p` allows it, otherwise by a `t_interval`
            without 0; False where there is neither.

    Reference:
        Efron (1987), Better bootstrap confidence intervals, JASA 82, for BCa; Cohen (1988), Statistical power analysis
        for the behavioral sciences, section 2.3.5, for d_z.
    """

    seeds: list[int]
    differences: list[float]
    mean: float
    sd: float | None
    t_interval: Pair | None
    bootstrap_interval: Pair | None
    p: float
    smallest_p: float
    effect: float | None
    seeds_needed: int | None
    told_apart: bool


@dataclass(frozen=True)
class ClosestPair:
    """The two arms of several whose mean paired difference is the smallest that is not 0."""

    first: str
    second: str
    difference: PairedDifference


def paired_difference(a: Mapping[int, float], b: Mapping[int, float], *, rng_seed: int = 0) -> PairedDifference:
    """Compare two arms by the seeds that both have; a seed that only one has is left out.

    Args:
        a: the number of the one arm for each seed.
        b: that of the other, which is subtracted.
        rng_seed: of the generator that draws resamples, so that a result can be had again.

    Raises:
        UsageError: when no seed is shared, or a number is not finite.
    """
    seeds = sorted(set(a) & set(b))
    if not seeds:
        raise UsageError(f"seeds {sorted(a)} and {sorted(b)}: must share one to be paired")
    differences = [a[seed] - b[seed] for seed in seeds]
    stats = sample_statistics(differences)
    mean, sd = stats["mean"], stats["sd"]
    if sd is not None and sd <= ROUNDING * max(max(abs(a[seed]), abs(b[seed])) for seed in seeds):
        sd = 0.0
    spread = sd or None
    interval = None if spread is None else _t_interval(mean, spread, len(seeds))
    p, smallest = _sign_flips(differences, rng_seed)
    return PairedDifference(
        seeds=seeds,
        differences=differences,
        mean=mean,
        sd=sd,
        t_interval=interval,
        bootstrap_interval=None if spread is None else _bootstrap(differences, rng_seed),
        p=p,
        smallest_p=smallest,
        effect=None if spread is None else mean / spread,
        seeds_needed=None if spread is None else seeds_needed(mean, spread),
        told_apart=p <= LEVEL if smallest <= LEVEL else interval is not None and not interval[0] <= 0 <= interval[1],
    )


def t_test_power(count: int, effect: float, *, level: float = LEVEL) -> float:
    """Return the power of the two-sided paired t test: P(|T| > t_{n−1}), T noncentral with δ = |d_z| √n.

    Args:
        count: n, the number of pairs, at least 2.
        effect: d_z, the mean of differences over their standard deviation.
        level: probability of a rejection where there is no difference.

    Raises:
        UsageError: for a count below 2, an effect that is not finite, or a level outside (0, 1).
    """
    from scipy.stats import nct, t

    if count < 2 or not math.isfinite(effect) or not 0 < level < 1:
        raise UsageError(f"count={count}, effect={effect}, level={level}: must be at least 2, finite, in (0, 1)")
    critical, shift = t.ppf(1 - level / 2, count - 1), abs(effect) * math.sqrt(count)
    return float(nct.sf(critical, count - 1, shift) + nct.cdf(-critical, count - 1, shift))


def seeds_needed(difference: float, sd: float, *, power: float = POWER, level: float = LEVEL) -> int | None:
    """Return the least number of seeds with which the paired t test tells a difference.

    The standard deviation of differences from three seeds is itself known to a factor of two at best: so is the result.

    Args:
        difference: the difference to be told, if it is the true one.
        sd: the standard deviation of differences over seeds.
        power: probability of telling it.
        level: probability of telling one where there is none, two-sided.

    Returns:
        at least 2; None for a difference of 0, for a spread of 0, and if more than `MOST_SEEDS` are needed.

    Raises:
        UsageError: for a number that is not finite, a negative spread, or a probability outside (0, 1).
    """
    if not math.isfinite(difference) or not 0 <= sd < math.inf:
        raise UsageError(f"difference={difference}, sd={sd}: must be finite, the spread at least 0")
    if not (0 < power < 1 and 0 < level < 1):
        raise UsageError(f"power={power}, level={level}: must be in (0, 1)")
    if difference == 0 or sd == 0:
        return None
    effect = min(abs(difference) / sd, 1e3)
    counts = range(2, MOST_SEEDS + 1)
    place = bisect_left(counts, power, key=lambda count: t_test_power(count, effect, level=level))
    return counts[place] if place < len(counts) else None


def within_noise(arms: Mapping[str, Mapping[int, float]]) -> list[str]:
    """Return the arm with the greatest mean over its own seeds, and every arm that cannot be told apart from it.

    An arm is told apart if its paired difference from the best is `told_apart`; one that shares no seed with the best
    is not. No level is corrected for the number of arms.

    Args:
        arms: for each label the numbers by seed, greater ones being better; an arm without numbers is left out.

    Returns:
        the labels, the best one first, the others in the order given; empty if no arm has a number.
    """
    known = {label: numbers for label, numbers in arms.items() if numbers}
    if not known:
        return []
    best = max(known, key=lambda label: sample_statistics(list(known[label].values()))["mean"])
    others = [label for label in known if label != best]
    return [best, *(label for label in others if not _told_apart(known[best], known[label]))]


def closest_pair(arms: Mapping[str, Mapping[int, float]]) -> ClosestPair | None:
    """Find the two arms that are hardest to order: the smallest mean difference whose spread is known and not 0.

    Args:
        arms: for each label the numbers by seed.

    Returns:
        the pair, its difference taken so that it is positive; None if no two arms differ over two shared seeds.
    """
    found = []
    for one, other in itertools.combinations(arms, 2):
        if len(set(arms[one]) & set(arms[other])) < 2:
            continue
        pair = ClosestPair(one, other, paired_difference(arms[one], arms[other]))
        if pair.difference.mean < 0:
            pair = ClosestPair(other, one, paired_difference(arms[other], arms[one]))
        found += [pair] if pair.difference.effect else []
    return min(found, key=lambda pair: pair.difference.mean, default=None)


def signed(mean: float, interval: Sequence[float] | None, digits: int = 2) -> str:
    """Format a difference with its sign and its interval, if it has one.

    Example:
        >>> signed(0.25, (-0.5, 1.0))
        '+0.25 (-0.50 to +1.00)'
    """
    form = f"+z.{digits}f"
    text = format(mean, form)
    return text if interval is None else f"{text} ({format(interval[0], form)} to {format(interval[1], form)})"


def _told_apart(a: Mapping[int, float], b: Mapping[int, float]) -> bool:
    return bool(set(a) & set(b)) and paired_difference(a, b).told_apart


def _t_interval(mean: float, sd: float, count: int) -> Pair:
    from scipy.stats import t

    half = float(t.ppf(1 - LEVEL / 2, count - 1)) * sd / math.sqrt(count)
    return mean - half, mean + half


def _bootstrap(differences: Sequence[float], seed: int) -> Pair:
    from scipy.stats import bootstrap

    rng = np.random.default_rng(seed)
    drawn = {"n_resamples": RESAMPLES, "batch": BATCH, "confidence_level": 1 - LEVEL, "method": "BCa"}
    unit = math.ldexp(1.0, math.frexp(max(map(abs, differences)))[1])  # a power of 2: cubes of 1e-157 would vanish
    values = np.array(differences) / unit
    low, high = bootstrap((values,), np.mean, vectorized=True, rng=rng, **drawn).confidence_interval
    return float(low) * unit, float(high) * unit


def _sign_flips(differences: Sequence[float], seed: int) -> Pair:
    """The p of the test, and the smallest there is with as many differences."""
    from scipy.stats import permutation_test

    count = len(differences)
    if count == 1:
        return 1.0, 1.0
    rng = np.random.default_rng(seed)
    flips = {"permutation_type": "samples", "n_resamples": FLIPS, "batch": BATCH}
    tested = permutation_test((np.array(differences),), np.mean, vectorized=True, rng=rng, **flips)
    return float(tested.pvalue), 2 / 2**count if 2**count <= FLIPS else 2 / (FLIPS + 1)
