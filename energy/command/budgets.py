"""The verb `gradient-error`: of finished runs, or of an untrained network that overrides describe."""

import dataclasses
import json
from pathlib import Path
from typing import Final

from energy.command import folders
from energy.command.arguments import Arguments
from energy.command.output import show
from energy.component import ConfigurationError
from energy.errors import shown
from energy.paths import expanded

VERB: Final = "gradient-error"
FILE: Final = "gradient_error.json"
OPTIONS: Final = ("split", "batch")


def print_error_budgets(arguments: Arguments) -> int:
    """Print the error of the gradient by cause, and leave it beside each run that is named by its folder."""
    named = any("=" not in word or expanded(word).is_dir() for word in arguments.rest)
    asked = [word for word in arguments.rest if word.partition("=")[0] in OPTIONS and not expanded(word).is_dir()]
    values = dict(word.split("=", 1) for word in asked)
    split, samples = values.get("split", "validation"), _whole(values.get("batch", "64"))
    if named:
        for path in folders.sort(VERB, arguments.rest, OPTIONS)[0]:
            _of_folder(path, split, samples)
        return 0
    from energy.command.compose import plan
    from energy.train.error_budget import error_budget
    from energy.train.run import Run

    others = [word for word in arguments.rest if word not in asked]
    (run,) = plan(Run, "run", dataclasses.replace(arguments, rest=others))
    show(error_budget(run, split, samples)[0])
    return 0


def _of_folder(path: Path, split: str, samples: int) -> None:
    from energy.io.atomic import write_text
    from energy.train.error_budget import error_budget_of_folder

    found, facts = error_budget_of_folder(path, split, samples)
    write_text(path / FILE, json.dumps({**facts, **found.to_dict()}, indent=2, allow_nan=False) + "\n")
    show(f"{found}\n\n{path / FILE}")


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise ConfigurationError(f"{VERB} batch={shown(text)}: must be a whole number")
    return int(text)
