"""Digests of a data set: of its files where it is read from published ones, otherwise of its examples."""

import hashlib
import json
from pathlib import Path

import torch

from energy.data.check import Examples
from energy.data.dataset import DataSet
from energy.data.published import Published
from energy.data.source import data_root
from energy.io.code import file_digest


def set_digests(data: DataSet) -> dict[str, str]:
    """Return SHA-256 digests of the set as it is here.

    Args:
        data: the set.

    Returns:
        Of a published set, by the path of each file below the data folder, as it lies there; of any other set, by the
        split, of its examples: `["<type>", [<shape>]] \\n <bytes>` of the pixels, then of the labels.

    Raises:
        DataError: when the set is not there.
    """
    if isinstance(data, Published):
        root = data_root()
        return {_below(path, root): file_digest(path) for path in data.locate(root)[1]}
    raw = data.examples()
    return {split: examples_digest(examples) for split, examples in zip(raw._fields, raw, strict=True)}


def examples_digest(examples: Examples) -> str:
    """Return the SHA-256 of pixels and labels, each after its type and shape."""
    found = hashlib.sha256()
    for tensor in examples:
        plain = tensor.detach().cpu().contiguous()
        found.update(f"{json.dumps([str(plain.dtype).removeprefix('torch.'), list(plain.shape)])}\n".encode())
        found.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
