"""Paths as users write them, with `~` for a home folder."""

import os
from pathlib import Path

from energy.component import ConfigurationError
from energy.errors import shown


def expanded(text: str | os.PathLike[str]) -> Path:
    """Return `text` as a path, with `~` or `~user` at its beginning replaced by the home folder.

    Raises:
        ConfigurationError: for a user that the system does not know, or one without a home.
    """
    path = Path(text)
    if not str(text).startswith("~"):  # `./~` is a folder here, but a Path drops the `./`, so make it absolute
        return path.absolute() if str(path).startswith("~") else path
    try:
        return path.expanduser()
    except RuntimeError:
        user, said = shown(path.parts[0]), shown(text)
        raise ConfigurationError(f"{said}: {user} is nobody's home folder; write ./{said} for a folder here") from None
