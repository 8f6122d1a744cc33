"""Runs that are one line of a figure: those of one configuration but for the seed; and what tells the lines apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from energy.io.result import read_configuration
from energy.io.run_folders import field_values, key_but_seed, shortest_ends, value_text, varied_fields


@dataclass
class RunGroup:
    """The runs of one line.

    Attributes:
        labels: of its runs, each of another seed.
        values: the fields of the configuration in which they agree, by dotted path; empty if none is known.
        name: that of the line in the legend.
    """

    labels: list[str]
    values: dict[str, Any]
    name: str = ""

    @property
    def told(self) -> str:
        """The name, with the number of seeds where there are several."""
        return f"{self.name} ({len(self.labels)} seeds)" if len(self.labels) > 1 else self.name


def run_groups(runs: Mapping[str, Path]) -> list[RunGroup]:
    """Put runs that differ in the seed alone together, and name each group by the fields in which it differs.

    A run without a configuration is a group of its own, called by its label. Of two runs with the same seed the first
    counts.

    Args:
        runs: run folders by label.
    """
    found: dict[str, RunGroup] = {}
    seeds: dict[str, set[str]] = {}
    for label, folder in runs.items():
        configuration = read_configuration(folder)
        run = configuration.get("run")
        if not run:
            found[f"label {label}"] = RunGroup([label], {})
            continue
        key, values = key_but_seed(configuration), field_values(run)
        seed = value_text(values.get("seed"))
        group = found.setdefault(key, RunGroup([], values))
        if seed not in seeds.setdefault(key, set()):
            seeds[key].add(seed)
            group.labels.append(label)
            group.values = {path: value for path, value in group.values.items() if values.get(path) == value}
    groups = list(found.values())
    _name(groups)
    return groups


def _name(groups: Sequence[RunGroup]) -> None:
    """Name groups by what differs between them; by the labels of their first runs where that tells them not apart."""
    varied = [path for path in varied_fields([group.values for group in groups]) if path != "seed"]
    ends = dict(zip(varied, shortest_ends(varied), strict=True))
    for group in groups:
        told = [f"{ends[path]}={_plain(group.values[path])}" for path in varied if path in group.values]
        group.name = ", ".join(told) or group.labels[0]
    names = [group.name for group in groups]
    for group in groups:
        if names.count(group.name) > 1:
            group.name = group.labels[0]


def _plain(value: Any) -> str:
    """A value without blanks, in which a comma would end the part of a label."""
    return value_text(value).replace(", ", ",")
