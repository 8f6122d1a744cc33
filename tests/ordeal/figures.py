"""Figures of the ordeal, kept in the JSON file that the environment variable ENERGY_ORDEAL names."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any, Final

from energy.io.atomic import write_text
from energy.io.provenance import commit

VARIABLE: Final = "ENERGY_ORDEAL"
COMMIT: Final = "commit"  # of the code that a row was measured with
Figure = int | float | str


def record(name: str, **figures: Figure) -> None:
    """Put one row into the file of figures, in place of a row of the same name; nothing where no file is named.

    Args:
        name: what was tried, in words; it begins the row of the summary.
        figures: what was measured; an underscore in a name stands for a blank.

    Example:
        >>> record("one byte of a checkpoint turned", trials=400, refused=400)  # doctest: +SKIP
    """
    place = os.environ.get(VARIABLE, "")
    if not place:
        return
    path = Path(place).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(path.name + ".lock"), "a") as lock:  # tests in several processes take turns
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = {key.replace("_", " "): value for key, value in figures.items()}
        rows = {**read(path), name: {**told, COMMIT: commit()}}
        write_text(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of a file of figures, in the order in which they came; none where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
