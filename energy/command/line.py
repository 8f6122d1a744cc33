"""One command line, sorted into options and overrides before anything is imported or composed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from energy.component import ConfigurationError, nearest

FLAGS: Final = {"-m": "sweep", "--multirun": "sweep", "--dry-run": "dry", "-h": "help", "--help": "help"}
TAKING: Final = {"--plugin": "plugins", "--config-dir": "folders", "-cd": "folders"}

OPTIONS: Final = """\
  -m, --multirun      run every combination of the values given as a=1,2,3 or a=range(3), one after the other
  --dry-run           check everything, print the complete configuration as JSON, run nothing
  --plugin FILE.py    import your own components first (also plugins=FILE.py); a plug-in is code, read it before
  --config-dir DIR    look for presets and experiments in DIR too: DIR/experiment/NAME.yaml
  -h, --help          this page, with every component, its fields, their types and defaults"""


@dataclass
class Line:
    """Options taken off; ``rest`` keeps the words, overrides or paths, in their order."""

    sweep: bool = False
    dry: bool = False
    help: bool = False
    plugins: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)


def read(arguments: Sequence[str]) -> Line:
    """Sort the words that follow the verb.

    Raises:
        ConfigurationError: for an unknown option, naming the nearest, and for one that lacks its value.
    """
    line = Line()
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if word in FLAGS:
            setattr(line, FLAGS[word], True)
        elif option in TAKING:
            found = value if equals else next(words, "")
            if not found:
                raise ConfigurationError(f"{option}: needs a value")
            _take(line, TAKING[option], found)
        elif option == "plugins" and equals:
            line.plugins += [name.strip() for name in value.strip("[]").split(",")]
        elif word.startswith("-"):
            raise ConfigurationError(f"{option}: unknown option; did you mean {nearest(option, [*FLAGS, *TAKING])!r}?")
        else:
            line.rest.append(word)
    return line


def _take(line: Line, target: str, value: str) -> None:
    adders: dict[str, Callable[[], None]] = {
        "plugins": lambda: line.plugins.append(value),
        "folders": lambda: line.folders.append(Path(value)),
    }
    adders[target]()
