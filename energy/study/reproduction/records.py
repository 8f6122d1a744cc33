"""The folder `records/<cell>` of a paper: the configuration of a cell, and the record of every seed.

    configuration.json    {"schema": 2, "cell": name, "key": hash of `configuration`, "recorded_keys": [...],
                           "configuration": {...}}; where rows were recorded under other keys also "former": the
                           descriptions that those are the hashes of, in the names of their time, and
                           "recomposed": true if they were not stored with the runs
    seed-<n>.jsonl        a line per epoch, each with "schema": 2
    seed-<n>-readout.jsonl    the same of a read-out, where one was fitted

A row of `results.csv` belongs to the configuration if its hash is among `recorded_keys`: one that an earlier version
of this library wrote has another hash, since fields were added to the description.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from energy.component import ConfigurationError, from_dict
from energy.errors import DamagedFileError
from energy.io.atomic import write_text
from energy.io.former import current
from energy.io.plain_file import require_kind
from energy.io.record import CONFIGURATION, READOUT, RECORD, read_json, read_lines, write_json
from energy.train.run import Run, hash_of_description, identity

RECORDS: Final = "records"
RECORD_SCHEMA: Final = 2


@dataclass(frozen=True)
class RecordedCell:
    """The configuration that the rows of a cell were made with.

    Attributes:
        configuration: everything that the numbers depend on, but the seed.
        keys: the hashes under which its rows were recorded.
        recomposed: whether a description was composed again later, and not stored with the runs.
        former: the same in the fields of the versions that rows were recorded with.
    """

    configuration: Mapping[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    recomposed: bool = False
    former: tuple[Mapping[str, Any], ...] = ()

    @property
    def key(self) -> str:
        """The hash of the configuration."""
        return hash_of_description(dict(self.configuration))

    def describes(self, run: Run) -> bool:
        """Return true if `run` has this configuration, with fields that were added since at their defaults."""
        held, plugins = dict(self.configuration), self.configuration.get("plugins")
        held.pop("plugins", None)
        try:
            found = cell_identity(from_dict(Run, current(Run, held), path=""))
        except ConfigurationError:  # it has a part or a field that is not there now
            return False
        found.pop("plugins", None)
        wanted = cell_identity(run)
        return wanted.pop("plugins", None) == plugins and found == wanted


def cell_identity(run: Run) -> dict[str, Any]:
    """Return everything that the numbers of a cell depend on, but the seed."""
    return {name: value for name, value in identity(run).items() if name != "seed"}


def read_recorded(folder: Path, cell: str) -> RecordedCell:
    """Read the configuration of a cell's rows; an empty one if nothing was recorded.

    Args:
        folder: the folder of the paper.
        cell: the name of the cell.

    Raises:
        DamagedFileError: naming the file, if it is malformed or of another schema.
    """
    path = folder / RECORDS / cell / CONFIGURATION
    if not require_kind(path):
        return RecordedCell()
    facts = read_json(path, {"recorded_keys": list[str], "former": list[dict] | None})
    if facts.get("schema") != RECORD_SCHEMA or not isinstance(facts.get("configuration"), dict):
        raise DamagedFileError(f"{path}: schema={facts.get('schema')!r}: must be {RECORD_SCHEMA}, with a configuration")
    keys = tuple(str(key) for key in facts.get("recorded_keys", []))
    return RecordedCell(facts["configuration"], keys, bool(facts.get("recomposed")), tuple(facts.get("former") or ()))


def write_recorded(folder: Path, cell: str, recorded: RecordedCell) -> None:
    """Write the configuration of a cell's rows."""
    facts: dict[str, Any] = {"schema": RECORD_SCHEMA, "cell": cell, "key": recorded.key}
    facts["recorded_keys"] = list(recorded.keys)
    facts |= {"recomposed": True} if recorded.recomposed else {}
    facts["configuration"] = dict(recorded.configuration)
    facts |= {"former": [dict(one) for one in recorded.former]} if recorded.former else {}
    write_json(folder / RECORDS / cell / CONFIGURATION, facts)


def record_run(folder: Path, cell: str, run: Run, key: str) -> RecordedCell:
    """Copy the records of a finished run into those of its cell; those of another configuration are removed first.

    Args:
        folder: the folder of the paper.
        cell: the name of the cell.
        run: the run, finished in its own folder.
        key: the hash of its configuration, as its result has it.

    Returns:
        The configuration of the cell.
    """
    held = read_recorded(folder, cell)
    if held.configuration and not (key in held.keys or held.describes(run)):
        shutil.rmtree(folder / RECORDS / cell)
        held = RecordedCell()
    recorded = held if key in held.keys else _extended(held, run, key)
    write_recorded(folder, cell, recorded)
    for source, ending in ((RECORD, ""), (READOUT, "-readout")):
        lines = read_lines(run.folder / source)
        if lines:
            text = "".join(json.dumps({"schema": RECORD_SCHEMA, **line}, allow_nan=False) + "\n" for line in lines)
            write_text(record_path(folder, cell, run.seed, ending), text)
    return recorded


def _extended(held: RecordedCell, run: Run, key: str) -> RecordedCell:
    """The configuration of a cell that gets its first row under `key`."""
    former = (*held.former, held.configuration) if held.key in held.keys else held.former
    return replace(held, configuration=cell_identity(run), keys=(*held.keys, key), former=former)


def record_path(folder: Path, cell: str, seed: int, ending: str = "") -> Path:
    """Return the path of a record.

    Args:
        folder: the folder of the paper.
        cell: the name of the cell.
        seed: the seed of the run.
        ending: `-readout` for that of a read-out.
    """
    return folder / RECORDS / cell / f"seed-{seed}{ending}.jsonl"
