"""Embeddings of high-dimensional points in the plane."""

from __future__ import annotations

import torch
from torch import Tensor

from energy.errors import UsageError

MOST = 1000  # points that t-SNE is asked to place: its time grows with their square


def principal(values: Tensor, count: int = 2) -> tuple[Tensor, Tensor]:
    """Project points on their first principal axes.

    Each axis is oriented so that its farthest point has a positive coordinate. Axes beyond the number of dimensions or
    points are 0.

    Args:
        values: points (N, D).
        count: number of axes.

    Returns:
        Coordinates (N, count), and the share of the variance of each axis, (count,); float64.
    """
    centered = (values.double() - values.double().mean(0)).cpu()
    gram = centered @ centered.T if len(centered) <= centered.shape[1] else centered.T @ centered
    variances, axes = torch.linalg.eigh(gram)
    variances, axes = variances.flip(0)[:count].clamp_min(0), axes.flip(1)[:, :count]
    found = axes * variances.sqrt() if len(centered) <= centered.shape[1] else centered @ axes
    farthest = found.gather(0, found.abs().argmax(0, keepdim=True))
    found = found * torch.where(farthest < 0, -1.0, 1.0)
    missing = (0, count - found.shape[1])
    share = variances / gram.diagonal().sum().clamp_min(torch.finfo(gram.dtype).tiny)
    return torch.nn.functional.pad(found, missing), torch.nn.functional.pad(share, missing)


def neighborhoods(values: Tensor, seed: int = 0) -> Tensor:
    """Return a map (N, 2) of points (N, D) that keeps neighbors together, by t-SNE on their first 50 principal axes.

    Distances between far groups mean nothing.

    Raises:
        ValueError: for fewer than 4 points or more than 1000.

    Reference:
        van der Maaten & Hinton, "Visualizing data using t-SNE", JMLR 9 (2008) 2579.
    """
    if not 4 <= len(values) <= MOST:
        raise UsageError(f"t-SNE of {len(values)} points: must be 4 to {MOST}")
    from sklearn.manifold import TSNE

    start = principal(values, 50)[0].float().numpy()
    perplexity = min(30.0, (len(values) - 1) / 3)
    placed = TSNE(init="pca", perplexity=perplexity, random_state=seed % 2**32).fit_transform(start)
    return torch.from_numpy(placed)
