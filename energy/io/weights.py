"""Weights in one file that can be given away: safetensors, with facts in its metadata, and damage noticed.

The metadata are `format`, which is `pt`; `energy`, the facts as JSON; and `sha256`, the digest of all else:

    sha256( <facts> \\n  then for every tensor, by name:  ["<name>", "<type>", [<shape>]] \\n <bytes> )

The format cannot carry code. The digest tells damage, not forgery: whoever writes a file writes its digest too.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from energy.errors import DamagedFileError, MissingFileError, shown
from energy.io.atomic import replacing
from energy.io.plain import json_object
from energy.io.plain_file import require_kind
from energy.io.schema import Kind, fits, require_fields

SUFFIX: Final = ".safetensors"
SCHEMA: Final = 1
LARGEST_HEADER: Final = 1 << 20  # bytes: names, shapes and metadata
FACTS: Final = "energy"
DIGEST: Final = "sha256"
KINDS: Final[dict[str, Kind]] = {
    "run": dict,
    "plugins": dict,
    "key": str,
    "weights": str,
    "step": int,
    "parameters": int,
    "scores": dict,
    "data": dict,
    "provenance": dict,
}


def write_weights(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and facts to `path`, whole or not at all.

    Args:
        path: the file.
        tensors: by name; two that share memory are written twice.
        facts: plain JSON values with the names of `KINDS`.

    Raises:
        ValueError: for `facts` that hold NaN, an infinity or a value that is not plain JSON.
        DamagedFileError: for facts that could not be read again.
    """
    text = json.dumps({"schema": SCHEMA, **facts}, sort_keys=True, allow_nan=False)
    _typed(path, json_object(text, str(path)))
    packed = {name: x.detach().to("cpu", copy=True).contiguous() for name, x in tensors.items()}
    metadata = {"format": "pt", FACTS: text, DIGEST: weights_digest(packed, text)}
    blob = _sorted(safetensors.torch.save(packed, metadata))
    _bounded(path, blob[:8])
    with replacing(path) as file:
        file.write(blob)


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that `write_weights` wrote.

    Returns:
        Tensors by name, on the CPU, and the facts.

    Raises:
        MissingFileError: when there is no such file.
        DamagedFileError: naming the file and its defect: another format, a header that is too large, bytes that were
            changed, and facts of the wrong type.
    """
    if not require_kind(path.resolve()):
        raise MissingFileError(f"{path}: there is no such file")
    with open(path, "rb") as file:
        _bounded(path, file.read(8))
    try:
        with safetensors.safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors: dict[str, Tensor] = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
    except (safetensors.SafetensorError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise DamagedFileError(f"{path}: cannot be read as safetensors ({error})") from None
    text = metadata.get(FACTS)
    if text is None or sorted(metadata) != sorted(["format", FACTS, DIGEST]):
        raise DamagedFileError(f"{path}: its metadata are {sorted(metadata)}; it was not written by energy export")
    if metadata["format"] != "pt":
        raise DamagedFileError(f"{path}: its format is {shown(metadata['format'])}: must be pt")
    if weights_digest(tensors, text) != metadata[DIGEST]:
        raise DamagedFileError(f"{path}: was changed after it was written (SHA-256 differs)")
    return tensors, _typed(path, json_object(text, f"{path}: metadata"))


def weights_digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """Return the SHA-256 of the facts `text` and of tensors on the CPU: names, types, shapes and bytes."""
    found = hashlib.sha256(f"{text}\n".encode())
    for name, tensor in sorted(tensors.items()):
        head = [name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        found.update(f"{json.dumps(head)}\n".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _sorted(blob: bytes) -> bytes:
    """The same file with its header in one order, since safetensors writes metadata in a new one each time."""
    end = 8 + int.from_bytes(blob[:8], "little")
    header = json.dumps(json.loads(blob[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + blob[end:]


def _bounded(path: Path, start: bytes) -> None:
    """Refuse a header of more than `LARGEST_HEADER` bytes by the length that the first eight bytes announce."""
    size = int.from_bytes(start, "little")
    if len(start) < 8 or size > LARGEST_HEADER:
        told = f"announces a header of {size} bytes" if len(start) == 8 else f"has {len(start)} bytes"
        raise DamagedFileError(f"{path}: {told}; a file of weights has one of at most {LARGEST_HEADER}")


def _typed(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """The facts, if their schema is ours and each has its type."""
    if facts.get("schema") != SCHEMA:
        raise DamagedFileError(f"{path}: metadata: schema={facts.get('schema')!r}, this version reads {SCHEMA}")
    require_fields(facts, KINDS, f"{path}: metadata")
    if not fits(facts["plugins"], dict[str, str]):
        raise DamagedFileError(f"{path}: metadata: plugins={str(facts['plugins'])[:60]}: must be digests by file")
    return facts
