"""The entry point of the command line, `energy VERB ...`.

Exit status: 0 done; 1 failed; 2 a mistake in the command or the configuration, found before anything was touched; 130
interrupted from the keyboard; 128 + n after another signal n at which a training saved its state and left. An error
that the user can mend is one line on standard error; a defect is a traceback and a line that asks to report it.
"""

import io
import os
import sys
import warnings
from collections.abc import Sequence

from energy import __version__
from energy.command import catalog, pages
from energy.command.arguments import Arguments, parse, validate_options
from energy.command.complaint import complaint, defect
from energy.command.verb import Verb
from energy.command.verbs import VERBS
from energy.component import ConfigurationError
from energy.errors import LINE, shown
from energy.hints import meant
from energy.ranks import asked, here
from energy.renamed import FormerNameWarning
from energy.train.terminal import one_line_warnings, say


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command and return its exit status.

    Args:
        argv: the words after `energy`; those of the process unless given.

    Returns:
        0, 1, 2, 130 or 128 + n, as the module lists them.
    """
    _print_anything()
    try:
        with warnings.catch_warnings(), one_line_warnings("energy"):
            warnings.simplefilter("default", FormerNameWarning)
            return _dispatch(list(sys.argv[1:] if argv is None else argv))
    except ConfigurationError as error:
        return _complain(error, 2)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _complain(f"{_rank()}{complaint(error) or defect(error, argv)}", 1, any_rank=True)


def usage() -> str:
    """Return the list of verbs, one per line."""
    lines = [f"  energy {name} {verb.usage}\n      {verb.summary}" for name, verb in VERBS.items()]
    return "\n".join([f"energy {__version__}: energy-based equilibrium models", "", *lines, "", _more()])


def _more() -> str:
    return "energy --help lists every component; energy VERB --help explains a verb; energy --version"


def _dispatch(words: list[str]) -> int:
    line = parse(words)
    if line.version:
        print(__version__)
        return 0
    name, verb = _chosen(line)
    validate_options(line, name, verb.options)
    _require_alone(line, name)
    if verb.needs and not (line.rest or line.help or line.dry):
        usage = f"usage: energy {name} {verb.usage}"
        raise ConfigurationError(f"{name}: needs {verb.needs}; {usage}; for example energy {name} {verb.example}")
    if line.plugins or (verb.components and not line.help):
        catalog.load_all(line.plugins)
    if line.help and not verb.pages:
        print(f"usage: energy {name} {verb.usage}\n\n{verb.summary}; for example\n\n  energy {name} {verb.example}")
        return 0
    return verb.action(line)


def _chosen(line: Arguments) -> tuple[str, Verb]:
    """The name and the verb that a command asks for, taken off its words; without one, the catalog or the usage."""
    if not line.rest and not line.help:
        return "VERB", Verb("", "", "", _verbs, components=False)
    name = line.rest.pop(0) if line.rest else "help"
    if name == "help":
        return "--help", Verb("", "", "", _help, components=False, pages=True)
    if name not in VERBS:
        guess = meant(name, VERBS) or ";"
        raise ConfigurationError(f"{shown(name)}: unknown verb{guess} known: {', '.join(VERBS)}")
    return name, VERBS[name]


def _require_alone(line: Arguments, name: str) -> None:
    """Refuse the ranks of a launcher such as torchrun, unless they are to share one training."""
    if (name != "train" or line.sweep) and (count := asked()) > 1:
        raise ConfigurationError(
            f"{name}{' -m' if line.sweep else ''}: is for one process, and {count} were started (WORLD_SIZE); they can "
            "share one training, energy train without -m"
        )


def _verbs(line: Arguments) -> int:
    """Print the verbs, for a command that lacks one."""
    print(usage(), file=sys.stderr)
    return 2


def _help(line: Arguments) -> int:
    """Print the verbs and the whole catalog."""
    listed = pages.catalog(catalog.entries())
    print(f"{usage()}\n\nComponents, with their fields, types and defaults:\n\n{listed}")
    return 0


def _print_anything() -> None:
    """Replace letters that the terminal or file lacks, such as ±, by question marks instead of failing on them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def _rank() -> str:
    """The rank that an error is of, where it is not the first one, which speaks for all."""
    return "" if here().speaks else f"rank {os.environ.get('RANK', '')}: "


def _complain(error: object, status: int, any_rank: bool = False) -> int:
    """Print an error on one line; of a mistake that every rank finds, the first one tells."""
    say(True, f"energy: {shown(' '.join(str(error).split()), LINE)}", any_rank=any_rank)
    return status


if __name__ == "__main__":
    sys.exit(main())
