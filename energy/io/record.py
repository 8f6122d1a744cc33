"""The record of a run: JSON, one line per epoch and one object at the end."""

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from energy.errors import DamagedFileError, LockedFolderError
from energy.io.atomic import force, sweep_leftovers, write_text
from energy.io.old_names import record_line
from energy.io.plain import json_object
from energy.io.plain_file import naming, opened_to_write, read_plain, require_kind
from energy.io.schema import Kind, require_fields
from energy.io.scores import COLUMNS

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
FORMER_SNAPSHOT: Final = "observed.json"
BOARD: Final = "tensorboard"
WANDB: Final = "wandb"
LOCK: Final = ".lock"

FILES: Final = (RECORD, READOUT, RESULT, CONFIGURATION, KERNELS, SNAPSHOT, FORMER_SNAPSHOT, LOCK)
FOLDERS: Final = (CHECKPOINTS, FINAL, EPOCHS, FAILED, BOARD, WANDB)

LARGEST: Final = 1 << 28  # bytes of a file
LONGEST: Final = 1 << 24  # bytes of a line
LINE: Final[dict[str, Kind]] = {
    "step": int,
    "learning_rate": float,
    **dict.fromkeys(("train_objective", "train_accuracy"), float | None),
    **dict.fromkeys(("validation_objective", "validation_accuracy", *COLUMNS), float | None),
    **dict.fromkeys(("gamma", "backprop_steps", "cosine_worst", "cosine_whole", "multiply_adds"), float | None),
    **dict.fromkeys(("control", "contraction"), dict),
    **dict.fromkeys(("settle", "validation_settle", "unit_diagnostics"), dict[str, dict]),
    "seconds": dict[str, float] | float,
}


def snapshot_of(folder: Path) -> Path:
    """Return the file of a run's snapshot, which had another name in 0.1.0.dev."""
    former = folder / FORMER_SNAPSHOT
    return former if require_kind(former) else folder / SNAPSHOT


def require_plain_folder(folder: Path) -> None:
    """Refuse a run folder in which a name of ours is a link, also a dangling one, or of another kind than we write.

    The folder itself and its parents may be links.

    Raises:
        DamagedFileError: naming the first such file or folder.
    """
    for names, kind in ((FILES, stat.S_IFREG), (FOLDERS, stat.S_IFDIR)):
        for name in names:
            require_kind(folder / name, kind)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write strict JSON (no NaN), so that `path` holds either all of the new text or what it held before."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, fields: Mapping[str, Kind] | None = None) -> dict[str, Any]:
    """Read the JSON object in `path`.

    Args:
        path: the file.
        fields: those that are used, with their types as in `energy.io.schema`; they may be missing.

    Raises:
        MissingFileError: when there is no such file.
        DamagedFileError: naming the file, if it is no regular file, not a JSON object, or has a field of another type.
    """
    found = json_object(read_plain(path, LARGEST), str(path))
    require_fields(found, fields or {}, str(path), partial=True)
    return found


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Append one JSON line and force it to the disk.

    Raises:
        DamagedFileError: when `path` is no regular file.
        OSError: naming the file, when the system refuses.
    """
    text = (json.dumps(line, allow_nan=False) + "\n").encode()
    with naming(path), opened_to_write(path, os.O_WRONLY | os.O_APPEND) as handle:
        with open(handle, "ab", closefd=False) as file:
            file.write(text)
        os.fsync(handle)
    force(path.parent)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a record; a last line cut short by a power failure is left out.

    Raises:
        DamagedFileError: naming file and line number, for any other defect.
    """
    if not require_kind(path):
        return []
    *whole, rest = read_plain(path, LARGEST).split(b"\n")
    lines = [_line(line, f"{path}:{number}") for number, line in enumerate(whole, 1)]
    if rest and not (rest.startswith(b"{") and _is_cut(rest)):
        lines.append(_line(rest, f"{path}:{len(whole) + 1}"))
    return lines


def lines_digest(path: Path, count: int) -> str:
    """Return the SHA-256 of the first `count` lines of a record, as they stand there; of none if there is no record."""
    lines = read_plain(path, LARGEST).split(b"\n")[:count] if count and require_kind(path) else []
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def truncate_record(path: Path, epochs: int, sealed: str | None = None) -> None:
    """Keep only the lines of the first `epochs` epochs; later ones are about to be computed again.

    Args:
        path: the record.
        epochs: the number of lines that stay.
        sealed: their digest when the checkpoint was written; None of a checkpoint that holds none.

    Raises:
        DamagedFileError: when the lines are not those of the epochs 0, 1, 2 … up to there, or have another digest.
    """
    if not (epochs or require_kind(path)):
        return
    kept = [line for line in read_lines(path) if line["epoch"] < epochs]
    if [line["epoch"] for line in kept] != list(range(epochs)):
        raise DamagedFileError(f"{path}: has not one line for each of the first {epochs} epochs, in their order")
    if sealed is not None and lines_digest(path, epochs) != sealed:
        raise DamagedFileError(
            f"{path}: its first {epochs} lines were changed after they were written (SHA-256 differs)"
        )
    write_text(path, "".join(json.dumps(line, allow_nan=False) + "\n" for line in kept))


@contextmanager
def exclusive_lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the run folder for this process; the lock ends with the process, however it ends.

    What a killed process left half-written, in the folder and in those inside it, is removed. On a file system without
    locks, the user is trusted to run one training per folder.

    Args:
        folder: the folder.
        wait: until another process has left it.

    Raises:
        LockedFolderError: when another process is training in the same folder, unless it is waited for.
        DamagedFileError: when the lock is no regular file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with opened_to_write(folder / LOCK, os.O_RDWR) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise LockedFolderError(f"{folder}: another process is training in this run folder") from None
        except OSError:
            pass
        for place in with_inner_folders(folder):
            sweep_leftovers(place)
        yield


def with_inner_folders(folder: Path) -> list[Path]:
    """Return a run folder and those inside it, links left aside: the places in which a killed process leaves things."""
    return [folder, *(Path(one) for one in os.scandir(folder) if one.is_dir(follow_symlinks=False))]


def _line(text: bytes, where: str) -> dict[str, Any]:
    if len(text) > LONGEST:
        raise DamagedFileError(f"{where}: has {len(text)} bytes, must have at most {LONGEST}")
    line = record_line(json_object(text, where))
    require_fields(line, {"epoch": int}, where)
    require_fields(line, LINE, where, partial=True)
    return line


def _is_cut(text: bytes) -> bool:
    try:
        json.loads(text)
    except RecursionError:
        return False
    except ValueError:
        return True
    return False
