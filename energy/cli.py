"""``energy VERB ...``: the way in from a terminal.

Exit status: 0 done, 1 failed, 2 a mistake in the command or the configuration, found before anything was touched; 130
interrupted from the keyboard, 128 + n after another signal n at which a training saved its state and left. A mistake of
the user is one line on standard error, an error of ours a traceback.
"""

import os
import sys
from collections.abc import Sequence

from energy import __version__
from energy.command.complaint import complaint
from energy.command.line import read
from energy.command.verbs import VERBS
from energy.component import ConfigurationError, nearest
from energy.train.terminal import one_line_warnings, say


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command and return its exit status.

    Args:
        argv: the words after ``energy``; those of the process unless given.
    """
    try:
        with one_line_warnings("energy"):
            return _dispatch(list(sys.argv[1:] if argv is None else argv))
    except ConfigurationError as error:
        return _complain(error, 2)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError, RuntimeError, ImportError, MemoryError) as error:
        text = complaint(error)
        if not text:
            raise
        return _complain(text, 1)


def usage() -> str:
    """The verbs, one a line."""
    lines = [f"  energy {name} {verb.usage}\n      {verb.summary}" for name, verb in VERBS.items()]
    return "\n".join([f"energy {__version__}: energy-based equilibrium models", "", *lines, "", _more()])


def _more() -> str:
    return "energy --help lists every component; energy VERB --help explains a verb; energy --version"


def _dispatch(words: list[str]) -> int:
    if not words:
        print(usage(), file=sys.stderr)
        return 2
    verb, *rest = words
    if verb == "--version":
        print(__version__)
        return 0
    if verb in ("-h", "--help", "help"):
        return _help()
    if verb not in VERBS:
        guess = nearest(verb, VERBS)
        raise ConfigurationError(f"{verb}: unknown verb; did you mean {guess!r}? known: {', '.join(VERBS)}")
    line = read(rest)
    if line.help and verb not in ("train", "compare"):
        print(f"usage: energy {verb} {VERBS[verb].usage}\n\n{VERBS[verb].summary}")
        return 0
    return VERBS[verb].action(line)


def _help() -> int:
    from energy.command.catalogue import load
    from energy.command.pages import catalogue

    load()
    print(f"{usage()}\n\nComponents, with their fields, types and defaults:\n\n{catalogue()}")
    return 0


def _complain(error: object, status: int) -> int:
    say(True, f"energy: {' '.join(str(error).split())}")
    return status


if __name__ == "__main__":
    sys.exit(main())
