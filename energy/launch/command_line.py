"""A command line that a launcher carries out, and the environment that it needs."""

import os
import shlex
import site
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import energy

OURS: Final = "ENERGY_"  # variables of the environment that the toolkit reads begin with it


@dataclass(frozen=True)
class CommandLine:
    """One command of a sweep, which can be given again: it skips what is finished and continues what is not.

    Attributes:
        name: what messages call it.
        words: the program and its arguments.
        folder: the folder that it writes in, and that its log is written to.
        gpu: whether it takes a GPU if there is one.
    """

    name: str
    words: tuple[str, ...]
    folder: Path
    gpu: bool = False

    @property
    def text(self) -> str:
        """The line as a shell reads it."""
        return shlex.join(self.words)


def command_environment(threads: int) -> dict[str, str]:
    """Return the variables that a command line needs beside those of the process that starts it.

    Args:
        threads: of the command line.
    """
    found = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
    return {**found, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(_search_path())}


def package_root() -> str:
    """Return the folder from which this package was imported."""
    return str(Path(energy.__file__).resolve().parents[1])


def _search_path() -> Sequence[str]:
    """`PYTHONPATH`, headed by the folder of this package unless Python looks there in any case."""
    given = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    root = package_root()
    installed = {str(Path(one).resolve()) for one in [*site.getsitepackages(), site.getusersitepackages()]}
    return given if root in installed or root in given else [root, *given]
