"""Fixed-size binary records: CIFAR (label bytes, then red, green, blue planes) and STL-10 (planes stored by column).

References:
    https://www.cs.toronto.edu/~kriz/cifar.html ("Binary version"); https://cs.stanford.edu/~acoates/stl10/.
"""

import numpy as np
import torch

from energy.data.check import Examples
from energy.errors import DataError


def cifar(content: bytearray, label_bytes: int) -> Examples:
    """Read records of `label_bytes` labels, the last of them the finest, and 3 x 32 x 32 pixels."""
    record = _rows(content, label_bytes + 3 * 32 * 32)
    pixels = record[:, label_bytes:].reshape(-1, 3, 32, 32)
    return Examples(torch.from_numpy(pixels), torch.from_numpy(record[:, label_bytes - 1].astype(np.int64)))


def stl(contents: list[bytearray]) -> Examples:
    """Read one split from the contents of its two files: 3 x 96 x 96 pixels column by column, and labels from 1."""
    pixels, labels = contents
    image = _rows(pixels, 3 * 96 * 96).reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)
    return Examples(
        torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(_rows(labels, 1)[:, 0].astype(np.int64))
    )


def _rows(content: bytearray, size: int) -> np.ndarray:
    if len(content) % size:
        raise DataError(f"{len(content)} bytes are not a whole number of records of {size} bytes; it is cut off")
    return np.frombuffer(content, np.uint8).reshape(-1, size)
