"""The change of the machine under a run that is continued: what was another before, and what that means."""

from collections.abc import Mapping
from typing import Any, Final

FACTS: Final = ("threads", "ranks", "device", "device_name", "torch", "commit", "energy", "python")


def continuation(step: int, before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the continuation of a run on a machine.

    Args:
        step: the step that it is continued from.
        before: the facts of `energy.io.provenance` at the checkpoint.
        now: those here.

    Returns:
        the step and `now`; and `changed`, the facts that differ, each as [before, now], if any does.

    Example:
        >>> continuation(7, {"threads": 1, "torch": "2.8"}, {"threads": 2, "torch": "2.8", "device": "cpu"})["changed"]
        {'threads': [1, 2]}
    """
    changed = {name: [before[name], now[name]] for name in FACTS if before.get(name, now.get(name)) != now.get(name)}
    return {"step": step, **now, **({"changed": changed} if changed else {})}


def changed_line(entry: Mapping[str, Any]) -> str:
    """Format what changed at a continuation on one line, with what it means for the numbers."""
    pairs = [f"{name}={now!r}, before it was {before!r}" for name, (before, now) in entry.get("changed", {}).items()]
    return (
        f"continued with {'; '.join(pairs)}; the last bits of its numbers may differ from those of an unbroken run, "
        "and of one that is broken elsewhere"
    )
