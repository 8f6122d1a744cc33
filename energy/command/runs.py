"""The verbs `runs` and `plot`: the runs below folders, in one table or in one figure."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from energy.command import folders
from energy.command.arguments import Arguments
from energy.command.figures import draw_folder, draw_together
from energy.command.output import show
from energy.component import ConfigurationError
from energy.errors import DataError, shown
from energy.paths import expanded

CONDITION: Final = re.compile(r"[\w.-]+=.*", re.DOTALL)
KINDS: Final = (".png", ".pdf", ".svg")


def list_runs(arguments: Arguments) -> int:
    """List the runs below folders.

    Returns:
        The exit status, 0.
    """
    from energy.study.listing import listing

    words, conditions = _sorted(arguments.rest)
    tops = folders.sort("runs", words)[0] or [Path("runs")]
    if len(arguments.sort) > 1:
        raise ConfigurationError("runs --sort: takes one name")
    if arguments.csv and arguments.json:
        raise ConfigurationError("runs: prints --csv or --json, not both")
    columns = [name.strip() for text in arguments.columns for name in text.split(",")]
    text = listing(
        *tops,
        where=[*conditions, *arguments.where],
        columns=columns,
        sort="".join(arguments.sort),
        by_seed=arguments.by_seed,
        csv=arguments.csv,
        json=arguments.json,
    )
    show(text)
    return 0


def draw_runs(arguments: Arguments) -> int:
    """Draw the figures of each folder into it, or with `--out` one of all runs in or below the folders.

    Returns:
        The exit status, 0.
    """
    words, conditions = _sorted(arguments.rest) if arguments.out else (arguments.rest, [])
    paths = folders.sort("plot", words)[0]
    if arguments.out:
        show(draw_together(paths, [*conditions, *arguments.where], _file(arguments.out)))
        return 0
    if arguments.where:
        raise ConfigurationError("plot --where: chooses the runs of one figure; name its file with --out")
    for path in paths:
        try:
            for figure in draw_folder(path):
                show(figure)
        except DataError as error:
            show(f"No pictures of what {path} learnt: {error}", sys.stderr)
    return 0


def _sorted(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The folders among words, and the conditions; what is a folder here is no condition."""
    conditions = [word for word in words if CONDITION.fullmatch(word) and not expanded(word).is_dir()]
    return [word for word in words if word not in conditions], conditions


def _file(given: Sequence[str]) -> Path:
    """The file of a figure."""
    path = expanded(given[-1])
    if len(given) > 1:
        raise ConfigurationError("plot --out: takes one file")
    if path.suffix.lower() not in KINDS:
        raise ConfigurationError(f"plot --out {shown(path)}: must end in {', '.join(KINDS)}")
    if path.is_dir():
        raise ConfigurationError(f"plot --out {shown(path)}: is a folder")
    return path
