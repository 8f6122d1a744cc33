"""A cell of a paper: one configuration trained at several seeds, and what was published about it."""

from dataclasses import dataclass
from typing import Final

CELLS: Final = "cells.yaml"
DEVICES: Final = ("cpu", "gpu")


@dataclass(frozen=True)
class PublishedFigure:
    """The statement of a paper about a cell.

    Attributes:
        value: test accuracy in percent; None if there is no figure to compare with.
        tolerance: distance in points up to which a measured mean counts as the same; None for no verdict.
        where: the place of publication.
        reason: why there is no value.
    """

    value: float | None = None
    tolerance: float | None = None
    where: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Cost:
    """The needs of one seed of a cell.

    Attributes:
        device: `cpu` or `gpu`.
        hours: wall clock on it.
    """

    device: str
    hours: float


@dataclass(frozen=True)
class ReproductionCell:
    """One cell of a paper.

    Attributes:
        name: its name, which is the title of its runs and the name of its rows.
        claim: what it is to show.
        needs: what one seed takes.
        experiment: the experiment file of its configuration; empty for a study.
        study: the experiment file of a study of the inference phase; empty for a training.
        overrides: further words of the command line.
        seeds: one training for each; none for a study.
        published: what the paper says.
        against: another cell of the paper, to which it is compared seed by seed; empty for none.
        reduced: the budget, where it is not the published size; empty for the full size.
        front: whether it may stand in the matrix of methods and data sets.
    """

    name: str
    claim: str
    needs: Cost
    experiment: str = ""
    study: str = ""
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    published: PublishedFigure = PublishedFigure()
    against: str = ""
    reduced: str = ""
    front: bool = True

    @property
    def size(self) -> str:
        """`full`, or the reduced budget."""
        return self.reduced or "full"

    @property
    def hours(self) -> float:
        """Wall clock of all its seeds."""
        return self.needs.hours * max(len(self.seeds), 1)


@dataclass(frozen=True)
class Paper:
    """The cells of one folder.

    Attributes:
        title: the paper, in words.
        cells: by name, in the order of the file.
    """

    title: str
    cells: dict[str, ReproductionCell]


def cost(hours: float) -> str:
    """Format a time in the unit that suits it.

    Example:
        >>> cost(0.001), cost(0.25), cost(8)
        ('4 s', '15 min', '8 h')
    """
    if hours >= 1:
        return f"{hours:.3g} h"
    return f"{60 * hours:.2g} min" if hours >= 1 / 60 else f"{3600 * hours:.2g} s"
