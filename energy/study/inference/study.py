"""The description of a study: one network, several settlers, and blocks of what is varied."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar

from energy.component import Component, ConfigurationError, require, to_dict
from energy.errors import FieldError
from energy.hints import hint
from energy.paths import expanded
from energy.study.entrants import Entrant, entrants_of
from energy.study.inference.block import StudyBlock, Variation
from energy.study.inference.point import PARTS, PlannedPoint, setting, with_gain, with_variation
from energy.study.inference.record import TRAINED
from energy.targets import TargetKind
from energy.train.run import Precision, Run, Setting


class Study(Setting):
    """A study of the price of inference: points measured block by block, their figures and their report.

    Attributes:
        settlers: as the entries of a comparison: `label: name field=value …`.
        blocks: the sweeps, each for some of the settlers.
        seeds: of weights and batches, unless a block has its own.
        batch: samples that a point is measured on, unless a block varies it.
        trainer: label of the settler that trains the weights of ages above 0; empty for the point's own settler, as it
            is before a block varies it, but for γ.
        workers: processes that measure points at the same time, sharing the threads of the machine; times are measured
            by one alone.
        trainings: the folder of the trained weights; empty for one in the study's own. Studies may share it.
        validation_images: number of images that accuracy is measured on.
        remarks: sentences for the report, such as where a recipe is published.
        timing_rounds: steps that each point takes when times are measured, in turn with the others.
        timing_seconds: time after which measuring those of one network stops early; three rounds are taken in any case.
    """

    group: ClassVar[str] = "study"
    settlers: list[str] = field(default_factory=lambda: ["dual_propagation", "equilibrium_propagation"])
    blocks: list[StudyBlock] = field(default_factory=lambda: [StudyBlock()])
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    batch: int = 32
    trainer: str = ""
    workers: int = 1
    trainings: str = ""
    validation_images: int = 1000
    remarks: list[str] = field(default_factory=list)
    timing_rounds: int = 5
    timing_seconds: float = 120.0
    title: str = "study"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.seeds) and len(set(self.seeds)) == len(self.seeds), self, "seeds", "different numbers")
        for name in ("batch", "validation_images", "timing_rounds", "workers"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        require(self.timing_seconds > 0, self, "timing_seconds", "above 0")
        if self.data.targets is not TargetKind.CLASSES:
            raise ConfigurationError(f"data={self.data.name}: a study measures accuracy, and needs classes")
        labels = [entrant.label for entrant in entrants_of(self, self.settlers)]
        for label in [label for block in self.blocks for label in block.settlers] + [self.trainer] * bool(self.trainer):
            if label not in labels:
                raise FieldError("study", f"no settler is called {label!r}; {hint(label, labels)}")

    def parts(self) -> list[Component]:
        return [self, *(entrant.settler for entrant in entrants_of(self, self.settlers))]


def points(study: Study) -> list[PlannedPoint]:
    """Return the points of a study, each once, those of one network together.

    Raises:
        ConfigurationError: when a block has none, or varies what there is not.
    """
    found: dict[str, PlannedPoint] = {}
    known = {entrant.label: entrant for entrant in entrants_of(study, study.settlers)}
    where = trainings_of(study)
    for block in study.blocks:
        own = list(_points_of(study, block, known, where))
        if not own:
            raise ConfigurationError(f"block {block.title}: no settler admits any of its combinations")
        for point in own:
            found[point.key] = found[point.key].joined(point) if point.key in found else point
    groups: dict[str, list[PlannedPoint]] = {}
    for point in found.values():
        groups.setdefault(point.group, []).append(point)
    return [point for group in groups.values() for point in group]


def _points_of(study: Study, block: StudyBlock, known: Mapping[str, Entrant], where: Path) -> Iterator[PlannedPoint]:
    variations = list(block.variations())
    for label in block.settlers or known:
        for variation in variations:
            admitted = _admitted(study, known[label], variation)
            if admitted is None:
                continue
            parts, numbers = admitted
            for seed, age in itertools.product(block.seeds or study.seeds, block.ages):
                run = _training(study, known[study.trainer or label], parts, seed) if age else None
                run = run if run is None else dataclasses.replace(run, out=str(where / run.folder.name))
                of = {"seed": seed, "age": age, "training": run, "blocks": (block.title,)}
                yield PlannedPoint(label, parts, **numbers, **of, measure=frozenset(block.measure))


def _admitted(study: Study, entrant: Entrant, variation: Variation) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The parts of a point, and its gain, batch and precision; None if they do not fit together."""
    plain = with_variation(_plain(study, entrant), variation)
    numbers = {"gain": float(plain.pop("gain")), "batch": int(plain.pop("batch"))}
    numbers["precision"] = Precision(plain.pop("precision"))
    try:
        parts = setting(plain)
    except ConfigurationError:
        return None
    return {**parts, "model": with_gain(parts["model"], numbers["gain"])}, numbers


def _plain(study: Study, entrant: Entrant) -> dict[str, Any]:
    """The parts of a point before anything is varied, as plain values."""
    found = {name: to_dict(entrant.changes.get(name) or getattr(study, name)) for name in PARTS if name != "settler"}
    found |= {"settler": to_dict(entrant.settler), "gain": 1.0, "batch": study.batch}
    return {**found, "precision": study.precision.value}


def _training(study: Study, entrant: Entrant, parts: dict[str, Any], seed: int) -> Run:
    """The run that trains the weights; γ is that of the point where it trains itself."""
    trainer = entrant.settler
    if not study.trainer:
        trainer = dataclasses.replace(trainer, gamma=parts["settler"].gamma)
    ages = ages_of(study.blocks)
    train = dataclasses.replace(study.train, keep_epochs=[one for one in ages if one <= study.train.epochs])
    names = ("readout", "optimizer", "schedule", "device", "precision", "fused")
    shared: dict[str, Any] = {name: getattr(study, name) for name in names}
    shared |= {name: parts[name] for name in ("model", "data", "objective", "rule")}
    return Run(**shared, train=train, settler=trainer, seed=seed, title="training")


def trainings_of(study: Study) -> Path:
    """Return the folder of the trained weights."""
    return expanded(study.trainings) if study.trainings else study.folder / TRAINED


def ages_of(blocks: Iterable[StudyBlock]) -> list[int]:
    """Return the ages above 0 that blocks ask for, the least first."""
    return sorted({age for block in blocks for age in block.ages if age})
