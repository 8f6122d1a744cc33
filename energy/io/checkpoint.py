"""Checkpoints: folders that are whole or absent, with damage noticed.

`step-000150/` holds exactly three files: `tensors.safetensors`; `facts.json`, for everything that is not a tensor; and
`manifest.json`, size and SHA-256 of the other two. `step-000150-open/` is the state at the same step before its epoch
was closed: all its steps done, the line of the record not yet written. A folder is written under a temporary name,
forced to the disk, and renamed; a step that exists and verifies is never touched again. No format involved can carry
code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError

from energy.errors import DamagedCheckpointError
from energy.io.atomic import REMOVING, WRITING, force, sweep_leftovers
from energy.io.old_names import tensor_name
from energy.io.plain import json_object
from energy.io.plain_file import naming, read_plain, require_kind
from energy.io.schema import Kind, require_fields

if TYPE_CHECKING:  # who only lists folders need not wait for torch
    import torch
    from torch import Tensor

FORMAT: Final = 1
LARGEST: Final = {"tensors.safetensors": 1 << 38, "facts.json": 1 << 26, "manifest.json": 1 << 16}  # bytes
INSIDE: Final[dict[str, Kind]] = {"step": int, "facts": dict, "aliases": dict[str, str], "channels_last": list[str]}
FILES: Final = ("tensors.safetensors", "facts.json")
MANIFEST: Final = "manifest.json"
OPEN: Final = "-open"
PATTERN: Final = re.compile(rf"step-(\d{{6,}})({OPEN})?")


def write(
    folder: Path, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], unclosed: bool = False
) -> Path:
    """Save a checkpoint as `folder/step-<step>`.

    A step that exists and verifies is left as it is; one that is damaged is renamed aside first.

    Args:
        folder: parent of the checkpoint folders.
        step: number of the step.
        tensors: by name.
        facts: plain JSON values.
        unclosed: mark an epoch that is not closed after its last step by `-open`.

    Returns:
        The path of the checkpoint.

    Raises:
        ValueError: for `facts` that hold NaN, an infinity or a value that is not plain JSON.
        DamagedCheckpointError: for a link in place of `folder` or of the checkpoint.
        OSError: naming a file, if the disk refuses; what was there before is untouched.
    """
    require_kind(folder, stat.S_IFDIR, DamagedCheckpointError)
    folder.mkdir(parents=True, exist_ok=True)
    final = place(folder, step, unclosed)
    if require_kind(final, stat.S_IFDIR, DamagedCheckpointError):
        if _sound(final):
            return final
        _set_aside(final)
    sweep_leftovers(folder)
    temporary = folder / f"{WRITING}{final.name}-{os.getpid()}"
    temporary.mkdir()
    try:
        _fill(temporary, tensors, {"format": FORMAT, "step": step, "facts": dict(facts)})
        os.rename(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    force(folder)
    return final


def read(path: Path, device: str | torch.device = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read one checkpoint folder, each byte checked against the manifest, and the step against the folder's name.

    Returns:
        Tensors by name, on `device`, and the facts.

    Raises:
        DamagedCheckpointError: naming the folder, the file and its defect.
    """
    from safetensors.torch import load

    blobs = _verified(path)
    try:
        stored = load(blobs["tensors.safetensors"])
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:  # torch refuses some shapes
        raise DamagedCheckpointError(f"{path}: tensors.safetensors cannot be read ({error})") from None
    inside = _inside(path, blobs["facts.json"])
    tensors = _unpack(path, stored, inside, device)
    return {tensor_name(name): tensor for name, tensor in tensors.items()}, inside["facts"]


def read_facts(path: Path) -> dict[str, Any]:
    """Read the facts of one checkpoint folder without its tensors, which are not looked at.

    Raises:
        DamagedCheckpointError: naming the folder and the defect of `facts.json`.
    """
    require_kind(path, stat.S_IFDIR, DamagedCheckpointError)
    return _inside(path, _read(path, "facts.json"))["facts"]


def seal(path: Path) -> str:
    """Return the SHA-256 of the manifest of a checkpoint, on which every byte of it depends."""
    return hashlib.sha256(_read(path, MANIFEST)).hexdigest()


def place(folder: Path, step: int, unclosed: bool = False) -> Path:
    """Return the folder of a checkpoint; see `write`."""
    return folder / f"step-{step:06d}{OPEN if unclosed else ''}"


def steps(folder: Path) -> list[Path]:
    """List the checkpoint folders inside `folder`, by rising step, an open one before the closed one of the same step.

    They are not verified.

    Raises:
        DamagedCheckpointError: for a link, or a file, in place of `folder` or of one of them.
    """
    require_kind(folder, stat.S_IFDIR, DamagedCheckpointError)
    named = ((PATTERN.fullmatch(path.name), path) for path in folder.glob("step-*"))
    found = [(int(match[1]), match[2] is None, path) for match, path in named if match]
    for *_, path in found:
        require_kind(path, stat.S_IFDIR, DamagedCheckpointError)
    return [path for *_, path in sorted(found)]


def mark_open(path: Path) -> None:
    """Give a checkpoint the name of an open one, if it was written before these had one of their own."""
    if not path.name.endswith(OPEN):
        path.rename(path.with_name(path.name + OPEN))


def prune(folder: Path, keep: int) -> None:
    """Remove all but the `keep` newest checkpoints, each renamed aside before anything in it is deleted."""
    found = steps(folder)
    for path in found[: len(found) - keep] if len(found) > keep else []:
        aside = path.with_name(f"{REMOVING}{path.name}-{os.getpid()}")
        os.rename(path, aside)
        shutil.rmtree(aside)


def _fill(folder: Path, tensors: Mapping[str, Tensor], inside: dict[str, Any]) -> None:
    """The three files of a checkpoint, the manifest last, all forced to the disk."""
    from safetensors.torch import save

    packed, inside["aliases"], inside["channels_last"] = _pack(tensors)
    blobs = {
        "tensors.safetensors": save(packed),
        "facts.json": json.dumps(inside, indent=1, sort_keys=True, allow_nan=False).encode(),
    }
    files = {name: {"bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()} for name, blob in blobs.items()}
    blobs[MANIFEST] = json.dumps({"format": FORMAT, "files": files}, indent=1, sort_keys=True).encode()
    for name, blob in blobs.items():
        with naming(folder / name), open(folder / name, "xb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
    force(folder)


def _pack(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str], list[str]]:
    """Contiguous copies on the CPU, names that share one tensor, and names stored as channels-last images."""
    from torch import channels_last

    packed: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    layout: list[str] = []
    seen: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors.items():
        identity = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and identity in seen:
            aliases[name] = seen[identity]
            continue
        seen[identity] = name
        if tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=channels_last):
            layout.append(name)
        packed[name] = tensor.detach().to("cpu", copy=True).contiguous()
    return packed, aliases, layout


def _unpack(
    path: Path, stored: dict[str, Tensor], inside: dict[str, Any], device: str | torch.device
) -> dict[str, Tensor]:
    from torch import channels_last

    tensors = {name: tensor.to(device) for name, tensor in stored.items()}
    for name in inside["channels_last"]:
        if name not in stored or stored[name].dim() != 4:
            raise DamagedCheckpointError(f"{path}: facts.json: channels_last: there are no images called {name!r}")
        tensors[name] = tensors[name].contiguous(memory_format=channels_last)
    for name, original in inside["aliases"].items():
        if original not in stored or name in stored:
            raise DamagedCheckpointError(f"{path}: facts.json: aliases: {name!r} cannot stand for {original!r}")
        tensors[name] = tensors[original]
    return tensors


def _verified(path: Path) -> dict[str, bytes]:
    """The bytes of both files, checked for the names, sizes and digests of the manifest."""
    if not require_kind(path, stat.S_IFDIR, DamagedCheckpointError):
        raise DamagedCheckpointError(f"{path}: there is no such checkpoint folder")
    present = sorted(entry.name for entry in path.iterdir())
    if present != sorted([*FILES, MANIFEST]):
        raise DamagedCheckpointError(f"{path}: holds {present}, must hold {sorted([*FILES, MANIFEST])}")
    manifest = _object(path, MANIFEST, _read(path, MANIFEST))
    if manifest.get("format") != FORMAT:
        raise _foreign(path, MANIFEST, manifest)
    files = manifest.get("files")
    if not isinstance(files, dict) or sorted(files) != sorted(FILES):
        raise DamagedCheckpointError(f"{path}: {MANIFEST} must list exactly {sorted(FILES)}")
    return {name: _checked(path, name, files[name]) for name in FILES}


def _foreign(path: Path, name: str, inside: Mapping[str, Any]) -> DamagedCheckpointError:
    return DamagedCheckpointError(f"{path}: {name}: format={inside.get('format')!r}, this version reads {FORMAT}")


def _checked(path: Path, name: str, entry: Any) -> bytes:
    if not isinstance(entry, dict) or sorted(entry) != ["bytes", "sha256"]:
        raise DamagedCheckpointError(f"{path}: {MANIFEST}: the entry of {name} must give bytes and sha256")
    require_kind(path / name, error=DamagedCheckpointError)
    size = os.lstat(path / name).st_size
    blob = _read(path, name) if size == entry["bytes"] else b""
    if len(blob) != entry["bytes"]:
        raise DamagedCheckpointError(f"{path}: {name} has {size} bytes, the manifest says {entry['bytes']}")
    if hashlib.sha256(blob).hexdigest() != entry["sha256"]:
        raise DamagedCheckpointError(f"{path}: {name} was changed after it was written (SHA-256 differs)")
    return blob


def _inside(path: Path, blob: bytes) -> dict[str, Any]:
    """The content of `facts.json`, if its format is ours, its fields have their types, and it is of this step."""
    inside = _object(path, "facts.json", blob)
    if inside.get("format") != FORMAT:
        raise _foreign(path, "facts.json", inside)
    require_fields(inside, INSIDE, f"{path}: facts.json", DamagedCheckpointError)
    named = PATTERN.fullmatch(path.name)
    if named and int(named[1]) != inside["step"]:
        raise DamagedCheckpointError(f"{path}: facts.json is of step {inside['step']}")
    return inside


def _read(path: Path, name: str) -> bytes:
    return read_plain(path / name, LARGEST[name], DamagedCheckpointError)


def _object(path: Path, name: str, blob: bytes) -> dict[str, Any]:
    return json_object(blob, f"{path}: {name}", DamagedCheckpointError)


def _sound(path: Path) -> bool:
    try:
        _verified(path)
    except (DamagedCheckpointError, OSError):
        return False
    return True


def _set_aside(path: Path) -> None:
    """Give a damaged folder another name, so that nothing is lost and nobody reads it as a checkpoint."""
    number = 1
    while (aside := path.with_name(f"damaged-{path.name}-{number}")).exists():
        number += 1
    os.rename(path, aside)
