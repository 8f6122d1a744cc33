"""Batches in NumPy's .npz archives, as ImageNet32x32 has them."""

import math

import numpy as np
import torch

from energy.data.check import Examples
from energy.errors import DamagedFileError, DataError
from energy.io.arrays import npz_arrays


def npz_examples(content: bytearray, shape: tuple[int, int, int], limit: int) -> Examples:
    """Read the entries `data` and `labels` of one batch in the ImageNet32x32 layout.

    Args:
        content: the file; its `data` are uint8 (N, C*H*W), its `labels` N integers.
        shape: (C, H, W) of an image.
        limit: the most bytes that the two entries may unpack to.

    Raises:
        DataError: for an entry of objects, of another type or shape, of foreign byte order, larger than `limit` bytes,
            damaged or missing.
    """
    try:
        arrays = npz_arrays(content, limit, ("data", "labels"))
    except DamagedFileError as error:
        raise DataError(str(error)) from None
    data, labels = arrays["data"], arrays["labels"]
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != math.prod(shape):
        raise DataError(f"data is {data.dtype} of shape {data.shape}; must be uint8 with rows of {math.prod(shape)}")
    if labels.dtype.kind not in "iu":
        raise DataError(f"labels are {labels.dtype}; must be integers")
    return Examples(torch.from_numpy(data.reshape(-1, *shape)), torch.from_numpy(labels.astype(np.int64)))
