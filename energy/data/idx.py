"""The idx format of MNIST: two zero bytes, a type byte, the number of axes, big-endian sizes, then the values.

Reference:
    "File formats for the MNIST database", http://yann.lecun.com/exdb/mnist/.
"""

import math

import numpy as np
import torch

from energy.data.check import Examples
from energy.errors import DataError


def idx_examples(contents: list[bytearray]) -> Examples:
    """Read the images and the labels of one split from the contents of its two files.

    Raises:
        DataError: when a header is not idx, or announces more or fewer bytes than there are.
    """
    pixels, labels = (_array(content, axes) for content, axes in zip(contents, (3, 1), strict=True))
    return Examples(torch.from_numpy(pixels)[:, None], torch.from_numpy(labels).long())


def _array(content: bytearray, axes: int) -> np.ndarray:
    start = 4 + 4 * axes
    if len(content) < start or content[:4] != bytes([0, 0, 8, axes]):
        raise DataError(f"not an idx file of bytes with {axes} axes: it begins with {content[:4].hex(' ')}")
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"its header announces {math.prod(shape)} values of shape {shape}; it holds {len(content) - start}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
