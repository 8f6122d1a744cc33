"""One command line, sorted into options and overrides before anything is imported or composed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from energy.component import ConfigurationError
from energy.errors import shown
from energy.hints import meant
from energy.paths import expanded

FLAGS: Final = {
    "-m": "sweep",
    "--multirun": "sweep",
    "--dry-run": "dry",
    "--csv": "csv",
    "--json": "json",
    "--by-seed": "by_seed",
    "--list": "listed",
    "--tables": "tables",
    "--print": "printed",
    "-h": "help",
    "--help": "help",
    "--version": "version",
}
TAKING: Final = {
    "--plugin": "plugins",
    "--config-dir": "folders",
    "-cd": "folders",
    "--sort": "sort",
    "--where": "where",
    "--columns": "columns",
    "--out": "out",
    "--seed": "seeds",
    "--budget": "budget",
    "--group": "groups",
}
EVERYWHERE: Final = frozenset({"help", "plugins"})

OPTIONS: Final = """\
  -m, --multirun      run every combination of the values given as a=1,2,3 or a=range(3), one after the other
  --dry-run           check everything, print the complete configuration as JSON, run nothing
  --print             of train, study and repro: print the command lines that launcher=NAME would carry out, run nothing
  --plugin FILE.py    import your own components first (also plugins=FILE.py, or --plugin package.module); a plug-in is
                      code, read it before
  --config-dir DIR    look for presets and experiments in DIR too: DIR/experiment/NAME.yaml
  -h, --help          this page, with every component, its fields, their types and defaults"""


@dataclass
class Arguments:
    """The options of one command line, and the words that remain.

    Attributes:
        sweep: run every combination of the values (`--multirun`).
        dry: check everything and run nothing (`--dry-run`).
        csv: print comma-separated values.
        json: print JSON.
        by_seed: put runs that differ in the seed alone into one row (`--by-seed`).
        listed: print what there is and run nothing.
        tables: regenerate tables and run nothing.
        printed: print the command lines that would be launched, and run nothing (`--print`).
        help: print the page of a verb.
        version: print the version.
        sort: the fields to sort by, at most one.
        where: conditions that runs must meet.
        columns: those of a table, some between commas.
        out: the file to write, at most one.
        seeds: the only seeds to run.
        budget: minutes after which nothing more is run, at most one number.
        groups: the networks of a study whose points alone are measured.
        plugins: files and modules to import first.
        folders: further folders of presets.
        rest: overrides or paths, in their order.
        options: the options as they were written, by the attribute that they set.
    """

    sweep: bool = False
    dry: bool = False
    csv: bool = False
    json: bool = False
    by_seed: bool = False
    listed: bool = False
    tables: bool = False
    printed: bool = False
    help: bool = False
    version: bool = False
    sort: list[str] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    out: list[str] = field(default_factory=list)
    seeds: list[str] = field(default_factory=list)
    budget: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    plugins: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)


def parse(given: Sequence[str]) -> Arguments:
    """Sort the words of a command into options and the rest.

    Raises:
        ConfigurationError: for an unknown option, naming the nearest, for one that lacks its value, and for a word
            that is not UTF-8 or holds a zero byte.
    """
    arguments = Arguments()
    words = iter(given)
    for word in words:
        _readable(word)
        option, equals, value = word.partition("=")
        if word in FLAGS:
            arguments.options[FLAGS[word]] = word
            setattr(arguments, FLAGS[word], True)
        elif option in TAKING:
            found = value if equals else next(words, "")
            _readable(found)
            if not found:
                raise ConfigurationError(f"{option}: needs a value")
            arguments.options[TAKING[option]] = option
            getattr(arguments, TAKING[option]).append(expanded(found) if TAKING[option] == "folders" else found)
        elif option == "plugins" and equals and not expanded(word).is_dir():
            arguments.options["plugins"] = option
            arguments.plugins += [name.strip().strip("'\"") for name in value.strip("[]").split(",")]
        elif word.startswith("-"):
            guess = meant(option, [*FLAGS, *TAKING])
            raise ConfigurationError(f"{shown(option)}: unknown option{guess}{_dashed(word)}")
        else:
            arguments.rest.append(word)
    return arguments


def validate_options(arguments: Arguments, verb: str, taken: frozenset[str]) -> None:
    """Refuse options that a verb does not take.

    Args:
        arguments: the command line.
        verb: the name of the verb, for the error.
        taken: the options of the verb, by the attribute of `Arguments` that they set.

    Raises:
        ConfigurationError: naming the first such option, and those that the verb takes.
    """
    known = taken | EVERYWHERE
    for target, option in arguments.options.items():
        if target not in known:
            names = [name for name, sets in (FLAGS | TAKING).items() if sets in known and name.startswith("--")]
            raise ConfigurationError(f"{option}: energy {verb} does not take it; it takes {', '.join(names)}")


def _readable(word: str) -> None:
    """Refuse a word that no file name or text can be."""
    if "\0" in word:
        raise ConfigurationError(f"{shown(word)}: holds a zero byte")
    try:
        word.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{shown(word)}: holds bytes that are not UTF-8") from None


def _dashed(word: str) -> str:
    return f"; write ./{shown(word)} for the folder" if os.path.exists(word) else ""
