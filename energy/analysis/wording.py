"""A diagnosis in words: a table of layers, and a line for each of its other parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from energy.columns import blocks

HEAD: Final = ("layer", "gain", "loop gain", "at a bound", "dead", "activity", "drive", "signal")
WIDTH: Final = 120  # letters per line of the table
SHOWN: Final = (0.05, 0.1, 0.2, 0.5, 1.0)  # of the ladder


def in_words(record: Mapping[str, Any]) -> str:
    """Return a diagnosis as text.

    Args:
        record: `Diagnosis.to_dict()`.
    """
    to = f"to {record['tolerance']:g}" if record["tolerance"] else "for a fixed number of steps"
    head = f"{record['samples']} samples in {record['precision']}: {record['settler']} at γ = {record['gamma']:.3g}, "
    lines = [head + f"{record['relax']} {to}", *_table(record["layers"]), "", *_speed(record), _law(record)]
    bounds, scale = record["bounds"], record["scale"]
    lines.append(f"Equilibrium: exists {bounds['minimum']}, the only one {bounds['unique']}: {bounds['reason']}.")
    factor = "none found" if scale["factor"] is None else f"multiply the weights by {scale['factor']:.3g}"
    lines.append(f"Initial scale: {factor}: {scale['reason']}; {scale['trials']} trials.")
    lines += [_flag(one) for one in record["flags"]] or ["Flags: none."]
    lines.append(f"Price: {record['price']:.0f} steps of back-propagation over these samples.")
    return "\n".join(lines)


def _table(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = list[tuple[str, ...]]()
    for one in layers:
        shares = (f"{100 * one[name]:.0f} %" for name in ("at_bound", "dead"))
        sizes = (_number(one[name]) for name in ("activity", "drive", "signal"))
        rows.append((one["layer"], _number(one["gain"]), _number(one["loop_gain"]), *shares, *sizes))
    return blocks(HEAD, rows, WIDTH).splitlines()


def _speed(record: Mapping[str, Any]) -> list[str]:
    if record["outcome"] is None:
        return [f"Loop gain at γ = 1: {_spread(record['loop_gain_at_one'])}. No activity comes back: one pass settles."]
    where = f", most of it at {record['slowest']}" if record["slowest"] else ""
    gain = f"Loop gain ρ² at the equilibrium: {_spread(record['loop_gain'])}{where}; "
    taken = f"{_spread(record['taken'])} taken of at most {record['budget']}: {record['outcome']}"
    if record["expected"] is None:
        return [f"{gain}at γ = 1 {_spread(record['loop_gain_at_one'])}.", f"Steps: none foreseen; {taken}."]
    counted = f", {_spread(record['counted'])} of them counted, the others by ρ²" if record["counted"] else ""
    foreseen = f"{_spread(record['expected'], 'no end')} expected{counted}"
    return [f"{gain}at γ = 1 {_spread(record['loop_gain_at_one'])}.", f"Steps: {foreseen}; {taken}."]


def _law(record: Mapping[str, Any]) -> str:
    known = [one for one in record["ladder"] if one["rate"] is not None and one["gamma"] in SHOWN]
    if not known:
        return f"Steps at other γ: {record['relax']} has no law."
    steps = (f"{one['gamma']:g}: {'no end' if one['steps'] is None else round(one['steps'])}" for one in known)
    return f"Steps by the law of ρ₀² alone, from a residual of 1, at γ {', '.join(steps)}."


def _flag(one: Mapping[str, Any]) -> str:
    at = f" at layer {one['layer']}" if one["layer"] else ""
    return f"Flag {one['name']}{at}: {one['sentence']}. Try {one['cure']}."


def _spread(found: Mapping[str, float | None] | None, without: str = "no number") -> str:
    if found is None:
        return "unknown"
    return f"{_number(found['median'], without)} (median), {_number(found['max'], without)} (largest)"


def _number(value: float | None, without: str = "no number") -> str:
    return without if value is None else f"{value:.3g}"
