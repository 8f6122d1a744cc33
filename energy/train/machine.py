"""The change of the machine under a run that is continued: what was another before, and what that means."""

from collections.abc import Mapping
from typing import Any, Final

FACTS: Final = ("threads", "device", "device_name", "torch", "commit", "energy", "python")


def machine_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the facts of `energy.io.provenance` that differ, each as [before, now]; those unknown before are left out.

    Example:
        >>> machine_change({"threads": 1, "torch": "2.8"}, {"threads": 2, "torch": "2.8", "device": "cpu"})
        {'threads': [1, 2]}
    """
    return {name: [before[name], now.get(name)] for name in FACTS if name in before and before[name] != now.get(name)}


def changed_line(changed: Mapping[str, list[Any]]) -> str:
    """Format a change on one line, with what it means for the numbers.

    Example:
        >>> changed_line({"threads": [1, 2]})[:42]
        'continued with threads=2, before that 1; i'
    """
    told = ", ".join(
        f"{name}={now or 'unknown'}, before that {before or 'unknown'}" for name, (before, now) in changed.items()
    )
    return f"continued with {told}; its numbers may differ in their last bits from those of a run that was not broken"
