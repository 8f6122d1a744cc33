"""A set is converted once, into one file that needs no parsing and is mapped into memory.

The file is named `<set>-<key>-<digest>.safetensors`: the key says from which sources and by which rules it was made,
the digest is the SHA-256 of its contents. It appears whole, by one rename, or not at all. A file whose contents do not
have the digest in its name is removed and made again; where nothing can be written, the set is converted each time.
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
    """`$ENERGY_CACHE`, else `~/.cache/energy`."""
    return Path(os.environ.get("ENERGY_CACHE") or "~/.cache/energy").expanduser()


def source_key(rules: object, paths: Iterable[Path]) -> str:
    """Changes with the rules of conversion (anything JSON can say) and with the path, size and time of any source."""
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(json.dumps([FORMAT, rules, facts]).encode()).hexdigest()[:16]


def cached(name: str, key: str, convert: Callable[[], Raw]) -> Raw:
    """What `convert` returns, from the file it was kept in if that is there and whole."""
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
