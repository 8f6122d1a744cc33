"""One network, several settlers: the same data in the same order, several seeds, one table."""

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, ClassVar

from energy.component import Component, annotations, require, to_dict
from energy.io.atomic import write_text
from energy.io.provenance import provenance
from energy.io.record import write_json
from energy.io.scores import main_score, main_value
from energy.settle.settler import Settler
from energy.study.bench import Bench, Price
from energy.study.entrants import Entrant, entrants_of
from energy.study.memory import SAID
from energy.study.report import UNITS, accuracy_differences, markdown_report, settler_row
from energy.train.evaluate import load_run
from energy.train.finite_check import NonFinite
from energy.train.fit import fit
from energy.train.measure import gradient_alignment_of_run
from energy.train.run import Run, Setting
from energy.train.scores import main_score_of
from energy.train.terminal import say


class Comparison(Setting):
    """One network trained with several settlers at several seeds.

    An entry of `settlers` is a name with optional fields, and an optional label before a colon: `backprop`;
    `equilibrium_propagation beta=0.05`; `central: two_phase kind=centered relax.max_steps=30`. Parts of the run and
    their fields go the same way: `contrastive_hebbian optimizer=adam optimizer.lr=0.02`. Values are written as on the
    command line.

    Attributes:
        settlers: the settlers to compare.
        seeds: one training of each settler for each.
        timing_rounds: number of steps that each settler takes when times are measured, in turn with the others.
        timing_seconds: time after which measuring stops early; three rounds are taken in any case.
    """

    group: ClassVar[str] = "comparison"
    settlers: list[str] = field(default_factory=lambda: ["backprop", "dual_propagation"])
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    timing_rounds: int = 20
    timing_seconds: float = 120.0
    title: str = "compare"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.seeds) and len(set(self.seeds)) == len(self.seeds), self, "seeds", "different numbers")
        require(all(0 <= seed < 2**63 for seed in self.seeds), self, "seeds", "at least 0 and below 2^63")
        require(self.timing_rounds >= 1, self, "timing_rounds", "at least 1")
        require(self.timing_seconds > 0, self, "timing_seconds", "above 0")
        require(bool(self.settlers), self, "settlers", "at least one settler")
        entrants(self)

    def parts(self) -> list[Component]:
        varied = [part for entrant in entrants(self) for part in (entrant.settler, *entrant.changes.values())]
        return [self, *varied]


def entrants(comparison: Comparison) -> list[Entrant]:
    """Parse the entries of `comparison.settlers`.

    Raises:
        ConfigurationError: naming the entry, for an unknown settler or field, a bad value or a label used twice.
    """
    return entrants_of(comparison, comparison.settlers)


def entrant_runs(comparison: Comparison, entrant: Entrant) -> Iterator[Run]:
    """Yield the trainings of one entrant, one for each seed, each in a folder of its own."""
    shared = {name: getattr(comparison, name) for name in annotations(Setting) if name not in ("title", "out")}
    shared |= entrant.changes
    for seed in comparison.seeds:
        out = str(comparison.folder / entrant.label / f"seed-{seed}")
        yield Run(**shared, settler=entrant.settler, seed=seed, title=entrant.label, out=out)


def compare(comparison: Comparison, settlers: Mapping[str, Settler] | None = None) -> str:
    """Train, measure, and write `compare.json` and `compare.md` into the folder.

    Finished trainings are kept, broken ones continued; measurements on them are repeated. A training that ends in
    non-finite numbers is listed under the table.

    Args:
        comparison: the settlers, the network and the data.
        settlers: by label, in place of `comparison.settlers`.

    Returns:
        the table as Markdown, with its conditions of measurement.
    """
    entered = entrants(comparison) if settlers is None else [Entrant(*pair, {}) for pair in settlers.items()]
    found = {entrant.label: _line(comparison, entrant) for entrant in entered}
    finished = {label: line["finished"] for label, line in found.items() if line["finished"] is not None}
    bench = Bench(comparison, finished, comparison.timing_rounds, comparison.timing_seconds) if finished else None
    prices = bench.prices() if bench else {}
    device = comparison.place()
    score = main_score_of(comparison.data.targets)
    rows = [settler_row(label, line, prices.get(label, Price()), score) for label, line in found.items()]
    report = {
        "title": comparison_title(comparison),
        "rows": rows,
        "paired": accuracy_differences(rows),
        "seeds": comparison.seeds,
        "memory": SAID[device.type],
        "comparison": to_dict(comparison),
        **provenance(device),
        "units": UNITS,
    }
    write_json(comparison.folder / "compare.json", report)
    text = markdown_report(report)
    write_text(comparison.folder / "compare.md", text)
    return text


def announced(comparison: Comparison) -> str:
    """Describe a comparison before it starts, in one line."""
    labels = [entrant.label for entrant in entrants(comparison)]
    count = len(labels) * len(comparison.seeds)
    told = "one training" if count == 1 else f"{count} trainings"
    return f"compare: {comparison_title(comparison)}: {', '.join(labels)}; {told} into {comparison.folder}"


def comparison_title(comparison: Comparison) -> str:
    """Name model, data, epochs and seeds of a comparison, in one line."""
    seeds = "one seed" if len(comparison.seeds) == 1 else f"{len(comparison.seeds)} seeds"
    epochs = "one epoch" if comparison.train.epochs == 1 else f"{comparison.train.epochs} epochs"
    return f"{comparison.model.name} on {comparison.data.name}, {epochs}, {seeds}"


def _line(comparison: Comparison, entrant: Entrant) -> dict[str, Any]:
    """Train one entrant at all seeds: results, angles and failures, and one of its finished runs."""
    line: dict[str, Any] = {"settler": to_dict(entrant.settler), "finished": None}
    line |= {name: [] for name in ("results", "failures", "initial", "trained")}
    for run in entrant_runs(comparison, entrant):
        try:
            line["results"].append(fit(run))
            score, value = main_score(line["results"][-1]), main_value(line["results"][-1])
            say(not run.train.progress, f"{run.title}, seed {run.seed}: test {score.title} {score.told(value)}")
        except NonFinite as error:
            line["failures"].append(f"seed {run.seed}: {error}")
            continue
        line["finished"] = line["finished"] or run
        images = run.data.load(run.place(), run.seed, run.precision.activity).train
        line["initial"].append(gradient_alignment_of_run(run, run.network(), images))
        line["trained"].append(gradient_alignment_of_run(run, load_run(run.folder)[1], images))
    return line
