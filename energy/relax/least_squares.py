"""Small least-squares problems, one per sample, from the inner products of their columns."""

from __future__ import annotations

import torch
from torch import Tensor


def solve_gram(gram: Tensor, products: Tensor, held: Tensor, ridge: float) -> Tensor:
    """Return the c that minimizes ‖b − Σ_j c_j a_j‖² + ridge Σ_j c_j² ‖a_j‖² of each sample.

    Columns are scaled to length 1 first, so that `ridge` is relative to each of them. A column of length zero has the
    coefficient zero. Nothing is read from the device.

    Args:
        gram: ⟨a_i, a_j⟩, (B, m, m).
        products: ⟨a_j, b⟩, (B, m).
        held: false for the columns that a sample leaves out, (B, m).
        ridge: at least 0.

    Returns:
        (B, m); zero for a sample whose system has no finite solution.
    """
    size = gram.diagonal(dim1=1, dim2=2).sqrt()
    used = held & (size > 0)
    size = torch.where(used, size, 1.0)
    both = used[:, :, None] & used[:, None, :]
    scaled = torch.where(both, gram / size[:, :, None] / size[:, None, :], 0.0)
    eye = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    system = torch.where(eye > 0, 1.0 + ridge, scaled)
    wanted = torch.where(used, products / size, 0.0)
    found = torch.linalg.solve_ex(system, wanted[:, :, None]).result.squeeze(2) / size
    return torch.where(found.isfinite().all(1)[:, None], found, 0.0)
