"""Steps timed in turn, so that any other load of the machine falls on all alike, and the ratio of two of them."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from energy.errors import UsageError
from energy.hints import hint

LEAST_ROUNDS: Final = 3
RATIO_RESAMPLES: Final = 2000


@dataclass(frozen=True)
class MedianRatio:
    """A ratio of times and its 95 % interval from a bootstrap over rounds; None at a single round."""

    ratio: float
    low: float | None
    high: float | None


def interleaved(
    steps: Mapping[str, Callable[[], object]], *, rounds: int, seconds: float, device: torch.device
) -> dict[str, list[float]]:
    """Time every step once in a round; each round begins one place further.

    On a CUDA device the clock is read when all work given to it is done. A first step that compiles or fills caches is
    to be taken before.

    Args:
        steps: what is timed, by label.
        rounds: number of rounds.
        seconds: time after which no round begins, three being taken in any case, or `rounds` if they are fewer.
        device: the device that the steps work on.

    Returns:
        for each label the seconds of its steps, one per round.

    Raises:
        UsageError: when there is no step or no round, or `seconds` is not above 0.
    """
    if not steps or rounds < 1 or not seconds > 0:
        raise UsageError(f"{len(steps)} steps, rounds={rounds}, seconds={seconds}: must be at least 1, 1, and above 0")
    times: dict[str, list[float]] = {label: [] for label in steps}
    labels, start = list(steps), time.perf_counter()
    for number in range(rounds):
        if number >= LEAST_ROUNDS and time.perf_counter() - start > seconds:
            break
        turn = number % len(labels)
        for label in labels[turn:] + labels[:turn]:
            _wait(device)
            before = time.perf_counter()
            steps[label]()
            _wait(device)
            times[label].append(time.perf_counter() - before)
    return times


def median_ratio(times: Mapping[str, Sequence[float]], of: str, reference: str, *, rng_seed: int = 0) -> MedianRatio:
    """Return the median over rounds of one step's time over that of another in the same round.

    Within a round the machine is in one state, so that what slows both cancels. The interval is the percentile
    bootstrap over rounds; with three rounds it is their range.

    Args:
        times: seconds by label, one per round, as `interleaved` returns them.
        of: the label above.
        reference: the label below.
        rng_seed: of the generator that draws the resamples.

    Raises:
        UsageError: for an unknown label, numbers of rounds that differ or are 0, and a time of the reference of 0.
    """
    from scipy.stats import bootstrap

    for label in (of, reference):
        if label not in times:
            raise UsageError(f"{label!r}: was not timed; {hint(label, times)}")
    above, below = times[of], times[reference]
    if not above or len(above) != len(below) or min(below) <= 0:
        raise UsageError(f"{of!r} and {reference!r}: must have the same rounds, at least one, of times above 0")
    ratios = np.array(above) / np.array(below)
    if len(ratios) == 1:
        return MedianRatio(float(ratios[0]), None, None)
    rng = np.random.default_rng(rng_seed)
    low, high = bootstrap(
        (ratios,), np.median, n_resamples=RATIO_RESAMPLES, confidence_level=0.95, method="percentile", rng=rng
    ).confidence_interval
    return MedianRatio(statistics.median(ratios.tolist()), float(low), float(high))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
