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
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"{path}: {path.parts[0]} is nobody's home folder; write ./{path} for a folder here"
        ) from None
