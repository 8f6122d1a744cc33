"""NumPy's .npz archives, entry by entry: header, type, shape and size are compared before a value is read."""

import io
import math
import warnings
import zipfile
import zlib

import numpy as np
import torch
from numpy.lib import format as npy

from energy.data.check import Examples
from energy.errors import DataError

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
PACKINGS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
FAULTS = (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError)


def npz_examples(content: bytearray, shape: tuple[int, int, int], limit: int) -> Examples:
    """Read the entries `data` and `labels` of one batch in the ImageNet32x32 layout.

    Args:
        content: the file; its `data` are uint8 (N, C*H*W), its `labels` N integers.
        shape: (C, H, W) of an image.
        limit: the most bytes an entry may unpack to.

    Raises:
        DataError: for an entry of objects, of another type or shape, larger than `limit` bytes, damaged or missing.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            data, labels = (_entry(archive, f"{name}.npy", limit) for name in ("data", "labels"))
    except DataError:
        raise
    except FAULTS as error:
        raise DataError(f"not a readable npz archive, damaged or cut off: {error}") from None
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != math.prod(shape):
        raise DataError(f"data is {data.dtype} of shape {data.shape}; must be uint8 with rows of {math.prod(shape)}")
    if labels.dtype.kind not in "iu":
        raise DataError(f"labels are {labels.dtype}; must be integers")
    return Examples(torch.from_numpy(data.reshape(-1, *shape)), torch.from_numpy(labels.astype(np.int64)))


def _entry(archive: zipfile.ZipFile, name: str, limit: int) -> np.ndarray:
    if name not in archive.namelist():
        raise DataError(f"has no entry {name}; it has {', '.join(archive.namelist())[:200]}")
    member = archive.getinfo(name)
    if member.file_size > limit or member.compress_type not in PACKINGS:
        raise DataError(f"{name} unpacks to {member.file_size} bytes; must be at most {limit}, stored or deflated")
    stream = io.BytesIO(archive.read(member))
    shape, fortran, kind = _header(stream, name)
    rest = member.file_size - stream.tell()
    if kind.hasobject or math.prod(shape) * kind.itemsize != rest:
        raise DataError(f"{name} announces {kind} of shape {shape} but holds {rest} bytes")
    return np.frombuffer(bytearray(stream.read()), kind).reshape(shape, order="F" if fortran else "C")


def _header(stream: io.BytesIO, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(stream)
    if version not in HEADERS:
        raise DataError(f"{name} is written in version {version} of the npy format; must be 1.0 or 2.0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a header written by Python 2 is read with a remark
        return HEADERS[version](stream)
