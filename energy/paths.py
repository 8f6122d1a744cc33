"""Paths as people write them."""

import os
from pathlib import Path

from energy.component import ConfigurationError


def expanded(text: str | os.PathLike[str]) -> Path:
    """`text` as a path, `~` and `~user` at its beginning standing for home folders.

    Raises:
        ConfigurationError: for a user that the system does not know, or one without a home.
    """
    path = Path(text)
    if not str(text).startswith("~"):  # `./~` is a folder here, which a Path forgets unless it says where
        return path.absolute() if str(path).startswith("~") else path
    try:
        return path.expanduser()
    except RuntimeError:
        user = path.parts[0]
        raise ConfigurationError(f"{text}: {user} is nobody's home folder; write ./{text} for a folder here") from None
