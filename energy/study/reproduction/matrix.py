"""The matrix of methods and data sets: the best cell of each pair, or what it would take to have one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from energy.study.reproduction.cell import ReproductionCell, cost
from energy.study.statistics import plus_minus, sample_statistics

SETTLERS: Final[Mapping[str, str]] = {
    "contrastive_hebbian": "CHL",
    "two_phase_contrastive_hebbian": "CHL",
    "equilibrium_propagation": "EP",
    "two_phase": "EP",
    "dual_propagation": "dual propagation",
    "predictive_coding_ep": "PC-EP",
    "backprop": "back-propagation",
}
SOFTHEBB: Final = "SoftHebb"
METHODS: Final = ("CHL", "EP", "dual propagation", "PC-EP", SOFTHEBB, "back-propagation")
DATA: Final[Mapping[str, str]] = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet32": "ImageNet32x32",
    "imagenette32": "Imagenette at 32×32 (ten classes)",
}


@dataclass(frozen=True)
class Entrance:
    """A cell that may stand in the matrix.

    Attributes:
        paper: the name of its paper.
        cell: the cell.
        method: the name of a row.
        data: the name of a data set.
        accuracies: measured test accuracies in percent, one for each seed; none if it was not run.
    """

    paper: str
    cell: ReproductionCell
    method: str
    data: str
    accuracies: tuple[float, ...] = ()

    @property
    def order(self) -> tuple[bool, bool, float]:
        """Least for the cell that stands in the matrix: run, full, the most accurate; else the cheapest."""
        run = bool(self.accuracies)
        last = -sample_statistics(self.accuracies)["mean"] if run else self.cell.hours
        return not run, bool(self.cell.reduced), last


def entrance(
    paper: str, cell: ReproductionCell, configuration: Mapping[str, Any], measured: Sequence[float]
) -> Entrance | None:
    """Return what a cell brings to the matrix; None if it is kept out, or its method or data set has no place there.

    Args:
        paper: the name of the paper.
        cell: the cell.
        configuration: its composed configuration.
        measured: test accuracies in percent, one for each seed.
    """
    method, data = method_of(configuration), configuration["data"]["name"]
    if not cell.front or not method or data not in DATA:
        return None
    return Entrance(paper, cell, method, data, tuple(measured))


def method_of(configuration: Mapping[str, Any]) -> str:
    """Return the row of a composed configuration, by settler and rule; empty if it has none."""
    settler, rule = configuration["settler"]["name"], configuration["rule"]
    if settler == "feedforward":
        rules = [one["name"] for one in rule.get("rules", [])] if rule["name"] == "per_layer" else [rule["name"]]
        return SOFTHEBB if rules and set(rules) == {"softhebb"} else ""
    return SETTLERS.get(settler, "")


def front_matrix(entrances: Sequence[Entrance], base: str) -> str:
    """Return the matrix as Markdown.

    Args:
        entrances: the cells.
        base: the path of the folder of papers from the page, ending in a slash, or empty.
    """
    rows = []
    for method in METHODS:
        row = [method]
        for data in DATA:
            fitting = [one for one in entrances if (one.method, one.data) == (method, data)]
            row.append(_entry(min(fitting, key=lambda one: one.order), base) if fitting else "–")
        rows.append(row)
    lines = [["method", *DATA.values()], ["---"] * (1 + len(DATA)), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)  # not padded: entries are long


def _entry(one: Entrance, base: str) -> str:
    link = f"[{one.cell.name}]({base}{one.paper}/table.md)"
    if not one.accuracies:
        return f"*not run*: {cost(one.cell.hours)} ({one.cell.needs.device}), {link}"
    count = len(one.accuracies)
    seeds = "one seed" if count == 1 else f"{count} seeds"
    size = f"*reduced*: {one.cell.reduced}" if one.cell.reduced else "*full*"
    return f"{plus_minus(sample_statistics(one.accuracies))} ({seeds}), {size}, {link}"
