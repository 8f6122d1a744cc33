"""Presets: files of values, in the folder of the library and in those that a command names."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from energy.command.arguments import Arguments
from energy.component import ConfigurationError
from energy.errors import shown
from energy.train.registration import package_folder

EXPERIMENT: Final = "experiment"


def presets(folders: Iterable[Path], group: str) -> list[str]:
    """List the names of the files of a group, the library's and those in `folders`."""
    places = [package_folder("configs"), *folders]
    found = [file.relative_to(place / group) for place in places for file in (place / group).rglob("*.yaml")]
    return sorted({file.with_suffix("").as_posix() for file in found})


def looked_in(line: Arguments) -> list[Path]:
    """Return the folders of presets that a command names, as absolute paths.

    Raises:
        ConfigurationError: for a folder that does not exist.
    """
    for path in line.folders:
        if not path.is_dir():
            raise ConfigurationError(f"--config-dir={shown(path)}: there is no such folder")
    return [path.resolve() for path in line.folders]
