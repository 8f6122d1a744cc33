"""The verbs: one function each, which imports its needs when it is called, so that help waits for no torch."""

import json
import sys
from pathlib import Path
from typing import Final

from energy.command import catalog, folders, pages, presets
from energy.command.arguments import OPTIONS, Arguments
from energy.command.dry import print_descriptions
from energy.command.entry import Entry
from energy.command.output import show
from energy.command.verb import Verb
from energy.component import ConfigurationError, from_dict
from energy.errors import shown
from energy.hints import hint


def train_command(arguments: Arguments) -> int:
    """Train the run that the overrides describe, or the runs of a sweep one after the other."""
    if arguments.help:
        return _configuration_page(arguments, "train", "run", catalog.entry("energy.train.run", "Run"))
    from energy.command.training import train_runs

    return train_runs(arguments)


def compare_command(arguments: Arguments) -> int:
    """Train one network with several settlers and print one table."""
    if arguments.help:
        entry = catalog.entry("energy.study.compare", "Comparison")
        return _configuration_page(arguments, "compare", "comparison", entry)
    from energy.command.compose import plan
    from energy.study.compare import Comparison, announced, entrants
    from energy.study.compare import compare as carry_out
    from energy.study.compare import entrant_runs as trainings
    from energy.study.report import report_text
    from energy.train.rehearsal import rehearse

    comparisons = plan(Comparison, "comparison", arguments)
    for comparison in comparisons:
        for entrant in entrants(comparison):
            rehearse(next(trainings(comparison, entrant)))
    if arguments.dry:
        return print_descriptions(comparisons)
    for comparison in comparisons:
        comparison.place()
    for comparison in comparisons:
        show(announced(comparison), sys.stderr)
        report = carry_out(comparison)
        show(report_text(comparison.folder) if sys.stdout is not None and sys.stdout.isatty() else report)
        _draw_compared(comparison.folder)
    return 0


def study_command(arguments: Arguments) -> int:
    """Measure what the inference phase costs, point by point, and report on it."""
    if arguments.help:
        entry = catalog.entry("energy.study.inference.study", "Study")
        return _configuration_page(arguments, "study", "study", entry)
    from energy.command.study import run_studies

    return run_studies(arguments)


def evaluate_command(arguments: Arguments) -> int:
    """Score finished runs again, on the test split unless `split=` names another."""
    known = ("split", "device", "readout", "readout.")
    paths, options = folders.sort("evaluate", arguments.rest, known, suffix=WEIGHTS)
    if not paths:
        raise ConfigurationError("evaluate: needs a folder")
    fields = {name.removeprefix("readout."): value for name, value in options.items() if name.startswith("readout.")}
    from energy.readout.readout import Readout
    from energy.train.evaluate import evaluate as score

    asked = {"name": options["readout"], **fields} if "readout" in options else fields
    readout = from_dict(Readout, asked) if asked else None
    for path in paths:
        scored = score(path, options.get("split", "test"), options.get("device", ""), readout)
        print(json.dumps(scored, indent=2, allow_nan=False))
    return 0


def gradient_error_command(arguments: Arguments) -> int:
    """Split the error of a gradient by cause."""
    from energy.command.budgets import print_error_budgets

    return print_error_budgets(arguments)


def doctor_command(arguments: Arguments) -> int:
    """Diagnose runs before they train, or after it."""
    from energy.command.doctor import examine_runs

    return examine_runs(arguments)


def export_command(arguments: Arguments) -> int:
    """Write the weights of a finished run to one file."""
    from energy.command.export import export_weights

    return export_weights(arguments)


def repro_command(arguments: Arguments) -> int:
    """Reproduce papers: run what is missing of their cells, and write their tables."""
    from energy.command.repro import reproduce_papers

    return reproduce_papers(arguments)


def plot_command(arguments: Arguments) -> int:
    """Draw figures from records, and those of the features of a finished run; with `--out` one of all runs together."""
    from energy.command.runs import draw_runs

    return draw_runs(arguments)


def runs_command(arguments: Arguments) -> int:
    """List the runs below some folders."""
    from energy.command.runs import list_runs

    return list_runs(arguments)


def data_command(arguments: Arguments) -> int:
    """List, check or fetch data sets."""
    from energy.command import datasets

    action, *names = arguments.rest
    if action not in datasets.ACTIONS:
        raise ConfigurationError(f"data {shown(action)}: unknown; {hint(action, datasets.ACTIONS)}")
    return datasets.ACTIONS[action](names)


def explain_command(arguments: Arguments) -> int:
    """Print the documentation and the fields of components."""
    known = catalog.entries()
    for word in arguments.rest or sorted({entry.group for entry in known}):
        show(pages.explain(word, known) + "\n")
    return 0


WEIGHTS: Final = ".safetensors"
CONFIGURED: Final = frozenset({"sweep", "dry", "folders"})
LAUNCHED: Final = CONFIGURED | {"printed"}
VERBS: Final = {
    "train": Verb(
        "[name=value ...]",
        "train a network, test it once",
        "settler=dual_propagation model.sizes=[64] train.epochs=3 out=runs/first",
        train_command,
        options=LAUNCHED,
        pages=True,
    ),
    "evaluate": Verb(
        "RUN_FOLDER ... | FILE.safetensors ... [split=test] [device=cpu] [readout=nearest]",
        "score a trained network again",
        "runs/first split=validation",
        evaluate_command,
        needs="a folder",
    ),
    "export": Verb(
        "RUN_FOLDER FILE.safetensors",
        "the weights of a finished run as one file to give away, and a card FILE.md that describes it",
        "runs/first first.safetensors",
        export_command,
        needs="a run folder and a file",
    ),
    "gradient-error": Verb(
        "RUN_FOLDER ... | name=value ... [batch=64] [split=validation]",
        "the causes of an inexact gradient, of a finished run or of an untrained network, and what to change",
        "runs/first batch=32",
        gradient_error_command,
        needs="a run folder, or the name=value words of an untrained network",
        options=frozenset({"folders"}),
    ),
    "doctor": Verb(
        "[name=value ...] | RUN_FOLDER ... [samples=16] [device=cpu] [out=FOLDER]",
        "before a network trains, or after it: how fast it settles, whether an equilibrium is sure, and what is wrong; "
        "overrides are those of train, and only the first training images are looked at",
        "settler=equilibrium_propagation model.sizes=[64]",
        doctor_command,
        options=frozenset({"folders"}),
    ),
    "compare": Verb(
        "name=value ...",
        "one network, several settlers, one table",
        "settlers=[backprop,dual_propagation] seeds=[0,1,2]",
        compare_command,
        needs="to be told what, since it trains for minutes",
        options=CONFIGURED,
        pages=True,
    ),
    "study": Verb(
        "name=value ... | merge FOLDER ... out=FOLDER",
        "what the inference phase costs: points, figures, a report",
        "experiment=inference_cost/hopfield out=runs/study",
        study_command,
        needs="to be told what, since it measures for minutes",
        options=LAUNCHED | {"groups"},
        pages=True,
    ),
    "runs": Verb(
        "[FOLDER ...] [name=value ...] [--where 'name<=value'] [--columns NAME,NAME] [--sort NAME] [--by-seed] "
        "[--csv|--json]",
        "the runs below folders, runs/ unless given: how they differ, and how they ended; name=value keeps those that "
        "have it, --by-seed makes one row of runs that differ in the seed alone",
        "runs settler=dual_propagation --sort accuracy",
        runs_command,
        options=frozenset({"sort", "csv", "json", "by_seed", "where", "columns"}),
        components=False,
    ),
    "data": Verb(
        "list | check NAME ... | fetch NAME ...",
        "the data sets under $ENERGY_DATA",
        "list",
        data_command,
        needs="an action",
    ),
    "repro": Verb(
        "[PAPER[/CELL] ...] [--seed N] [--budget MINUTES] [--list] [--tables] [launcher=NAME]",
        "reproduce papers: run what is missing of the cells in paper_repro/PAPER/cells.yaml and write their tables; "
        "--list shows what was run and what the rest costs",
        "softhebb/cifar10_3 --seed 0 --budget 30",
        repro_command,
        options=frozenset({"folders", "listed", "tables", "seeds", "budget", "printed"}),
    ),
    "plot": Verb(
        "FOLDER ... [--out FILE.png] [--where 'name<=value']",
        "figures of runs, what they learnt, and comparisons, inside each folder; with --out one figure of the curves "
        "of all runs in or below the folders",
        "runs/first runs/second --out both.png",
        plot_command,
        needs="a folder",
        options=frozenset({"out", "where"}),
    ),
    "explain": Verb(
        "[NAME | group=NAME | group ...]",
        "documentation and fields of components",
        "dual_propagation",
        explain_command,
        components=False,
    ),
}


def _configuration_page(arguments: Arguments, verb: str, title: str, entry: Entry) -> int:
    folders = presets.looked_in(arguments)
    groups = [presets.EXPERIMENT, *(field for field, names in entry.choices.items() if names)]
    files = {name: presets.presets(folders, name) for name in groups}
    print(f"usage: energy {verb} {VERBS[verb].usage}\n\n{VERBS[verb].summary}; for example\n")
    print(f"  energy {verb} {VERBS[verb].example}")
    print(f"  energy {verb} experiment={(files[presets.EXPERIMENT] or ['NAME'])[0]} train.epochs=2\n\n{OPTIONS}\n")
    print(pages.part(title, entry), end="\n\n")
    for field, kind in entry.parts.items():
        print(pages.part(f"{title}.{field}", kind), end="\n\n")
    for name in groups:
        if found := sorted({*files[name]} - {*entry.choices.get(name, ())}):
            print(f"{name}= (files of values)\n  {', '.join(found)}\n")
    print(pages.catalog(catalog.entries()))
    return 0


def _draw_compared(folder: Path) -> None:
    """Draw a comparison; an error costs only the figure, which `energy plot` can draw later from the numbers."""
    from energy.command.figures import draw_folder

    try:
        for figure in draw_folder(folder):
            show(f"Figure: {figure}")
    except Exception as error:
        show(f"No figure: {error or type(error).__name__}; energy plot {folder} draws it.")
