"""Data of the figures of a run: arrays and facts in one file that holds no code."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from energy.errors import DamagedFileError
from energy.io.atomic import replacing

FIGURE_DATA: Final = "pictures.npz"
FORMAT: Final = 1
FACTS: Final = "facts"


def write_figure_data(path: Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Path:
    """Write `arrays` and `facts` (strict JSON), whole or not at all, and return `path`."""
    text = json.dumps({**facts, "format": FORMAT}, allow_nan=False)
    named: dict[str, Any] = {**arrays, FACTS: np.array(text)}
    with replacing(path) as file:
        np.savez_compressed(file, **named)
    return path


def read_figure_data(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays and the facts.

    Raises:
        DamagedFileError: naming the file and the remedy, for one that is not such a record.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        facts = json.loads(str(arrays.pop(FACTS)))
        if facts["format"] != FORMAT:
            raise DamagedFileError(f"format={facts['format']!r}, this version reads {FORMAT}")
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedFileError(f"{path}: no record of pictures ({error}); remove it, and it is made again") from None
    return arrays, facts
