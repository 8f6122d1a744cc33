"""The words of verbs that take folders, sorted into folders and options written as name=value."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from energy.component import ConfigurationError
from energy.errors import shown
from energy.hints import meant
from energy.paths import expanded


def sort(
    verb: str, words: Sequence[str], options: Collection[str] = (), suffix: str = ""
) -> tuple[list[Path], dict[str, str]]:
    """Sort words into folders, whatever their names, and options.

    A word that is both a folder here and an option counts as the folder if no other word is one.

    Args:
        verb: the name of the verb, which messages begin with.
        words: the words, in their order.
        options: the names that may be set; a name that ends in a dot stands for all that begin with it.
        suffix: the ending of files that are taken like folders; empty for none.

    Returns:
        The folders and files, and the values of the options by name.

    Raises:
        ConfigurationError: for a folder that is not there, an unknown option, and a word that could be either.
    """
    folders = list[Path]()
    values = dict[str, str]()
    either = list[str]()
    for word in words:
        name, equals, value = word.partition("=")
        option = bool(equals) and any(name == one or (one[-1] == "." and name.startswith(one)) for one in options)
        if expanded(word).is_dir() or (suffix and word.endswith(suffix) and expanded(word).is_file()):
            either += [word] if option else []
            folders += [] if option else [expanded(word)]
        elif option:
            values[name] = value
        else:
            raise ConfigurationError(_missing(verb, word, options, suffix))
    if either and (folders or len(either) > 1):
        raise ConfigurationError(
            f"{verb} {shown(either[0])}: is a folder here, and an option; write ./{shown(either[0])} for the folder"
        )
    return folders + [expanded(word) for word in either], values


def _missing(verb: str, word: str, options: Collection[str], suffix: str) -> str:
    name, equals, _ = word.partition("=")
    if equals and options and re.fullmatch(r"[\w.]+", name):
        known = [one.rstrip(".") for one in options]
        said = meant(name, known) or f"; known: {', '.join(sorted({*known}))}"
        return f"{verb} {shown(name)}: unknown{said}; nor is there a folder {shown(word)}"
    if expanded(word).exists():
        also = f", or a file that ends in {suffix}" if suffix else ""
        return f"{verb} {shown(word)}: is a file, must be a folder{also}"
    if suffix and word.endswith(suffix):
        return f"{verb} {shown(word)}: there is no such file"
    return f"{verb} {shown(word)}: there is no such folder"
