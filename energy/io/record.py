"""The record of a run: JSON, one line per epoch and one object at the end."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from energy.errors import LockedFolderError
from energy.io.atomic import write_text
from energy.io.old_names import record_line
from energy.io.plain import json_object

RECORD: Final = "record.jsonl"
READOUT: Final = "readout.jsonl"
RESULT: Final = "result.json"
CONFIGURATION: Final = "configuration.json"
FINAL: Final = "final"
CHECKPOINTS: Final = "checkpoints"
EPOCHS: Final = "epochs"  # the weights after some of the epochs
FAILED: Final = "failed"
KERNELS: Final = "kernels.json"  # the forms of the couplings' maps that were chosen by measuring
SNAPSHOT: Final = "snapshot.json"  # what a figure shows of the activity that a method has, if it has any


def snapshot_of(folder: Path) -> Path:
    """Return the file of a run's snapshot, which had another name in 0.1.0.dev."""
    former = folder / "observed.json"
    return former if former.is_file() else folder / SNAPSHOT


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write strict JSON (no NaN), so that `path` holds either all of the new text or what it held before."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read the JSON object in `path`.

    Raises:
        DamagedFileError: naming the file, if it is not a JSON object.
    """
    return json_object(path.read_bytes(), str(path))


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Append one JSON line and force it to the disk."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a record; a last line cut short by a power failure is left out.

    Raises:
        DamagedFileError: naming file and line number, for any other defect.
    """
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    whole, rest = lines[:-1], lines[-1]
    parsed = [json_object(line, f"{path}:{number}") for number, line in enumerate(whole, 1)]
    if rest:
        parsed += [json_object(rest, f"{path}:{len(lines)}")] if _is_json(rest) else []
    return [record_line(line) for line in parsed]


def truncate_record(path: Path, epochs: int) -> None:
    """Keep only the lines of the first `epochs` epochs; later ones are about to be computed again."""
    kept = [line for line in read_lines(path) if line["epoch"] < epochs]
    write_text(path, "".join(json.dumps(line, allow_nan=False) + "\n" for line in kept))


@contextmanager
def exclusive_lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the run folder for this process; the lock ends with the process, however it ends.

    On a file system without locks, the user is trusted to run one training per folder.

    Args:
        folder: the folder.
        wait: until another process has left it.

    Raises:
        LockedFolderError: when another process is training in the same folder, unless it is waited for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise LockedFolderError(f"{folder}: another process is training in this run folder") from None
        except OSError:
            pass
        yield
    finally:
        os.close(handle)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
