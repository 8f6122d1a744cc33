"""Sentences that a record supports: the setting, the prices, stragglers, the law of the rate, what was not reached."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from energy.study.charts.stragglers import waiting
from energy.study.page.answers import Answer, answers, interval_text, main_cell, plain_label
from energy.study.page.words import counted, listed, number_text, quoted, seconds_text
from energy.study.points import StudyPoint, axis_text, points_of
from energy.study.prices import CosinePrice

LAW: Final = ("phases", "scaling-gamma", "scaling-gain", "scaling-age")


def abstract(record: Mapping[str, Any], prices: Sequence[CosinePrice]) -> list[str]:
    """Return the sentences of the abstract, each paragraph a string; every number in them is read from the record."""
    found = [study_subject(record)]
    if prices:
        cell = main_cell(prices)
        said = answers([price for price in prices if price.cell == cell])
        seeds = len(prices[0].by_seed)
        how = (
            f"mean over {seeds} seeds with its 95 % interval"
            if seeds > 1
            else "1 seed, so that those that reach it tie"
        )
        found.append(f"Prices on weights of {cell}, {how}:")
        found += [_priced(said, gamma) for gamma in dict.fromkeys(one.gamma for one in said)]
        found += [text for text in (by_the_clock(said), unreached(said)) if text]
    return found + [text for text in (stragglers(record), law(record), trained(record), failed(record)) if text]


def study_subject(record: Mapping[str, Any]) -> str:
    """Return what was measured, on which network and data, and by what."""
    axes = [point["axes"] for point in record["points"]]
    if not axes:
        return "The record has no points."
    models = listed(sorted({str(one["model"]) for one in axes}))
    data = listed(sorted({str(one["data"]) for one in axes}))
    batches = sorted({one["batch"] for one in axes})
    seeds = len({one["seed"] for one in axes})
    settlers = len({one["settler"] for one in axes})
    span = str(batches[0]) if len(batches) == 1 else f"{batches[0]} to {batches[-1]}"
    precisions = listed(list(dict.fromkeys(str(one["precision"]) for one in axes)))
    return (
        f"{counted(settlers, 'settler')} on {models} ({data}, batch {span}, {precisions}): "
        f"{counted(len(axes), 'measured point')} over {counted(seeds, 'seed')}, on {record['device_name']}."
    )


def by_the_clock(said: Sequence[Answer]) -> str:
    """Return where another settler than the cheapest by multiply-adds takes less time; empty if nowhere."""
    found = []
    for one in said:
        timed = [price for price in (*one.best, *one.others) if price.seconds is not None]
        if not timed or one.best[0].seconds is None:
            continue
        fastest = min(timed, key=lambda price: price.seconds or 0.0)
        if fastest not in one.best:
            there = f"{one.level:g} at γ = {one.gamma:g} takes {seconds_text(fastest.seconds)} a step"
            found.append(
                f"{there} with {quoted(plain_label(fastest))}, {seconds_text(one.best[0].seconds)} with the cheapest"
            )
    return f"By the clock another settler is ahead: {'; '.join(found)}." if found else ""


def unreached(said: Sequence[Answer]) -> str:
    """Return which settlers do not reach a cosine with all seeds, and what they were given; empty if all do."""
    found: dict[tuple[str, float], list[CosinePrice]] = {}
    for one in said:
        for price in one.short:
            found.setdefault((plain_label(price), price.axes["gamma"]), []).append(price)
    parts = [
        f"{quoted(label)} (γ = {gamma:g}) does not reach {short[0].level:g} within "
        f"{number_text(short[0].dearest)} BP steps" + _some(short[0])
        for (label, gamma), short in found.items()
    ]
    return f"Not reached with every seed: {'; '.join(parts)}." if parts else ""


def stragglers(record: Mapping[str, Any]) -> str:
    """Return by how much the slowest sample of a batch exceeds the mean one, of each settler at its own tolerance."""
    ratios: dict[str, list[float]] = {}
    for point in points_of(record, "tolerance"):
        if point["measures"]["outcome"] == "converged" and (found := _waiting(point)):
            ratios.setdefault(point["axes"]["settler"], []).append(max(found))
    if not ratios:
        return ""
    middle = {label: median(found) for label, found in ratios.items()}
    least, most = min(middle, key=lambda label: middle[label]), max(middle, key=lambda label: middle[label])
    start = "Stragglers: at the settlers' own tolerances the slowest sample of a batch takes"
    if number_text(middle[least]) == number_text(middle[most]):
        return f"{start} {number_text(middle[most])} times the sweeps of the mean one ({_batches(record)})."
    return (
        f"{start} {number_text(middle[least])} ({quoted(least)}) to {number_text(middle[most])} ({quoted(most)}) times "
        f"the sweeps of the mean one ({_batches(record)})."
    )


def law(record: Mapping[str, Any]) -> str:
    """Return how the measured rate of contraction compares with the predicted γρ₀², for each relaxation."""
    ratios: dict[str, list[float]] = {}
    for point in points_of(record, *LAW):
        measures = point["measures"]
        rates = [measures["rate_measured"], measures["rate_predicted"]]
        if measures["outcome"] == "converged" and None not in rates and rates[1] > 0:
            ratios.setdefault(point["axes"]["settler"], []).append(rates[0] / rates[1])
    parts = [
        f"{number_text(median(found))} times it with {quoted(label)} {_ranged(found, 'point')}"
        for label, found in ratios.items()
    ]
    if not parts:
        return ""
    return f"Law: the linearized network predicts that a sweep contracts by γρ₀²; the measured rate is {listed(parts)}."


def trained(record: Mapping[str, Any]) -> str:
    """Return the accuracy after training with each settler; empty without finished trainings."""
    found: dict[tuple[str, float], list[float]] = {}
    for training in record["trainings"]:
        if training["test_accuracy"] is not None and training["state"] == "finished":
            found.setdefault((training["settler"], training["gamma"]), []).append(training["test_accuracy"])
    parts = [
        f"{quoted(label)} at γ = {gamma:g} {number_text(median(one))} % {_ranged(one, 'seed')}"
        for (label, gamma), one in found.items()
    ]
    return f"Test accuracy after training, median and range: {listed(parts)}." if parts else ""


def failed(record: Mapping[str, Any]) -> str:
    """Return how many points ran out of their budget or diverged, and of how many; empty if none did."""
    outcomes = [point["measures"]["outcome"] for point in record["points"]]
    lost = {name: outcomes.count(name) for name in ("budget", "diverged") if name in outcomes}
    words = {"budget": "ran out of sweeps before the tolerance", "diverged": "diverged"}
    said = listed([f"{count:,} {words[name]}" for name, count in lost.items()])
    return f"Of {counted(len(outcomes), 'point')}, {said}." if lost else ""


def _priced(said: Sequence[Answer], gamma: float) -> str:
    """A sentence for one feedback gain: levels with their cheapest settlers, named once where they are the same."""
    found = [one for one in said if one.gamma == gamma and one.best]
    lost = [f"{one.level:g}" for one in said if one.gamma == gamma and not one.best]
    parts = []
    for who in dict.fromkeys(map(_who, found)):
        own = [one for one in found if _who(one) == who]
        costs = listed([f"{number_text(one.best[0].mean)}{_spread(one)}" for one in own])
        parts.append(f"{listed([f'{one.level:g}' for one in own])} costs {costs} BP steps with {who}")
    parts += [f"{listed(lost, 'or')} is reached by no settler with every seed"] if lost else []
    return f"At γ = {gamma:g}, in the worst layer a cosine with the exact gradient of {'; '.join(parts)}."


def _who(one: Answer) -> str:
    """The cheapest settler of a level, and those that are tied with it."""
    first, *others = (quoted(plain_label(price)) for price in one.best)
    return f"{first}, tied with {listed(others)}" if others else first


def _spread(one: Answer) -> str:
    said = interval_text(one.best[0]) if len(one.best[0].by_seed) > 1 else ""
    return f" ({said})" if said else ""


def _ranged(found: Sequence[float], noun: str) -> str:
    """The range of numbers and their count, in brackets; the count alone where all are one."""
    ends = [number_text(min(found)), number_text(max(found))]
    span = f"{ends[0]} to {ends[1]}, " if ends[0] != ends[1] else ""
    return f"({span}{counted(len(found), noun)})"


def _waiting(point: StudyPoint) -> list[float]:
    """The most sweeps of a sample over their mean, in each phase that has any."""
    phases = [waiting(point, phase) for phase in point["samples"]["sweeps"]]
    return [ratio for ratio in phases if ratio is not None]


def _some(price: CosinePrice) -> str:
    return f" ({price.reached} of {counted(len(price.by_seed), 'seed')} do)" if price.reached else ""


def _batches(record: Mapping[str, Any]) -> str:
    sizes = sorted({point["axes"]["batch"] for point in points_of(record, "tolerance")})
    return axis_text("batch", sizes[0]) if len(sizes) == 1 else f"batches of {listed([str(size) for size in sizes])}"
