"""Batch normalization by the statistics of a batch that several ranks share.

    μ = Σ u / N,      σ² = Σ (u − μ)² / N,      sums over samples, places and ranks

Both sums are part of the tape, and so is their adjoint: it too adds up what all ranks send down.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from energy.exchange import sum_of_all
from energy.ranks import here


class Total(torch.autograd.Function):
    """The sum over all ranks, whose adjoint is the same sum."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        """Return the sum of the parts that the ranks have."""
        return sum_of_all([part.clone()])[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        """Return the sum of what comes down on all ranks."""
        return summed(grad_outputs[0])


def summed(part: Tensor) -> Tensor:
    """Return the sum of the parts that the ranks have; differentiable, any number of times."""
    return Total.apply(part)  # pyright: ignore[reportReturnType]


def batch_norm(
    drive: Tensor,
    mean: Tensor | None,
    var: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """Normalize as `torch.nn.functional.batch_norm` does, by the statistics of the batch of all ranks.

    Args:
        drive: u, (B, C, …), the share of this rank.
        mean, var: running statistics (C,), which are moved while training; the variance by N/(N − 1) σ².
        scale, shift: (C,), or None.
        training: whether to normalize by the batch.
        momentum: the share of a batch in the running statistics.
        eps: added to the variance.
    """
    if not (training and here().several):
        return F.batch_norm(drive, mean, var, scale, shift, training, momentum, eps)
    wide = drive.to(torch.promote_types(drive.dtype, torch.float32))
    axes = [0, *range(2, drive.ndim)]
    form = (1, -1, *[1] * (drive.ndim - 2))
    count = sum_of_all([wide.new_tensor(drive.numel() / drive.shape[1], dtype=torch.float64)])[0].to(wide.dtype)
    center = summed(wide.sum(axes)) / count
    away = wide - center.view(form)
    spread = summed(away.square().sum(axes)) / count
    with torch.no_grad():
        for running, found in ((mean, center), (var, spread * count / (count - 1))):
            if running is not None:
                running.lerp_(found.to(running.dtype), momentum)
    normal = away * (spread + eps).rsqrt().view(form)
    normal = normal if scale is None else normal * scale.view(form)
    return (normal if shift is None else normal + shift.view(form)).to(drive.dtype)


def share_statistics(module: nn.Module) -> None:
    """Let a normalization of torch take the statistics of all ranks in training mode; of no effect on other modules."""
    if isinstance(module, _BatchNorm) and here().several:
        module.forward = partial(_together, module)  # pyright: ignore[reportAttributeAccessIssue]


def _together(module: _BatchNorm, drive: Tensor) -> Tensor:
    if not module.training:
        return type(module).forward(module, drive)
    momentum = module.momentum
    if module.num_batches_tracked is not None:
        module.num_batches_tracked.add_(1)
        momentum = 1 / float(module.num_batches_tracked) if momentum is None else momentum
    running = (module.running_mean, module.running_var)
    return batch_norm(drive, *running, module.weight, module.bias, True, momentum or 0.0, module.eps)
