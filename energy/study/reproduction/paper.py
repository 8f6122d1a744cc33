"""The file `cells.yaml` of a paper, read by a schema.

    paper: "SoftHebb: Journé et al. (ICLR 2023)"
    cells:
      cifar10_3:
        claim: three layers, all in one epoch
        experiment: softhebb/cifar10_3           # or study: inference_cost/hopfield
        overrides: []                            # words of `energy train`
        seeds: [0, 1, 2]
        published: {value: 80.31, tolerance: 0.6, where: "its graphs.ipynb"}     # or {reason: "why there is no value"}
        against: cifar10_2                       # compared with it seed by seed
        reduced: "5 of 130 epochs"               # where it is not the published size
        needs: {device: cpu, hours: 0.25}        # for one seed
        front: false                             # kept out of the matrix of methods and data sets

Cells go by their names, which also name the folders of their records.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from energy.component import ConfigurationError
from energy.hints import hint
from energy.io.plain_yaml import read_yaml
from energy.study.reproduction.cell import CELLS, DEVICES, Cost, Paper, PublishedFigure, ReproductionCell
from energy.study.reproduction.schema import Fields

LARGEST: Final = 1 << 20  # bytes of the file
ALWAYS: Final = ("claim", "needs")
OF_TRAINING: Final = ("experiment", "seeds", "published")
OPTIONAL: Final = ("overrides", "against", "reduced", "front")


def read_paper(folder: Path, experiments: Collection[str]) -> Paper:
    """Read the cells of a paper.

    Args:
        folder: the folder that holds `cells.yaml`.
        experiments: the names of experiment files that there are.

    Raises:
        ConfigurationError: for a file that is missing, too large or malformed, and for an unknown or missing key, a
            value of the wrong type, an unknown experiment and a cell `against` an unknown one.
    """
    path = folder / CELLS
    whole = Fields(str(path), _loaded(path))
    whole.limit_keys(("paper", "cells"))
    given = whole.part("cells").values
    cells = {str(name): _cell(path, str(name), value, experiments) for name, value in given.items()}
    for cell in cells.values():
        if cell.against and (cell.against not in cells or cell.against == cell.name):
            others = {*cells} - {cell.name}
            raise ConfigurationError(f"{path}: {cell.name}: against={cell.against!r}: {hint(cell.against, others)}")
    return Paper(whole.text("paper"), cells)


def paper_folders(root: Path) -> list[Path]:
    """List the folders below `root` that hold a file of cells, by name."""
    return sorted(path.parent for path in root.rglob(CELLS))


def folder_of(name: str, root: Path) -> Path | None:
    """Return the folder of a paper by its name below `root`, or by its path; None if there is no such paper."""
    return next((place for place in (root / name, Path(name)) if (place / CELLS).is_file()), None)


def paper_name(folder: Path, root: Path) -> str:
    """Return the name of a paper: its path below `root`, or else the name of its folder."""
    absolute, top = folder.resolve(), root.resolve()
    return absolute.relative_to(top).as_posix() if absolute.is_relative_to(top) and absolute != top else absolute.name


def _loaded(path: Path) -> Mapping[str, Any]:
    values = read_yaml(path, LARGEST)
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{path}: must hold paper: and cells:")
    return values


def _cell(path: Path, name: str, value: Any, experiments: Collection[str]) -> ReproductionCell:
    if not re.fullmatch(r"[\w.+-]+", name):
        raise ConfigurationError(f"{path}: cell {name}: must be a word of letters, digits, _ . + and -")
    fields = Fields(str(path), {name: value}).part(name)
    kind = "study" if "study" in fields.values else "experiment"
    if kind == "study":
        fields.limit_keys((*ALWAYS, "study"), ("overrides", "reduced"))
    else:
        fields.limit_keys((*ALWAYS, *OF_TRAINING), OPTIONAL)
    seeds = fields.entries("seeds", int, "whole numbers")
    if kind == "experiment" and not (seeds and all(0 <= seed < 2**63 for seed in seeds)):
        raise fields.error("seeds", "must be a list of different whole numbers of at least 0, at least one")
    return ReproductionCell(
        name=name,
        claim=fields.text("claim"),
        needs=_cost(fields.part("needs")),
        overrides=fields.entries("overrides", str, "texts"),
        seeds=seeds,
        published=_published(fields.part("published")) if kind == "experiment" else PublishedFigure(),
        against=fields.text("against", ""),
        reduced=fields.text("reduced", ""),
        front=fields.truth("front", default=True),
        **{kind: fields.choice(kind, experiments)},
    )


def _cost(fields: Fields) -> Cost:
    fields.limit_keys(("device", "hours"))
    hours = fields.number("hours", least=0.0)
    assert hours is not None  # a required key
    return Cost(fields.choice("device", DEVICES), hours)


def _published(fields: Fields) -> PublishedFigure:
    fields.limit_keys((), ("value", "tolerance", "where", "reason"))
    found = PublishedFigure(
        value=fields.number("value"),
        tolerance=fields.number("tolerance", least=0.0),
        where=fields.text("where", ""),
        reason=fields.text("reason", ""),
    )
    if found.value is None and not found.reason:
        raise fields.error("reason", "is missing: a value, or the reason why there is none")
    if found.value is not None and (found.reason or not found.where):
        raise fields.error("where", "a value needs the place of its publication, and no reason")
    if found.value is None and found.tolerance is not None:
        raise fields.error("tolerance", "belongs to a value")
    return found
