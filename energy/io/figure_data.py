"""Data of the figures of a run: arrays and facts in one file that holds no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from energy.errors import DamagedFileError, MissingFileError, shown
from energy.io.arrays import npz_arrays
from energy.io.atomic import replacing
from energy.io.plain import json_object
from energy.io.plain_file import read_plain

FIGURE_DATA: Final = "pictures.npz"
FORMAT: Final = 1
FACTS: Final = "facts"
LARGEST: Final = 1 << 26  # bytes of the file
UNPACKED: Final = 1 << 28  # of its arrays


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
        arrays = npz_arrays(read_plain(path, LARGEST), UNPACKED)
        facts = json_object(str(arrays.pop(FACTS)), FACTS)
        if facts["format"] != FORMAT:
            raise DamagedFileError(f"format={shown(facts['format'])}, this version reads {FORMAT}")
    except MissingFileError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        said = shown(str(error).removeprefix(f"{path}: "))
        raise DamagedFileError(f"{path}: no record of pictures ({said}); remove it, and it is made again") from None
    return arrays, facts
