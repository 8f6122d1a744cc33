"""The cache: a set is converted once, into one file that needs no parsing and is mapped into memory.

The file is named `<set>-<key>-<digest>.safetensors`: the key is a hash of the sources and the rules of conversion, the
digest is the SHA-256 of its contents. It appears whole, by one rename, or not at all. A file whose contents do not have
the digest in its name is removed and made again; if nothing can be written, the set is converted each time.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from energy.data.check import Examples, Raw

FORMAT = 1


def cache_root() -> Path:
    """Return `$ENERGY_CACHE`, else `~/.cache/energy`."""
    return Path(os.environ.get("ENERGY_CACHE") or "~/.cache/energy").expanduser()


def source_key(rules: object, paths: Iterable[Path]) -> str:
    """Hash the rules of conversion (anything that JSON can hold) with path, size and time of every source."""
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(json.dumps([FORMAT, rules, facts]).encode()).hexdigest()[:16]


def cached(name: str, key: str, convert: Callable[[], Raw]) -> Raw:
    """Return the result of `convert`, from the cache if it is there and whole.

    Args:
        name: the set.
        key: of its sources and rules, from `source_key`.
        convert: reads the set from its sources.
    """
    folder = cache_root()
    for path in folder.glob(f"{name}-{key}-*.safetensors"):
        with contextlib.suppress(OSError, SafetensorError):
            if path.stem.endswith(_digest(path)):
                return _load(path)
            path.unlink()
    raw = convert()
    try:
        path = _save(raw, folder, f"{name}-{key}")
    except (OSError, SafetensorError):
        return raw
    return _load(path)


def _tensors(raw: Raw) -> dict[str, Tensor]:
    pairs = zip(Raw._fields, raw, strict=True)
    return {f"{split}.{field}": tensor for split, part in pairs for field, tensor in part._asdict().items()}


def _load(path: Path) -> Raw:
    tensors = load_file(path)
    return Raw(*(Examples(*(tensors[f"{split}.{field}"] for field in Examples._fields)) for split in Raw._fields))


def _save(raw: Raw, folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as work:
        part = Path(work, "part.safetensors")
        save_file({name: tensor.contiguous() for name, tensor in _tensors(raw).items()}, part)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        return part.rename(folder / f"{name}-{_digest(part)}.safetensors")


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]
