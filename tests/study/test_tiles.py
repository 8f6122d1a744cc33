"""Pictures in a grid: where each lies, and what lies between."""

import math

import numpy as np
import pytest

from energy.plots.tiles import tiled


def test_pictures_lie_row_by_row_with_gaps_between() -> None:
    """Five pictures of 2×3 pixels: three columns, two rows, and the last place empty."""
    pictures = np.broadcast_to(np.arange(1.0, 6.0).reshape(5, 1, 1, 1), (5, 1, 2, 3))
    grid = tiled(pictures)
    assert grid.shape == (2 * 3 + 1, 3 * 4 + 1, 1)
    for index in range(5):
        top, left = 1 + 3 * (index // 3), 1 + 4 * (index % 3)
        assert (grid[top : top + 2, left : left + 3, 0] == index + 1).all()
    assert np.isnan(grid).sum() == grid.size - 5 * 6
    assert all(np.isnan(line).all() for line in (grid[0], grid[3], grid[:, 4]))


def test_colors_stay_and_other_channels_are_averaged() -> None:
    colors = np.array([0.1, 0.2, 0.3]).reshape(1, 3, 1, 1)
    assert tiled(colors)[1, 1].tolist() == pytest.approx([0.1, 0.2, 0.3])
    pair = np.array([0.5, -1.0]).reshape(1, 2, 1, 1)
    assert tiled(pair, gap=0.0)[1, 1].tolist() == [-0.25]
    assert not math.isnan(float(tiled(pair, gap=0.0).sum()))
