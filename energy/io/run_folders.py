"""Run folders: where they lie below a folder, what tells their runs apart, and which differ in the seed alone."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from energy.io.plain import flatten
from energy.io.record import CHECKPOINTS, CONFIGURATION, FINAL, RECORD, RESULT

DEEPEST: Final = 6  # levels below the folder
MOST: Final = 20_000  # folders looked into
MARKS: Final = (CONFIGURATION, RECORD, RESULT, CHECKPOINTS, FINAL)
ASIDE: Final = frozenset({"out", "title"})
FIRST: Final = ("settler.name", "seed", "optimizer.lr", "data.name", "model.name", "rule.name")


def run_folders(top: Path) -> Iterator[Path]:
    """Yield the run folders from `top` on in the order of their names; the folders inside them are not searched."""
    for looked, (place, inner, files) in enumerate(os.walk(top), start=1):
        here = Path(place)
        inner.sort()
        if any(mark in files or mark in inner for mark in MARKS):
            inner.clear()
            yield here
        if looked >= MOST or len(here.relative_to(top).parts) >= DEEPEST:
            inner.clear()


def key_but_seed(configuration: Mapping[str, Any]) -> str:
    """Return a text that two runs share if all that their numbers depend on is the same, but for the seed.

    Args:
        configuration: as `configuration.json` has it; of its `run` without an `identity`.
    """
    known = configuration.get("identity") or {n: v for n, v in configuration["run"].items() if n not in ASIDE}
    return json.dumps({name: value for name, value in known.items() if name != "seed"}, sort_keys=True)


def value_text(value: Any) -> str:
    """Format the value of a field as it is written on the command line."""
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else json.dumps(value)


def varied_fields(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Find the fields in which runs that have them differ; those that most often tell runs apart come first.

    Args:
        runs: values by dotted path, of each run.
    """
    found: dict[str, set[str]] = {}
    for values in runs:
        for path, value in values.items():
            found.setdefault(path, set()).add(value_text(value))
    varied = [path for path, texts in found.items() if len(texts) > 1 and path not in ASIDE]
    return sorted(varied, key=lambda path: FIRST.index(path) if path in FIRST else len(FIRST))


def shortest_ends(paths: Sequence[str]) -> list[str]:
    """Return the shortest end of each path that is no end of another; `name` of a component is left off.

    Example:
        >>> shortest_ends(["settler.name", "settler.relax.max_steps", "settler.nudged.max_steps"])
        ['settler', 'relax.max_steps', 'nudged.max_steps']
    """
    whole = [path.removesuffix(".name") for path in paths]
    ends = []
    for path in whole:
        words = path.split(".")
        tails = [".".join(words[-count:]) for count in range(1, len(words) + 1)]
        ends.append(next(t for t in tails if t == path or sum(f".{one}".endswith(f".{t}") for one in whole) == 1))
    return ends


def field_values(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a run's configuration by dotted path."""
    return dict(flatten(run, "."))
