"""The number of steps that a solve is going to take, from the rate at which it contracts."""

from __future__ import annotations

import torch
from torch import Tensor


def expected_steps(rate: Tensor, tolerance: float, residual: Tensor) -> Tensor:
    """Return ⌈ln(tolerance/residual)/ln(rate)⌉: the steps from `residual` to `tolerance`.

    0 where the residual is within the tolerance already; infinity at a rate of 1 or more, and at tolerance 0.

    Args:
        rate: the factor by which a step lessens the residual, (B,).
        tolerance: the residual at which a sample counts as converged.
        residual: that from which the steps are counted, (B,).

    Example:
        >>> expected_steps(torch.tensor([0.5, 1.0, 0.9]), 0.1, torch.tensor([1.0, 1.0, 0.05]))
        tensor([4., inf, 0.])
    """
    left = torch.log(tolerance / residual.double()) / torch.log(rate.double())
    steps = torch.where(rate >= 1, torch.inf, left.ceil().clamp_min(1)).to(rate.dtype)
    return torch.where(residual <= tolerance, torch.zeros_like(steps), steps)
