"""Checkpoints: folders that are whole or absent, with damage noticed.

`step-000150/` holds exactly three files: `tensors.safetensors`; `facts.json`, for everything that is not a tensor; and
`manifest.json`, size and SHA-256 of the other two. `step-000150-open/` is the state at the same step before its epoch
was closed: all its steps done, the line of the record not yet written. A folder is written under a temporary name,
forced to the disk, and renamed; a step that exists and verifies is never touched again. No format involved can carry
code.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from energy.errors import DamagedCheckpointError
from energy.io.atomic import force
from energy.io.old_names import tensor_name
from energy.io.plain import json_object

FORMAT: Final = 1
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
        OSError: if the disk refuses; what was there before is untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{step:06d}{OPEN if unclosed else ''}"
    if final.exists():
        if _sound(final):
            return final
        _set_aside(final)
    _sweep_up(folder)
    temporary = folder / f".writing-{final.name}-{os.getpid()}"
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
    """Read one checkpoint folder, each byte checked against the manifest.

    Returns:
        Tensors by name, on `device`, and the facts.

    Raises:
        DamagedCheckpointError: naming the folder, the file and its defect.
    """
    blobs = _verified(path)
    try:
        stored = safetensors.torch.load(blobs["tensors.safetensors"])
    except safetensors.SafetensorError as error:
        raise DamagedCheckpointError(f"{path}: tensors.safetensors cannot be read ({error})") from None
    inside = _object(path, "facts.json", blobs["facts.json"])
    if inside.get("format") != FORMAT:
        raise _foreign(path, "facts.json", inside)
    tensors = _unpack(stored, inside, device)
    return {tensor_name(name): tensor for name, tensor in tensors.items()}, inside["facts"]


def steps(folder: Path) -> list[Path]:
    """List the checkpoint folders inside `folder`, by rising step, an open one before the closed one of the same step.

    They are not verified.
    """
    named = ((PATTERN.fullmatch(path.name), path) for path in folder.glob("step-*"))
    found = [(int(match[1]), match[2] is None, path) for match, path in named if match]
    return [path for *_, path in sorted(found)]


def prune(folder: Path, keep: int) -> None:
    """Remove all but the `keep` newest checkpoints, each renamed aside before anything in it is deleted."""
    found = steps(folder)
    for path in found[: len(found) - keep] if len(found) > keep else []:
        aside = path.with_name(f".removing-{path.name}-{os.getpid()}")
        os.rename(path, aside)
        shutil.rmtree(aside)


def _fill(folder: Path, tensors: Mapping[str, Tensor], inside: dict[str, Any]) -> None:
    """The three files of a checkpoint, the manifest last, all forced to the disk."""
    packed, inside["aliases"], inside["channels_last"] = _pack(tensors)
    blobs = {
        "tensors.safetensors": safetensors.torch.save(packed),
        "facts.json": json.dumps(inside, indent=1, sort_keys=True, allow_nan=False).encode(),
    }
    files = {name: {"bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()} for name, blob in blobs.items()}
    blobs[MANIFEST] = json.dumps({"format": FORMAT, "files": files}, indent=1, sort_keys=True).encode()
    for name, blob in blobs.items():
        with open(folder / name, "xb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
    force(folder)


def _pack(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str], list[str]]:
    """Contiguous copies on the CPU, names that share one tensor, and names stored as channels-last images."""
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
        if tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last):
            layout.append(name)
        packed[name] = tensor.detach().to("cpu", copy=True).contiguous()
    return packed, aliases, layout


def _unpack(stored: dict[str, Tensor], inside: dict[str, Any], device: str | torch.device) -> dict[str, Tensor]:
    tensors = {name: tensor.to(device) for name, tensor in stored.items()}
    for name in inside["channels_last"]:
        tensors[name] = tensors[name].contiguous(memory_format=torch.channels_last)
    for name, original in inside["aliases"].items():
        tensors[name] = tensors[original]
    return tensors


def _verified(path: Path) -> dict[str, bytes]:
    """The bytes of both files, checked for the names, sizes and digests of the manifest."""
    if not path.is_dir():
        raise DamagedCheckpointError(f"{path}: there is no such checkpoint folder")
    present = sorted(entry.name for entry in path.iterdir())
    if present != sorted([*FILES, MANIFEST]):
        raise DamagedCheckpointError(f"{path}: holds {present}, must hold {sorted([*FILES, MANIFEST])}")
    manifest = _object(path, MANIFEST, (path / MANIFEST).read_bytes())
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
    blob = (path / name).read_bytes()
    if len(blob) != entry["bytes"]:
        raise DamagedCheckpointError(f"{path}: {name} has {len(blob)} bytes, the manifest says {entry['bytes']}")
    if hashlib.sha256(blob).hexdigest() != entry["sha256"]:
        raise DamagedCheckpointError(f"{path}: {name} was changed after it was written (SHA-256 differs)")
    return blob


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


def _sweep_up(folder: Path) -> None:
    """Remove what an interrupted write or removal left behind."""
    for left in [*folder.glob(".writing-step-*"), *folder.glob(".removing-step-*")]:
        shutil.rmtree(left, ignore_errors=True)
