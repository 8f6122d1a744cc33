"""Normalization as part of a coupling: the drive of a layer is normalized before it is pooled.

    A(m) = P( scale · (u − μ)/√(σ² + ε) + shift ),      u = filters(m)

`LayerNorm` and `GroupNorm` take μ and σ² over the units of one sample, `BatchNorm` over the samples and places of a
batch. A is curved in m, since μ and σ² move with it: adjoint, tangent and products go *through* the statistics, and the
gradient of a settler is that of the normalized network (`energy.couplings.normalized`).

**The energy of a batch.** While a network with `BatchNorm` learns, ⟨s_k, A(s_{k−1})⟩ of a sample depends on the other
samples by μ and σ²: E is then the energy of the batch as a whole, Σ over its samples, and no longer a sum of energies
that each sample has alone; its equilibrium is one of the whole batch, and every phase of a settler (free, nudged, both
replicas of a dyad) takes the statistics of the batch at its own states. Prediction and evaluation take running
statistics, and the energy is that of a sample again.

Reference:
    Ioffe & Szegedy, ICML 2015 (batch); Ba, Kiros & Hinton 2016 (layer); Wu & He, ECCV 2018 (group).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from energy.arguments import named, whole_number
from energy.couplings.coupling import Coupling
from energy.couplings.curvature import BatchLinearization
from energy.couplings.linearization import Linearization, Shape
from energy.couplings.normalized import NormalizedLinearization
from energy.couplings.statistics import batch_norm
from energy.errors import UsageError, UsageTypeError
from energy.pooling import Pool
from energy.ranks import here


class Normalization(Coupling):
    """A(m) = P(N(filters(m))), N a normalization with a learned scale and shift per channel (axis 1) or unit.

    A bias of the filters is redundant if N subtracts the mean of its channel. Subclasses define `normalized`.

    Args:
        filters: any coupling; `Skip()` normalizes the layer below as it is.
        size: the shape of scale and shift.
        eps: ε, added to the variance.
        affine: learn scale (from 1) and shift (from 0); if false there are none.
        pool: P, none by default.

    Raises:
        TypeError: for filters that are no coupling, and a pool that is no pooling.
        ValueError: for filters that normalize by the batch themselves, or `eps` that is not above 0.
    """

    scale: nn.Parameter | None
    shift: nn.Parameter | None
    widens: ClassVar[bool] = True  # half-precision drives are normalized as float32 tensors
    linearization: ClassVar[type[NormalizedLinearization]] = NormalizedLinearization

    def __init__(
        self,
        filters: Coupling,
        size: Sequence[int],
        *,
        eps: float = 1e-5,
        affine: bool = True,
        pool: Pool | None = None,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        if not isinstance(filters, Coupling):
            raise UsageTypeError(f"{owner}: filters is {named(filters)}: must be a coupling, such as Dense(784, 100)")
        if filters.batchwise:
            raise UsageError(f"{owner}: filters is a {type(filters).__name__}: must not normalize by the batch itself")
        if not (pool is None or isinstance(pool, Pool)):
            raise UsageTypeError(f"{owner}: pool is {named(pool)}: must be energy.pooling.MaxPool(2), AveragePool(2) …")
        if not 0 < eps < math.inf:
            raise UsageError(f"{owner}: eps={eps}: must be above 0")
        self.filters, self.pool = filters, pool
        self.eps = eps
        self.scale = nn.Parameter(torch.ones(*size)) if affine else None
        self.shift = nn.Parameter(torch.zeros(*size)) if affine else None
        self.eval()

    def extra_repr(self) -> str:
        affine = "" if self.scale is not None else ", affine=False"
        return f"eps={self.eps:g}{affine}" + ("" if self.pool is None else f", pool={self.pool}")

    def normalized(self, drive: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        """Return N of the filters' drive, of the same shape.

        Args:
            drive: (B, channels, …), in float32 or wider unless `widens` is false.
            scale, shift: in float32 or wider; None without `affine`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define normalized(drive, scale, shift)")

    def forward(self, pre: Tensor) -> Tensor:
        full = self.normalize(self.filters(pre))
        return full if self.pool is None else self.pool(full)

    def normalize(self, drive: Tensor) -> Tensor:
        """Return N(u) in the dtype of the filters' drive u."""
        wide = torch.promote_types(drive.dtype, torch.float32)
        scale, shift = (None if p is None else p.to(wide) for p in (self.scale, self.shift))
        return self.normalized(drive.to(wide) if self.widens else drive, scale, shift).to(drive.dtype)

    def linearize(self, pre: Tensor) -> tuple[Tensor, Linearization]:
        return self._linearized(pre, self, self.normalize)

    def _linearized(
        self, pre: Tensor, forward: Callable[[Tensor], Tensor], normalize: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Linearization]:
        with torch.no_grad():
            seen, filters = self.filters.linearize(pre)
            linear = self.linearization(self, forward, normalize, pre, filters, seen)
            return linear.drive(), linear

    def shape(self, pre: Shape) -> Shape:
        full = tuple(self.filters.shape(pre))
        self.require_fit(full)
        return full if self.pool is None else self.pool.shape(full)

    def require_fit(self, full: Shape) -> None:
        """Check that scale and shift fit a drive of shape `full`, without the batch axis.

        Raises:
            ValueError: if they do not.
        """

    def multiply_adds(self, pre: Shape) -> int:
        return self.filters.multiply_adds(pre)


class LayerNorm(Normalization):
    """μ and σ² of a sample over all its units, scale and shift one per unit: `nn.LayerNorm(shape)` behind the filters.

    Args:
        filters, eps, affine, pool: as for `Normalization`.
        shape: that of the filters' drive without the batch axis.
    """

    def __init__(
        self,
        filters: Coupling,
        shape: Sequence[int],
        *,
        eps: float = 1e-5,
        affine: bool = True,
        pool: Pool | None = None,
    ) -> None:
        full = tuple(whole_number("LayerNorm", "shape", side) for side in shape)
        super().__init__(filters, full, eps=eps, affine=affine, pool=pool)
        self.full = full

    def normalized(self, drive: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        return F.layer_norm(drive, self.full, scale, shift, self.eps)

    def require_fit(self, full: Shape) -> None:
        if full != self.full:
            raise UsageError(f"LayerNorm of {self.full} cannot normalize a drive of shape {full}")


class GroupNorm(Normalization):
    """μ and σ² of a sample over the places of a group of channels, scale and shift one per channel:
    `nn.GroupNorm(groups, channels)` behind the filters.

    Args:
        filters, eps, affine, pool: as for `Normalization`.
        groups: must divide `channels`; 1 normalizes over all channels, `channels` every channel by itself.
        channels: of the filters' drive.
    """

    def __init__(
        self,
        filters: Coupling,
        groups: int,
        channels: int,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        pool: Pool | None = None,
    ) -> None:
        groups, channels = whole_number("GroupNorm", "groups", groups), whole_number("GroupNorm", "channels", channels)
        if channels % groups:
            raise UsageError(f"GroupNorm: groups={groups}: must divide channels={channels}")
        super().__init__(filters, (channels,), eps=eps, affine=affine, pool=pool)
        self.groups, self.channels = groups, channels

    def normalized(self, drive: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        if torch.is_grad_enabled() and scale is not None and not drive.requires_grad:
            drive = drive.contiguous()  # torch 2.13 crashes where channels-last images need no gradient and scale does
        return F.group_norm(drive, self.groups, scale, shift, self.eps)

    def require_fit(self, full: Shape) -> None:
        _channels(self, full, self.channels)


class BatchNorm(Normalization):
    """μ and σ² of a channel over samples and places: those of the batch while it learns, running ones otherwise.

    `nn.BatchNorm1d` or `nn.BatchNorm2d` behind the filters, with their buffers. Settlers put it into training mode for
    a batch to learn from (`Network.normalizing`); a linearization made there normalizes by the batch whenever its
    products are made. `remember` moves the running statistics once per learned batch, by those at the free equilibrium,
    however often a settler applied the coupling. A frozen one (no parameter that learns) keeps its running statistics.

    Args:
        filters, eps, affine, pool: as for `Normalization`.
        channels: of the filters' drive.
        momentum: the share of a new batch in the running statistics, in [0, 1].

    Raises:
        ValueError: on use, for a batch with one value per channel, which has no variance.
    """

    batchwise = True
    linearization = BatchLinearization
    widens: ClassVar[bool] = False  # its kernels take half-precision drives and sum in float32
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        filters: Coupling,
        channels: int,
        *,
        momentum: float = 0.1,
        eps: float = 1e-5,
        affine: bool = True,
        pool: Pool | None = None,
    ) -> None:
        channels = whole_number("BatchNorm", "channels", channels)
        if not 0 <= momentum <= 1:
            raise UsageError(f"BatchNorm: momentum={momentum}: must be in [0, 1]")
        super().__init__(filters, (channels,), eps=eps, affine=affine, pool=pool)
        self.momentum, self.channels = momentum, channels
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64))
        self._next: tuple[Tensor, Tensor] | None = None  # the running statistics after the last batch

    def normalized(self, drive: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        wide = torch.promote_types(drive.dtype, torch.float32)
        mean, var = (buffer.to(wide) for buffer in (self.running_mean, self.running_var))
        if self.training:
            if drive.numel() == drive.shape[1] and not here().several:
                raise UsageError(
                    f"BatchNorm: a batch of {len(drive)} with one value per channel has no variance: must be at least "
                    "2 samples, the last batch of an epoch too; or take LayerNorm or GroupNorm"
                )
            mean, var = mean.clone(), var.clone()
            self._next = mean, var
        return batch_norm(drive, mean, var, scale, shift, self.training, self.momentum, self.eps)

    def require_fit(self, full: Shape) -> None:
        _channels(self, full, self.channels)

    @torch.no_grad()
    def remember(self) -> None:
        if self.training and self._next is not None:
            for buffer, value in zip((self.running_mean, self.running_var), self._next, strict=True):
                buffer.copy_(value)
            self.num_batches_tracked += 1
            self._next = None

    def linearize(self, pre: Tensor) -> tuple[Tensor, Linearization]:
        forward, normalize = (partial(self._as_here, self.training, whole) for whole in (True, False))
        return self._linearized(pre, forward, normalize)

    def _as_here(self, by_batch: bool, whole: bool, given: Tensor) -> Tensor:
        """A or N by the statistics of the batch, or by the running ones, wherever the products are made."""
        held = self.training
        self.training = by_batch
        try:
            return self(given) if whole else self.normalize(given)
        finally:
            self.training = held


def _channels(coupling: Normalization, full: Shape, channels: int) -> None:
    if full[0] != channels:
        name = type(coupling).__name__
        raise UsageError(f"{name} of {channels} channels cannot normalize a drive of shape {full}")
