"""One function per verb; each imports what it needs when it is called."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from energy.command import pages
from energy.command.catalogue import load
from energy.command.line import OPTIONS, Line
from energy.component import Component, ConfigurationError, build, choices, describe, nearest


class Verb(NamedTuple):
    """A verb of the command line: how it is written, what it is for, and what it does."""

    usage: str
    summary: str
    action: Callable[[Line], int]


def train(line: Line) -> int:
    """Train what the overrides describe; one run after the other in a sweep."""
    load(line.plugins)
    from energy.train.run import Run

    if line.help:
        return _configuration_page("train", "run", Run)
    from energy.command.compose import plan

    runs = plan(Run, "run", line)
    if line.dry:
        return _print_descriptions(runs)
    if line.sweep:
        from energy.command.sweep import sweep

        return sweep(runs)
    from energy.train.fit import fit
    from energy.train.progress import answer

    (run,) = runs
    print(answer(run, fit(run)))
    return 0


def compare(line: Line) -> int:
    """Train one network with several settlers and print one table."""
    load(line.plugins)
    from energy.study.compare import Comparison

    if line.help:
        return _configuration_page("compare", "comparison", Comparison)
    from energy.command.compose import plan

    comparisons = plan(Comparison, "comparison", line)
    if line.dry:
        return _print_descriptions(comparisons)
    from energy.command.figures import draw
    from energy.plots.style import PlotsMissing
    from energy.study.compare import compare as carry_out

    for comparison in comparisons:
        _say(carry_out(comparison))
        try:
            for figure in draw(comparison.folder):
                print(f"Figure: {figure}")
        except PlotsMissing as error:
            print(f"No figure: {error}.")
    return 0


def evaluate(line: Line) -> int:
    """Score finished runs again, on the test split unless ``split=`` says otherwise."""
    options, fields = {"split": "test", "device": "", "readout": ""}, dict[str, Any]()
    for word in [word for word in line.rest if "=" in word]:
        name, _, value = word.partition("=")
        if name in options:
            options[name] = value
        elif name.startswith("readout."):
            fields[name.removeprefix("readout.")] = value
        else:
            raise ConfigurationError(f"evaluate {name}: unknown; did you mean {nearest(name, options)!r}?")
        line.rest.remove(word)
    paths = _paths("evaluate", line)
    load(line.plugins)
    from energy.train.evaluate import evaluate as score
    from energy.train.readout import Readout

    asked = {"name": options["readout"], **fields} if options["readout"] or fields else None
    readout = build(Readout, asked) if asked else None
    for path in paths:
        print(json.dumps(score(path, options["split"], options["device"], readout), indent=2, allow_nan=False))
    return 0


def table(line: Line) -> int:
    """Regenerate a table from its results, adding runs to them first."""
    folder, *runs = _paths("table", line)
    from energy.study.table import table as regenerate

    _say(regenerate(folder, runs))
    return 0


def plot(line: Line) -> int:
    """Draw figures from records, and of a finished run what it learnt."""
    paths = _paths("plot", line)
    from energy.command.figures import draw
    from energy.data.error import DataError

    for path in paths:
        try:
            for figure in draw(path):
                print(figure, flush=True)
        except DataError as error:
            print(f"No pictures of what {path} learnt: {error}", file=sys.stderr)
    return 0


def data(line: Line) -> int:
    """List, check or fetch data sets."""
    load(line.plugins)
    from energy.command import datasets

    action, *names = line.rest or [""]
    if action not in datasets.ACTIONS:
        known = ", ".join(datasets.ACTIONS)
        guess = nearest(action, datasets.ACTIONS)
        raise ConfigurationError(f"data {action}: unknown; did you mean {guess!r}? known: {known}")
    return datasets.ACTIONS[action](names)


def explain(line: Line) -> int:
    """Print everything about components: their documentation and their fields."""
    load(line.plugins)
    for word in line.rest or sorted({group for group, _ in Component.table}):
        print(pages.explain(word), end="\n\n")
    return 0


VERBS: Final = {
    "train": Verb("[name=value ...]", "train a network, test it once", train),
    "evaluate": Verb(
        "RUN_FOLDER ... [split=test] [device=cpu] [readout=nearest]", "score a trained network again", evaluate
    ),
    "compare": Verb("[name=value ...]", "one network, several settlers, one table", compare),
    "data": Verb("list | check NAME ... | fetch NAME ...", "the data sets under $ENERGY_DATA", data),
    "table": Verb("FOLDER [RUN_FOLDER ...]", "published against measured, from results.csv and expected.json", table),
    "plot": Verb("FOLDER ...", "figures of runs, what they learnt, and comparisons", plot),
    "explain": Verb("[NAME | group=NAME | group ...]", "documentation and fields of components", explain),
}


def _configuration_page(verb: str, title: str, base: type[Component]) -> int:
    from energy.command.compose import EXPERIMENT, store

    groups = store(base)
    presets = {name: sorted({*nodes} - {*_labels(base, name)}) for name, nodes in groups.items()}
    print(f"usage: energy {verb} [name=value ...]\n\n{VERBS[verb].summary}; for example\n")
    print(f"  energy {verb} experiment={(presets[EXPERIMENT] or ['NAME'])[0]} train.epochs=2\n\n{OPTIONS}\n")
    print(pages.part(title, base), end="\n\n")
    for field, kind in pages.parts(base).items():
        print(pages.part(f"{title}.{field}", kind), end="\n\n")
    for name, found in presets.items():
        if found:
            print(f"{name}= (files of values)\n  {', '.join(found)}\n")
    print(pages.catalogue())
    return 0


def _labels(base: type[Component], field: str) -> dict[str, type[Component]]:
    kind = pages.components(base).get(field)
    return choices(kind) if kind else {}


def _paths(verb: str, line: Line) -> list[Path]:
    paths = [Path(word) for word in line.rest]
    if not paths:
        raise ConfigurationError(f"{verb}: needs a folder; usage: energy {verb} {VERBS[verb].usage}")
    for path in paths:
        if not path.is_dir():
            raise ConfigurationError(f"{verb} {path}: there is no such folder")
    return paths


def _print_descriptions(components: list[Any]) -> int:
    for component in components:
        print(json.dumps(describe(component), indent=2, allow_nan=False))
    return 0


def _say(answer: object) -> None:
    if isinstance(answer, str) and answer:
        print(answer)
