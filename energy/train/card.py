"""The card of exported weights: a page of Markdown on what they are, where they come from, and how to score them."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from energy.io.scores import BESIDE, MAIN
from energy.train.run import Run
from energy.train.words import train_words

LICENSE: Final = "Apache-2.0"
WIDTH: Final = 100
SCORED: Final = {
    "test_accuracy": "test accuracy, %",
    "test_top5_accuracy": "test top-5 accuracy, %",
    "test_mirrored_accuracy": "test accuracy with mirror images, %",
    "test_objective": "test objective per sample",
    "test_examples": "test examples",
    "validation_accuracy": "validation accuracy, %",
    **{f"{split}_{score.name}": f"{split} {score.heading}" for score in MAIN[1:] for split in ("test", "validation")},
    **{f"test_{name}": f"test {title}{', %' if unit else ''}" for name, (title, unit) in BESIDE.items()},
    "readout_validation_accuracy": "validation accuracy of the read-out, %",
    "readout_validation_top5_accuracy": "validation top-5 accuracy of the read-out, %",
}
ORIGIN: Final = {
    "energy": "version",
    "commit": "commit",
    "torch": "torch",
    "python": "Python",
    "device": "device",
    "device_name": "device name",
    "threads": "threads",
}


def card_text(run: Run, facts: Mapping[str, Any], name: str, digest: str) -> str:
    """Write the card of a file of weights.

    Args:
        run: the run that the weights come from.
        facts: the metadata of the file.
        name: the name of the file.
        digest: its SHA-256.
    """
    rule = "" if run.rule.name == "contrast" else f" with the rule `{run.rule.name}`"
    what = (
        f"Weights of `{run.model.name}`, {facts['parameters']:,} parameters, trained on `{facts['data']['name']}` by "
        f"`{run.settler.name}`{rule}, seed {run.seed}. They are {_chosen(facts)}."
    )
    parts = [f"# {run.title}", what, *_evaluation(name, digest), *_training(run, facts)]
    parts += ["## Scores", _table("score", [(SCORED[key], f"{value:.6g}") for key, value in facts["scores"].items()])]
    parts += ["Scored by the run itself, once, on the device below.", *_data(facts["data"])]
    parts += ["## Origin", _table("origin", _origin(facts["provenance"]))]
    parts += [f"The code is under {LICENSE}. Nothing is said here about a license of the weights or of the data."]
    return "\n\n".join(parts) + "\n"


def _chosen(facts: Mapping[str, Any]) -> str:
    """The choice of the weights, and the number of steps they took."""
    which = {"best": "those of the best epoch on the validation split", "last": "those of the last epoch"}
    first, _, rest = facts["weights"].partition(", ")
    told = which.get(first.partition(" ")[0], f"the {first} ones")
    return f"{told} ({rest + ', counted from 0; ' if rest else ''}{facts['step']} steps in all)"


def _evaluation(name: str, digest: str) -> Iterator[str]:
    yield "## Evaluate"
    yield _console(["energy", "evaluate", name])
    yield (
        "The metadata of the file hold the whole configuration, and the network is rebuilt from it by name; a changed "
        "byte is noticed. `device=cpu` or `device=cuda` chooses another device, on which the last digits may differ."
    )
    yield _console(["sha256sum", name], f"{digest}  {name}")


def _training(run: Run, facts: Mapping[str, Any]) -> Iterator[str]:
    yield "## Train again"
    yield _console(["energy", "train", *train_words(run)])
    for file, sha in facts["plugins"].items():
        yield f"It needs code that is not part of the toolkit: `{file}`, SHA-256 `{sha}`, given with `--plugin`."
    yield f"Hash of the configuration: `{facts['key']}`."


def _data(data: Mapping[str, Any]) -> Iterator[str]:
    yield f"## Data: {data['name']}"
    if not data["digests"]:
        yield "The data were not at hand when the file was written, so there are no digests of them."
        return
    yield "As the data were when the file was written:"
    yield _table("SHA-256 of", [(f"`{name}`", f"`{sha}`") for name, sha in data["digests"].items()])


def _origin(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(title, f"`{provenance[key]}`") for key, title in ORIGIN.items() if provenance.get(key)]


def _table(head: str, rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join([f"| {head} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _console(words: list[str], answer: str = "") -> str:
    """A command as a block, continued on further lines where it is long, and its answer."""
    lines = [f"$ {words[0]}"]
    for word in map(shlex.quote, words[1:]):
        if len(lines[-1]) + len(word) + 3 > WIDTH:
            lines[-1] += " \\"
            lines.append(f"    {word}")
        else:
            lines[-1] += f" {word}"
    return "\n".join(["```console", *lines, *([answer] if answer else []), "```"])
