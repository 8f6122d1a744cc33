"""Many small pictures in one: a grid of tiles."""

import math

import numpy as np


def tiled(pictures: np.ndarray, gap: float = math.nan) -> np.ndarray:
    """Arrange pictures row by row in a grid as square as can be, one pixel of `gap` between and around them.

    Args:
        pictures: (n, C, h, w).
        gap: value of the pixels between.

    Returns:
        (H, W, c), with c 3 for three channels and otherwise 1, their mean.
    """
    if pictures.shape[1] != 3:
        pictures = pictures.mean(1, keepdims=True)
    count, channels, height, width = pictures.shape
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    shape = (rows * (height + 1) + 1, columns * (width + 1) + 1, channels)
    grid = np.full(shape, gap, dtype=pictures.dtype)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        top, left = 1 + row * (height + 1), 1 + column * (width + 1)
        grid[top : top + height, left : left + width] = np.moveaxis(picture, 0, -1)
    return grid
